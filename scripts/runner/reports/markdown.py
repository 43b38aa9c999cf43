"""Markdown for a pull request: short, the worst first, never longer than a comment may be."""

import collections
import re

from ..common import duration, printable, with_commas
from ..model import WAIVER_WORDS

MOST = 60_000  # characters; a comment on GitHub has room for 65,536
SHOWN = 20  # findings told in full


def cell(text):
    escaped = printable(" ".join(str(text).split())).replace("\\", "\\\\")
    return escaped.replace("|", "\\|").replace("`", "'").replace("<", "&lt;")


def code(text):
    """In a code span no markup means anything; no text can end it."""
    text = printable(" ".join(str(text).split())).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"`{text}`" if fence == "`" else f"{fence} {text} {fence}"


def fenced(lines):
    """No text can end the block: the fence is longer than any in it."""
    text = "\n".join(lines)
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"


def details(finding):
    job, best = finding.best
    lines = [best.get("message") or ""]
    if best.get("calls"):
        lines += ["", *(f"{n:3}  {call}" for n, call in enumerate(best["calls"], 1))]
    lines += [""] + [f"{key:<9} {best[key]}" for key in ("expected", "actual") if best.get(key)]
    lines += best.get("details") or ()
    if best.get("replay"):
        lines += ["", best["replay"]]
    title = cell(f"{finding.severity} {finding.rule}: {finding.row}")
    return f"<details><summary>{title}</summary>\n\n{fenced(lines)}\n\n</details>\n"


def table(header, rows):
    if not rows:
        return []
    columns = header.split("|")
    return ["", f"| {' | '.join(c.strip() for c in columns)} |", "|---" * len(columns) + "|",
            *(f"| {' | '.join(row)} |" for row in rows)]


def markdown_report(model):
    mark = {0: "✅", 1: "❌"}.get(model.exit_code, "⚠️")
    states = ", ".join(f"{count} {state}" for state, count in sorted(model.states().items()))
    lines = [f"## {mark} nbdcheck: {model.verdict}", "",
             f"{len(model.jobs)} jobs ({states}), {with_commas(model.operations)} operations in "
             f"{duration(model.wall_seconds)}."]
    if model.has_baseline:
        told = collections.Counter(f.baseline for f in model.findings)
        lines.append(f"Since the baseline: {told['new']} new, {len(model.gone)} gone, "
                     f"{told['still']} still there.")
    lines += table("severity | rule | plugin | seen in |", [
        (f.severity + (" (waived)" if f.waived else ""), code(f.rule), code(f.row), f.rate,
         f.baseline) for f in model.findings])
    lines += table("no verdict | seed | why", [
        (code(job.job.row), str(job.job.seed), cell(f"{job.state}: {job.reason}"))
        for job in model.without_verdict])
    lines += table("gone | plugin", [(code(f["rule"]), code(f["row"])) for f in model.gone])
    lines += table("waiver | plugin | reason | until | state", [
        (code(w["rule"]), code(w["plugin"]), cell(w["reason"]), cell(w.get("until") or ""),
         WAIVER_WORDS[w["state"]]) for w in model.waivers])
    lines.append("")
    size = sum(len(line) + 1 for line in lines)
    told = 0
    for finding in model.findings:
        more = details(finding)
        if told == SHOWN or size + len(more) > MOST:
            break
        told += 1
        size += len(more) + 1
        lines.append(more)
    if told < len(model.findings):
        lines.append(f"{len(model.findings) - told} more findings are told in the report.")
    text = "\n".join(lines).rstrip() + "\n"
    if len(text) > MOST + 2000:
        text = text[:MOST].rpartition("\n")[0] + "\n\nThis was cut short; the report has it all.\n"
    return text
