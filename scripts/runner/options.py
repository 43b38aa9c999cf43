"""The command line."""

import argparse
import os
import re
import shlex

from .common import PROFILES, SEVERITIES, BadInput, bytes_of, seeds_of

REPORTS = ("html", "junit", "tap", "sarif", "markdown", "summary")
EPILOG = """WHAT is a matrix file (*.toml), or a plugin with its arguments as one word:
  nbdcheck-run matrix.toml
  nbdcheck-run --seeds=1-5 'memory 1M' './libmyplugin.so size=1G'

Exit codes: 0 all conformant, 1 findings, 2 usage error, 3 a job without a verdict,
4 nothing was checked; the first of 1, 3, 2, 4 that happened.  130: interrupted."""


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise BadInput(f"{message} (see --help)")


def of(function):
    """A type for argparse whose ValueErrors are told in their own words."""
    def convert(text):
        try:
            return function(text)
        except ValueError as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None
    return convert


def shard(text):
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"not a shard: {text!r} (1/4, 2/4, ...)")
    return int(match[1]), int(match[2])


def positive(text):
    if not re.fullmatch(r"\d+", text) or int(text) < 1:
        raise ValueError(f"not a number from 1 on: {text!r}")
    return int(text)


def count(text):
    if not re.fullmatch(r"\d+", text):
        raise ValueError(f"not a number: {text!r}")
    return int(text)


def path_of_nbdkit(text):
    return os.path.abspath(text) if "/" in text else text


def seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1e9:
        raise ValueError(f"not a number of seconds: {text!r}")
    return value


def profile_list(text):
    for profile in text.split(","):
        if profile not in PROFILES:
            raise ValueError(f"unknown profile {profile!r}; there are {', '.join(PROFILES)}")
    return tuple(text.split(","))


def pattern(text):
    try:
        return re.compile(text)
    except re.error as problem:
        raise ValueError(f"not a regular expression: {text!r}: {problem}") from None


def add_reports(parser):
    group = parser.add_argument_group("reports")
    for name, what in (("html", "a page for a browser (default: DIRECTORY/report.html)"),
                       ("junit", "JUnit XML"), ("tap", "TAP 13"), ("sarif", "SARIF 2.1.0"),
                       ("markdown", "for a pull request"),
                       ("summary", "the summary as JSON, for a later --baseline")):
        group.add_argument(f"--{name}", metavar="FILE", help=what)
    group.add_argument("--baseline", metavar="DIR|FILE",
                       help="an earlier run: its directory or its summary; tells what is new and "
                            "what is gone")


def run_parser():
    parser = Parser(prog="nbdcheck-run", epilog=EPILOG, allow_abbrev=False,
                    formatter_class=argparse.RawDescriptionHelpFormatter,
                    description="Runs nbdcheck on many plugins, in many configurations.",
                    usage="nbdcheck-run [options] WHAT...\n"
                          "       nbdcheck-run report DIRECTORY... [options]\n"
                          "       nbdcheck-run bisect FINDING [options]")
    add = parser.add_argument
    add("what", nargs="*", metavar="WHAT", help=argparse.SUPPRESS)
    add("--all-packaged", action="store_true",
        help="everything the installed nbdkit packages bring")
    add("--row", type=of(pattern), metavar="REGEX", help="only rows that match")
    add("--shard", type=of(shard), metavar="I/N", help="only every N-th job, from the I-th on")
    add("--list", action="store_true", help="print the jobs and run none")

    group = parser.add_argument_group("for all plugins; over what a matrix file says")
    add = group.add_argument
    add("--profile", type=of(profile_list), metavar="NAME,...", help="quick, standard, thorough")
    add("--seeds", type=of(seeds_of), metavar="1-20", help="a run for each seed (default: 1)")
    add("--nbdkit", action="append", type=path_of_nbdkit, metavar="PATH|none",
        help="a run beside each; repeatable")
    add("--time", type=of(seconds), metavar="SECONDS", help="of checking, instead of the profile's")
    add("--limit", type=of(seconds), metavar="SECONDS", help="after that a job is killed")
    add("--memory", type=of(bytes_of), metavar="SIZE", help="with more a job is killed: 2G")
    add("--cores", type=of(positive), metavar="N", help="checks at once in each job (default: 1)")
    add("--fail-on", choices=[s.lower() for s in SEVERITIES], help="default: must")
    add("--waivers", metavar="FILE", help="known findings, as for nbdcheck")
    add("--options", type=of(shlex.split), default=[], metavar="'...'",
        help="further options of nbdcheck")
    add("--nbdcheck", metavar="PATH", help="default: beside this program, or in PATH")

    group = parser.add_argument_group("how to run")
    add = group.add_argument
    add("--directory", metavar="DIR", help="where results go (default: nbdcheck-results)")
    add("--resume", action="store_true", help="go on with the run in DIR")
    add("--engine", choices=("local", "slurm", "parallel"), default="local")
    add("--parallel", type=of(positive), metavar="N",
        help="jobs at once (default: one for each core)")
    add("--memory-total", type=of(bytes_of), metavar="SIZE",
        help="for all jobs (default: 90 %% of the machine's)")
    add("--retries", type=of(count), default=1, metavar="N",
        help="of a job whose worker was lost (default: 1)")
    add("--sshlogin", action="append", metavar="HOST,...", help="for GNU parallel; repeatable")
    add("--sbatch", action="append", default=[], metavar="OPTION",
        help="a further option of sbatch; repeatable")
    add("--progress", choices=("auto", "live", "plain"), default="auto",
        help="auto: live on a terminal, unless NO_COLOR is set")
    add_reports(parser)
    return parser


def report_parser():
    parser = Parser(prog="nbdcheck-run report", allow_abbrev=False,
                    description="Writes reports anew, of one run or of several put together.")
    parser.add_argument("directories", nargs="+", metavar="DIRECTORY")
    add_reports(parser)
    return parser


def worker_parser():
    parser = Parser(prog="nbdcheck-run worker", allow_abbrev=False,
                    description="Runs one job of a directory; what the engines start.")
    parser.add_argument("directory")
    parser.add_argument("job")
    parser.add_argument("--attempt", type=int, default=1)
    parser.add_argument("--with-parent", action="store_true")
    return parser
