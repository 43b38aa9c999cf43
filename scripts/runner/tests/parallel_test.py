#!/usr/bin/python3
"""--engine=parallel: GNU parallel here, and over a real SSH server on this machine."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import unittest

import runs


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@unittest.skipUnless(shutil.which("parallel"), "GNU parallel is not installed")
class Parallel(runs.Case):
    def test_jobs_on_this_machine(self):
        done = self.run_it("p", "q finding=data.read-your-writes", "dead do=kill-worker",
                           "--engine=parallel", "--parallel=2", code=1)
        self.assertIn("3 jobs (1 conformant, 1 lost, 1 nonconformant)", done.out)
        self.assertIn("no result after 2 attempts", done.out)
        self.assert_clean()

    def test_ctrl_c_and_resume(self):
        with self.start("p", "q seconds=60", "--engine=parallel", "--parallel=2",
                        f"--nbdcheck={self.nbdcheck}") as process:
            self.wait_for(lambda: len(list((self.work / "nbdcheck-results").glob(
                "jobs/*/result.json"))) == 1 and len(self.calls()) == 2)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        self.assert_clean(30)
        self.assertIn("1 of 2 jobs have been run before", self.run_it(
            "p", "--resume", "--row=^p", "--engine=parallel", code=3).out)

    def test_the_runner_is_killed(self):
        with self.start("p", "q seconds=60", "--engine=parallel", "--parallel=2",
                        f"--nbdcheck={self.nbdcheck}") as process:
            self.wait_for(lambda: len(list((self.work / "nbdcheck-results").glob(
                "jobs/*/result.json"))) == 1 and len(self.calls()) == 2)
            process.kill()
            process.communicate(timeout=60)
        self.assert_clean(30)

    @unittest.skipUnless(os.path.exists("/usr/sbin/sshd"), "openssh-server is not installed")
    def test_jobs_over_ssh(self):
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name],
                           cwd=self.work, check=True, stdin=subprocess.DEVNULL)
        shutil.copy(self.work / "user.pub", self.work / "authorized")
        port = free_port()
        (self.work / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {self.work}/host\nPidFile none\n"
            f"AuthorizedKeysFile {self.work}/authorized\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nPermitRootLogin yes\n")
        # A name of its own, so that the log tells this host from the machine itself.
        (self.work / "ssh_config").write_text(
            f"Host tested\n HostName 127.0.0.1\n Port {port}\n IdentityFile {self.work}/user\n"
            f" StrictHostKeyChecking no\n UserKnownHostsFile {self.work}/known\n LogLevel ERROR\n"
            "Host gone\n HostName 127.0.0.1\n Port 1\n")
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        with open(self.work / "sshd.log", "wb") as log:
            server = subprocess.Popen(
                ["/usr/sbin/sshd", "-D", "-e", "-f", self.work / "sshd_config"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        self.wait_for(lambda: "listening" in (self.work / "sshd.log").read_text())
        login = f"ssh -F {self.work}/ssh_config "
        done = self.run_it("p", "q", "--seeds=1-2", "--engine=parallel", "--parallel=2",
                           f"--sshlogin=2/{login}tested", code=0)
        self.assertIn("4 jobs (4 conformant)", done.out)
        logs = "".join(path.read_text() for path in
                       (self.work / "nbdcheck-results").glob("batches/*.log"))
        self.assertEqual(logs.count("tested"), 4, logs)
        done = self.run_it("p", "--engine=parallel", "--directory=none",
                           f"--sshlogin={login}gone", code=3)
        self.assertIn("1 lost", done.out)
        self.assertIn("no result after 2 attempts", done.out)

    def test_hosts_are_in_the_result(self):
        self.run_it("p", "--engine=parallel", code=0)
        result, = (self.work / "nbdcheck-results").glob("jobs/*/result.json")
        self.assertEqual(json.loads(result.read_text())["host"], os.uname().nodename)


class Missing(runs.Case):
    def test_engines_that_are_not_installed(self):
        environment = self.environment()
        self.environment = lambda: environment | {"PATH": str(self.work)}
        self.assert_refused(self.run_it("p", "--engine=parallel"), "GNU parallel is not installed")
        self.assert_refused(self.run_it("p", "--engine=slurm"), "sbatch is not installed")
        self.assertEqual(list(self.work.glob("nbdcheck-results/run.json")), [])


if __name__ == "__main__":
    runs.main()
