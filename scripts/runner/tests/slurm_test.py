#!/usr/bin/python3
"""--engine=slurm, on a real Slurm of one machine: munged, slurmctld and slurmd of our own."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import unittest

import runs

TOOLS = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIG = """\
ClusterName=nbdcheck
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={work}/munge.socket
CredType=cred/munge
StateSaveLocation={work}/state
SlurmdSpoolDir={work}/spool
SlurmctldPidFile={work}/slurmctld.pid
SlurmdPidFile={work}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MinJobAge=60
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def which(tool):
    return shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def free_ports(count):
    listeners = [socket.socket() for _ in range(count)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


@unittest.skipUnless(all(map(which, TOOLS)), "Slurm is not installed: slurm-wlm, munge")
@unittest.skipUnless(os.geteuid() == 0, "slurmd needs root")
class Slurm(runs.Case):
    def setUp(self):
        super().setUp()
        self.slurm = self.work / "slurm"
        for name in ("state", "spool"):
            (self.slurm / name).mkdir(parents=True)
        self.slurm.chmod(0o755)
        self.work.chmod(0o755)
        key = self.slurm / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        controller, node = free_ports(2)
        self.config = self.slurm / "slurm.conf"
        self.config.write_text(CONFIG.format(
            host=os.uname().nodename, work=self.slurm, cpus=os.cpu_count(), controller=controller,
            node=node))
        (self.slurm / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        self.daemon("munged", "--foreground", "--force", f"--key-file={key}",
                    f"--socket={self.slurm}/munge.socket", f"--pid-file={self.slurm}/munge.pid",
                    f"--log-file={self.slurm}/munge.log", f"--seed-file={self.slurm}/munge.seed",
                    "--num-threads=2")
        self.wait_for(lambda: (self.slurm / "munge.socket").exists())
        self.daemon("slurmctld", "-D", "-f", self.config)
        self.daemon("slurmd", "-D", "-f", self.config)
        self.wait_for(lambda: " idle" in " " + self.ask("sinfo", "--noheader", "--format=%t"), 60)

    def environment(self):
        return super().environment() | {"SLURM_CONF": str(getattr(self, "config", ""))}

    def daemon(self, tool, *arguments):
        with open(self.slurm / f"{tool}.log", "ab") as log:
            process = subprocess.Popen([which(tool), *map(str, arguments)], cwd=self.slurm,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       env=os.environ | {"SLURM_CONF": str(self.config)})
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def ask(self, *command):
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False).stdout

    def test_arrays_lost_jobs_and_resume(self):
        # Everything on one cluster: starting it takes longer than the jobs.
        with self.subTest("verdicts come back from job arrays"):
            done = self.run_it("p", "q finding=data.read-your-writes", "--seeds=1-3",
                               "--engine=slurm", "--directory=a", code=1)
            self.assertIn("6 jobs (3 conformant, 3 nonconformant)", done.out)
            self.assertIn(os.uname().nodename, (self.work / "a" / "report.html").read_text())
            self.assertEqual(len(list((self.work / "a" / "batches").glob("*.sh"))), 1)
        with self.subTest("a worker that is killed is tried again, then named"):
            done = self.run_it("p do=kill-worker", "q", "--engine=slurm", "--directory=b", code=3)
            self.assertIn("lost, again", done.out)
            self.assertIn("no result after 2 attempts: Slurm says", done.out)
            self.assertIn("1 conformant, 1 lost", done.out)
        with self.subTest("scancel of somebody else"):
            with self.start("p do=hang", "--engine=slurm", "--retries=0", "--directory=c",
                            f"--nbdcheck={self.nbdcheck}") as process:
                before = len(self.calls())
                self.wait_for(lambda: len(self.calls()) > before)
                self.ask("scancel", "--name=nbdcheck")
                out, _ = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 3, out)
            self.assertIn("Slurm says CANCELLED", out)
        with self.subTest("Ctrl-C takes the jobs out of the queue; --resume goes on"):
            before = len(self.calls())
            with self.start("p", "q seconds=100", "--engine=slurm", "--directory=d",
                            f"--nbdcheck={self.nbdcheck}") as process:
                self.wait_for(lambda: len(list((self.work / "d").glob("jobs/*/result.json"))) == 1
                              and len(self.calls()) == before + 2)
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=60)
            self.assertEqual(process.returncode, 130)
            self.wait_for(lambda: self.ask("squeue", "--noheader") == "", 60)
            done = self.run_it("p", "--resume", "--engine=slurm", "--directory=d", code=3)
            self.assertIn("1 of 2 jobs have been run before", done.out)
        with self.subTest("what a killed runner left in the queue is not done twice"):
            before = len(self.calls())
            with self.start("p", "q seconds=100", "--engine=slurm", "--directory=f",
                            f"--nbdcheck={self.nbdcheck}") as process:
                self.wait_for(lambda: len(list((self.work / "f").glob("jobs/*/result.json"))) == 1
                              and len(self.calls()) == before + 2)
                process.kill()
                process.communicate(timeout=60)
            self.assertNotEqual(self.ask("squeue", "--noheader"), "")
            done = self.run_it("r", "--resume", "--engine=slurm", "--directory=f", code=3)
            self.assertIn("2 conformant, 1 not run", done.out)
            self.assertEqual(self.ask("squeue", "--noheader"), "")
        with self.subTest("options that sbatch does not know"):
            done = self.run_it("p", "--engine=slurm", "--sbatch=--partition=none",
                               "--directory=e", code=3)
            self.assertIn("sbatch: ", done.err)
            self.assertEqual(len(done.err.splitlines()), 1)


if __name__ == "__main__":
    os.chdir(pathlib.Path(__file__).resolve().parent)
    runs.main()
