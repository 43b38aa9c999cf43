#!/usr/bin/python3
"""The plugin in process and in the real nbdkit: equal, whatever the plugin.

  run.py --nbdcheck=PATH --plugins=DIRECTORY [--packaged=DIRECTORY] [--time=SECONDS] [--seed=N]
         [--list=reference|packaged] [--only=REGEX] [--shard=I/N] [--verbose]

Runs the differential checks on all correct reference plugins
(reference-plugins/correct.txt) and all packaged ones (tests/packaged/table.toml),
and prints how many observations were compared.  Every difference must be
explained by EXPLAINED, which names bugs of packaged plugins and of nbdkit that
docs/packaged-plugins.md and docs/nbdkit-divergences.md tell of.  77: nbdkit is not installed.
"""
import argparse
import collections
import concurrent.futures
import importlib.util
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True  # nothing is left in the source tree
sys.path.insert(0, str(ROOT / "scripts"))
import reference_plugins  # noqa: E402  (found by the line above)

LIMIT = 120  # seconds a row

ZSTD = "memory that is not set decides what .extents of allocator=zstd says, or crashes"
SPARSE_RANDOM = "unaligned reads of sparse-random differ, in both servers"
NULL = "null forgets what is written, in both servers"
FULL = "full fails without nbdkit_error, in both servers"
SPLIT = ".extents of split crashes, in both servers"
TCL = "a channel that is open when nbdkit stops makes Tcl abort, in both servers"
RUBY = "the ruby interpreter crashes at the first connection, in both servers"

# Row: why its checks need not pass.
EXPLAINED = {
    "memory-zstd-1M": ZSTD, "memory-zstd-1T": ZSTD, "data-zstd": ZSTD,
    "sparse-random-1M": SPARSE_RANDOM, "sparse-random-16G": SPARSE_RANDOM,
    "null-1M": NULL, "null-huge": NULL, "full-1M": FULL, "full-huge": FULL,
    "split": SPLIT, "split-1T": SPLIT, "ruby": RUBY, "ruby-odd": RUBY,
    "tcl": TCL, "tcl-1T": TCL,
}
# The checks that these may spoil; the others have to pass.
SPOILT = ("differential.random", "differential.concurrent", "start")
# These end nbdkit, which shows in any check, as this rule.
FATAL = (TCL, RUBY)
NBDKIT_DIES = "differential.nbdkit-survives"


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


packaged = load("packaged", ROOT / "tests" / "packaged" / "run.py")


class Reference:
    def __init__(self, fields, options):
        self.name = " ".join((fields[0], fields[1].replace(reference_plugins.SCRIPT, ""),
                              fields[2])).strip()
        self.fields = fields
        self.options = options

    def words(self, scratch):
        plugin, arguments = self.fields[0], self.fields[1].split()
        if reason := reference_plugins.why_not(self.options.plugins, plugin, arguments):
            raise packaged.Unavailable(reason)
        disk = scratch / "disk.img"
        disk.write_bytes(bytes(range(256)) * (3 << 12))
        (scratch / "disks").mkdir()
        (scratch / "disks" / "disk").write_bytes(bytes(range(256)) * 4096)
        yield from self.fields[2].split()
        yield reference_plugins.plugin_word(self.options.plugins, plugin, arguments)
        for argument in arguments:
            yield reference_plugins.expand(argument, {"FILE": disk, "DIR": scratch / "disks"})

    def close(self):
        pass


class Packaged:
    def __init__(self, row, options):
        self.name = row["name"]
        self.row = row
        self.options = options
        self.materials = None

    def words(self, scratch):
        words = shlex.split(self.row["run"])
        if not packaged.installed(self.options.packaged, words[0]):
            raise packaged.Unavailable(f"the {words[0]} plugin is not installed")
        for tool in self.row.get("needs", []):
            if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
                raise packaged.Unavailable(f"{tool} is not installed")
        self.materials = packaged.Materials(str(scratch), self.options.packaged)
        # Which checks are to run is said below.
        yield from (word for word in shlex.split(self.row.get("options", ""))
                    if not word.startswith(("--only", "--skip", "--timeout")))
        yield from map(self.materials.expand, words)

    def close(self):
        if self.materials:
            self.materials.close()


def rows(options):
    reference = (ROOT / "reference-plugins" / "correct.txt").read_text("utf-8").splitlines()
    for text in reference if options.list != "packaged" else ():
        fields = [field.strip() for field in text.split("|")]
        if len(fields) >= 4 and not text.startswith("#"):
            yield Reference(fields, options)
    if options.list != "reference":
        with open(ROOT / "tests" / "packaged" / "table.toml", "rb") as text:
            for row in tomllib.load(text)["row"]:
                yield Packaged(row, options)


def run(row, options):
    """[(check, status, reason, compared)], and what there is to show of them."""
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="nbdcheck-differential-"))
    try:
        report, printed = scratch / "report.json", scratch / "printed"
        command = [options.nbdcheck, "--profile=standard", "--only=^differential\\.", "--jobs=1",
                   f"--time={options.time}", f"--seed={options.seed}", f"--report=json:{report}",
                   f"--artifacts={scratch}/artifacts", *row.words(scratch)]
        with open(printed, "wb") as output:
            code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                  cwd=scratch, timeout=LIMIT, check=False).returncode
        if not report.exists():
            return ([("start", "unknown", f"exit code {code} and no report", 0)],
                    [printed.read_text(encoding="utf-8", errors="replace").splitlines()])
        contents = json.loads(report.read_text(encoding="utf-8"))
        checks = [(c["id"], c["status"], c["reason"] or "", c["operations"])
                  for c in contents["checks"]]
        if not checks:
            checks = [("start", "unknown", contents["error"] or contents["verdict"], 0)]
        return checks, [(f["rule"], f["message"], *f["details"]) for f in contents["findings"]]
    except subprocess.TimeoutExpired:
        return ([("start", "unknown", f"no end after {LIMIT} s", 0)],
                [printed.read_text(encoding="utf-8", errors="replace").splitlines()])
    except packaged.Unavailable as reason:
        return [("start", "skipped", str(reason), 0)], []
    finally:
        row.close()
        shutil.rmtree(scratch, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--nbdcheck", required=True, type=os.path.abspath)
    parser.add_argument("--plugins", required=True, type=lambda p: pathlib.Path(p).resolve())
    parser.add_argument("--packaged", default=packaged.plugin_directory())
    parser.add_argument("--time", default="0.15", help="seconds of random requests a row")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--list", choices=("reference", "packaged", "both"), default="both")
    parser.add_argument("--only", default="", help="rows that match this regular expression")
    parser.add_argument("--shard", default="1/1", help="I/N: every Nth row, from the Ith on")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    if not options.packaged:
        print("nbdkit is not installed: nothing is compared")
        return 77
    index, count = map(int, options.shard.split("/"))
    chosen = [row for row in rows(options) if re.search(options.only, row.name)][index - 1::count]
    compared, counts, wrong = collections.Counter(), collections.Counter(), []
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for row, (checks, findings) in zip(chosen, pool.map(lambda r: run(r, options), chosen)):
            for check, status, reason, operations in checks:
                compared[check] += operations
                good = status in ("passed", "skipped")
                known = EXPLAINED.get(row.name)
                dies = known in FATAL and {rule for rule, *_ in findings} == {NBDKIT_DIES}
                explained = not good and (check in SPOILT or dies) and known
                counts["explained" if explained else status] += 1
                if not good and not explained:
                    wrong.append(f"{row.name}: {check} {status}: {reason}")
                    print(f"DIFFERS  {wrong[-1]}", flush=True)
                    for finding in findings:
                        print("         " + "\n           ".join(finding))
                elif explained:
                    print(f"explained  {row.name}: {explained}", flush=True)
                elif options.verbose:
                    print(f"{status:<9}{row.name:<50}{check:<26}{operations:>9,}  {reason}",
                          flush=True)
    total = sum(compared.values())
    print(f"{len(chosen)} plugins and configurations, {total:,} observations compared ("
          + ", ".join(f"{n:,} {check}" for check, n in sorted(compared.items()) if n)
          + f"); {counts['passed']} checks passed, {counts['skipped']} did not apply, "
          f"{counts['explained']} explained, {len(wrong)} unexplained; "
          f"{time.monotonic() - begin:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
