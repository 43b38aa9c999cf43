"""What all of the runner shares: exit codes, bad input, files that are whole or not there."""

import json
import os
import signal
import sys

EXIT_CONFORMANT = 0
EXIT_FINDINGS = 1
EXIT_USAGE = 2
EXIT_FAILED = 3  # nbdcheck, the runner, or the machine
EXIT_NOTHING = 4

SEVERITIES = ("MUST", "SHOULD", "QUALITY")
PROFILES = ("quick", "standard", "thorough")
# About how long a run takes with one check at a time, until one has been seen; docs/runner.md.
EXPECTED_SECONDS = {"quick": 4, "standard": 25, "thorough": 310}
# After that a run is killed: it has watchdogs of its own, so these are for what escapes them.
LIMIT_SECONDS = {"quick": 300, "standard": 900, "thorough": 3600}


class BadInput(Exception):
    """One line for the user; exit code 2."""


class Failure(Exception):
    """One line for the user; exit code 3."""


def complain(text):
    print(f"nbdcheck-run: {printable(text)}", file=sys.stderr, flush=True)


def printable(text):
    """Without what would move a terminal's cursor: plugins choose some of these texts."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def with_commas(number):
    return f"{number:,}"


def duration(seconds):
    seconds = int(seconds + 0.5)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02} min"
    return f"{seconds // 3600}:{seconds % 3600 // 60:02} h"


def write_whole(path, text):
    """Writes a file that is there whole or not at all, whenever the power goes."""
    path = str(path)
    if not os.path.isfile(path) and os.path.exists(path):  # /dev/stdout, a pipe
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return
    fresh = f"{path}.{os.getpid()}.new"
    try:
        with open(fresh, "w", encoding="utf-8", errors="replace") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.replace(fresh, path)
    except OSError:
        try:
            os.unlink(fresh)
        except OSError:
            pass
        raise
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def write_json(path, value):
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path):
    """The object in a file, or ValueError in words."""
    try:
        with open(path, encoding="utf-8") as text:
            value = json.load(text)
    except (OSError, ValueError, RecursionError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise ValueError(f"{os.path.basename(path)}: {reason}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{os.path.basename(path)}: not an object")
    return value


UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def bytes_of(text):
    """"2G" as a number."""
    number, unit = (text[:-1], text[-1]) if text[-1:].isalpha() else (text, "")
    if not number.isdecimal() or unit.upper() not in UNITS:
        raise ValueError(f"not a size: {text!r} (512M, 2G)")
    return int(number) * UNITS[unit.upper()]


def seeds_of(value):
    """[1, 2] or "1-20" or "1,5,9-12" as a list of seeds."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if isinstance(value, str):
        seeds = []
        for part in value.split(","):
            first, dash, last = part.strip().partition("-")
            if not first.isdecimal() or (dash and not last.isdecimal()):
                raise ValueError(f"not a list of seeds: {value!r} (1-20, or 1,5,9-12)")
            if dash and int(last) - int(first) >= 100_000:
                raise ValueError(f"more than 100,000 seeds: {value!r}")
            seeds += range(int(first), int(last or first) + 1)
    else:
        seeds = list(value)
    if not seeds or any(isinstance(s, bool) or not isinstance(s, int) or not 0 <= s < 2**64
                        for s in seeds):
        raise ValueError("seeds are integers from 0 to 2^64-1, at least one")
    return list(dict.fromkeys(seeds))
