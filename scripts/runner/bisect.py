"""nbdcheck-run bisect: tells `git bisect run` whether a finding is there.

    git bisect run nbdcheck-run bisect nbdcheck-results/jobs/ID data.read-your-writes \\
        --build='make libmydisk.so'

Exit codes are those git bisect run knows: 0 the rule is kept, 1 it is broken, 125 this
revision cannot be tested (it does not build, or nbdcheck came to no verdict on the rule);
128 and above would end the bisection: what is wrong with the question itself.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile

from .catalogue import find_nbdcheck
from .common import BadInput, printable, read_json
from .job import Job
from .materials import Materials, Unavailable
from .options import Parser, of, positive

GOOD, BAD, SKIP, ABORT = 0, 1, 125, 129
TEMPLATE = ("{nbdcheck} --profile={profile} --seed={seed} --only=^{check_pattern}$ --nbdkit=none "
            "--quiet {options} --report=json:{report} --artifacts={artifacts} -- "
            "{plugin} {arguments}")
LONGEST = 3600  # seconds of one run


def parser():
    result = Parser(
        prog="nbdcheck-run bisect", allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Tells `git bisect run` whether a finding is there: 0 no, 1 yes, 125 this "
                    "revision cannot be tested, 129 wrong usage.",
        epilog="In --build and --command these are replaced, quoted for the shell: {nbdcheck} "
               "{plugin} {arguments}\n{seed} {profile} {options} {check} {rule} {report} "
               "{artifacts}; --command must have nbdcheck write {report}.\n"
               f"Default --command:\n  {TEMPLATE}")
    add = result.add_argument
    add("job", metavar="JOB", help="the directory of a job, or a JSON report of nbdcheck")
    add("rule", metavar="RULE", nargs="?", help="of the finding; needed where there are several")
    add("--build", metavar="COMMAND", help="run by the shell first; if it fails: 125")
    add("--command", metavar="COMMAND", default=TEMPLATE, help="what runs nbdcheck")
    add("--plugin", metavar="PATH", help="the plugin to check, if not that of the finding")
    add("--repeat", type=of(positive), default=1, metavar="N",
        help="runs, with N seeds from the finding's on: for what needs luck; one is enough")
    add("--nbdcheck", metavar="PATH")
    return result


def read_finding(options):
    """(job, finding) of a job's directory or of a report."""
    place = options.job
    if os.path.isdir(place):
        from .rundir import RunDirectory
        run = RunDirectory(os.path.join(place, "..", ".."))
        job = run.load().job(os.path.basename(os.path.abspath(place)))
        path = os.path.join(place, "report.json")
    else:
        job, path = None, place
    try:
        report = read_json(path)
        findings = {finding["rule"]: finding for finding in report["findings"]}
        if not job:
            job = Job(name="", plugin=report["plugin"]["path"], seed=report["seed"],
                      arguments=tuple(report["plugin"]["args"]), directory=os.getcwd())
    except (ValueError, KeyError, TypeError) as problem:
        raise BadInput(f"{path}: no report of nbdcheck: {problem}") from None
    if not options.rule and len(findings) != 1:
        raise BadInput(f"{path}: which of its {len(findings)} findings? "
                       f"{', '.join(findings) or 'It has none.'}")
    rule = options.rule or next(iter(findings))
    if rule not in findings:
        raise BadInput(f"{path}: no finding of {rule}; there are: {', '.join(findings) or 'none'}")
    return job, findings[rule]


class Question:
    def __init__(self, options, program):
        self.options = options
        self.job, self.finding = read_finding(options)
        self.nbdcheck = options.nbdcheck or find_nbdcheck(program) or self.job.nbdcheck
        self.work = ""

    def words(self, seed, arguments):
        finding = self.finding
        plugin = self.options.plugin or self.job.plugin
        quote = shlex.quote
        time = [f"--time={self.job.time:g}"] if self.job.time else []
        return {
            "nbdcheck": quote(self.nbdcheck), "plugin": quote(plugin),
            "arguments": shlex.join(arguments), "seed": str(seed), "profile": self.job.profile,
            "options": shlex.join([*self.job.options, *time]), "rule": quote(finding["rule"]),
            "check": quote(finding["check"]),
            "check_pattern": quote(finding["check"].replace(".", "[.]")),
            "report": quote(os.path.join(self.work, "report.json")),
            "artifacts": quote(os.path.join(self.work, "artifacts"))}

    def fill(self, template, words):
        # Not str.format: shell commands are full of braces.
        for key, value in words.items():
            template = template.replace("{" + key + "}", value)
        return template

    def shell(self, command):
        # The plugin is of the revision that is checked out: paths are relative to here.
        return subprocess.run(command, shell=True, check=False, stdin=subprocess.DEVNULL,
                              env=os.environ | dict(self.job.environment), timeout=LONGEST)

    def ask(self):
        """(exit code, what to say)"""
        with tempfile.TemporaryDirectory(prefix="nbdcheck-bisect-") as self.work:
            materials = Materials(self.work)
            try:
                arguments = [materials.expand(word) for word in self.job.arguments]
                if self.options.build:
                    words = self.words(self.job.seed, arguments)
                    if code := self.shell(self.fill(self.options.build, words)).returncode:
                        return SKIP, f"--build ended with status {code}"
                answers = []
                for seed in range(self.job.seed, self.job.seed + self.options.repeat):
                    answers.append(self.once(seed, arguments))
                    if answers[-1][0] == BAD:
                        return answers[-1]
                return max(answers)
            except Unavailable as reason:
                return SKIP, str(reason)
            except subprocess.TimeoutExpired:
                return SKIP, f"it took more than {LONGEST} s"
            finally:
                materials.close()

    def once(self, seed, arguments):
        rule = self.finding["rule"]
        report_file = os.path.join(self.work, "report.json")
        if os.path.exists(report_file):
            os.unlink(report_file)
        done = self.shell(self.fill(self.options.command, self.words(seed, arguments)))
        try:
            report = read_json(report_file)
            findings = {finding["rule"] for finding in report["findings"]}
            checked = {name for check in report["checks"] for name in check["rules"]
                       if check["status"] not in ("skipped", "unknown")}
        except (ValueError, KeyError, TypeError) as problem:
            return SKIP, f"nbdcheck ended with status {done.returncode}, {problem}"
        if rule in findings:
            return BAD, f"{rule} is broken (seed {seed})"
        # Some rules are seen by any check, so that none names them: a crash, a hang.
        if rule in checked or (checked and rule.startswith("process.")):
            return GOOD, f"{rule} is kept (seed {seed})"
        return SKIP, f"{rule} was not checked"


def bisect_command(arguments, program):
    try:
        options = parser().parse_args(arguments)
        code, said = Question(options, program).ask()
    except BadInput as problem:
        # Not 2: git would take that for a bad revision.
        print(f"nbdcheck-run: {printable(str(problem))}", file=sys.stderr)
        return ABORT
    print(f"nbdcheck-run bisect: {printable(said)}", flush=True)
    return code
