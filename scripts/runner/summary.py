"""The summary: as lines for a terminal, and as JSON for a later --baseline."""

import json
import os

from .common import BadInput, duration, printable, read_json, with_commas, write_whole
from .model import WAIVER_WORDS, Model
from .rundir import RunDirectory

SCHEMA = 1
MOST = 100  # findings that are told on a terminal


def summary_of(model):
    return {
        "nbdcheck-run": SCHEMA,
        "kind": "summary",
        "nbdcheck": model.about.get("nbdcheck"),
        "nbdkit": model.about.get("nbdkit"),
        "verdict": model.verdict,
        "exit_code": model.exit_code,
        "jobs": dict(model.states()),
        "operations": model.operations,
        "seconds": round(model.wall_seconds, 3),
        "hosts": {host: jobs for host, (jobs, _) in model.hosts.items()},
        "rows": sorted(model.rows),
        "findings": [{
            "row": f.row, "rule": f.rule, "severity": f.severity, "title": f.title,
            "found": len(f.jobs), "runs": f.runs, "seeds": [job.job.seed for job in f.jobs],
            "waived": f.waived, "decides": f.decides, "baseline": f.baseline or None,
        } for f in model.findings],
        "gone": [{"row": f["row"], "rule": f["rule"]} for f in model.gone],
        "without_verdict": [{"job": job.job.id, "row": job.job.row, "seed": job.job.seed,
                             "state": job.state, "reason": job.reason}
                            for job in model.without_verdict],
        "waivers": [{key: waiver[key] for key in ("rule", "plugin", "reason", "until", "state")}
                    for waiver in model.waivers],
    }


def write_summary(path, model):
    write_whole(path, json.dumps(summary_of(model), indent=1, ensure_ascii=False) + "\n")


def read_summary(path):
    """Of an earlier run: its directory, or the file that --summary wrote."""
    if os.path.isdir(path):
        return summary_of(Model([RunDirectory(path).load()]))
    try:
        summary = read_json(path)
        if summary.get("nbdcheck-run") != SCHEMA or summary.get("kind") != "summary":
            raise ValueError("not a summary of nbdcheck-run")
        if not all(isinstance(f["row"], str) and isinstance(f["rule"], str)
                   for f in summary["findings"]):
            raise ValueError("not a summary of nbdcheck-run")
    except (ValueError, KeyError, TypeError) as problem:
        raise BadInput(f"--baseline={path}: {problem}") from None
    return summary


def plural(count, what):
    return f"{with_commas(count)} {what}{'' if count == 1 else 's'}"


def terminal_summary(model):
    lines = [""]
    for finding in model.findings[:MOST]:
        mark = "  waived" if finding.waived else ""
        mark += f"  {finding.baseline}" if finding.baseline else ""
        lines.append(f"{finding.severity:<8} {finding.rule:<28} {finding.rate:<14} "
                     f"{finding.row}{mark}")
    if len(model.findings) > MOST:
        lines.append(f"and {plural(len(model.findings) - MOST, 'more finding')}, in the report")
    lines += [f"gone     {f['rule']:<28} {'':<14} {f['row']}" for f in model.gone]
    lines += [f"not checked again: {f['rule']}  {f['row']}" for f in model.not_checked_again]
    lines += [f"{job.state}: {job.job.row}  seed {job.job.seed}: {job.reason}"
              for job in model.without_verdict]
    lines += [f"waiver {w['rule']} for {w['plugin']}: {WAIVER_WORDS[w['state']]}"
              for w in model.waivers]
    lines += [f"note: {note}" for note in model.notes]
    if len(lines) > 1:
        lines.append("")
    states = ", ".join(f"{count} {state}" for state, count in sorted(model.states().items()))
    lines.append(f"{model.verdict}: {plural(len(model.jobs), 'job')} ({states}), "
                 f"{plural(len(model.rows), 'row')}, {plural(len(model.findings), 'finding')}; "
                 f"{with_commas(model.operations)} operations in {duration(model.wall_seconds)}")
    if model.has_baseline:
        states = [f.baseline for f in model.findings]
        lines.append(f"baseline: {states.count('new')} new, {len(model.gone)} gone, "
                     f"{states.count('still')} still there, "
                     f"{len(model.not_checked_again)} not checked again")
    return "".join(printable(line) + "\n" for line in lines)
