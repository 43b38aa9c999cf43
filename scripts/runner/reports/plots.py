"""Plots as SVG, coloured by the page's style sheet, so that they are light or dark with it."""

import html
import math

from ..common import duration, with_commas

WIDTH, LABEL, BAR = 900, 330, 18
MOST = 40  # bars; the rest is told in words
PARTS = (("start_up", "start-up"), ("checks", "checks"), ("shrinking", "shrinking"),
         ("idle", "idle"))


def text(x, y, words, style="", anchor="start"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">'
            f'{html.escape(words)}</text>')


def short(words, most=46):
    return words if len(words) <= most else words[:most - 1] + "…"


def frame(height, label, body):
    return (f'<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img" '
            f'aria-label="{html.escape(label)}">{body}</svg>')


def rates(model):
    """[(row, operations per second of checking)], fastest first."""
    result = []
    for row, jobs in model.rows.items():
        operations = sum(job.report["operations"] for job in jobs if job.report)
        seconds = sum(check["seconds"] for job in jobs for check in job.checks
                      if check["operations"])
        if operations and seconds > 0:
            result.append((row, operations / seconds))
    return sorted(result, key=lambda pair: -pair[1])


def operations_plot(model):
    bars = rates(model)
    if not bars:
        return ""
    shown, top = bars[:MOST], math.log10(max(rate for _, rate in bars) + 1)
    body = []
    for index, (row, rate) in enumerate(shown):
        y = index * BAR
        # Plugins differ by a factor of a thousand: a logarithm shows all of them.
        width = max(2, (WIDTH - LABEL - 120) * math.log10(rate + 1) / top)
        body.append(text(LABEL - 8, y + 13, short(row), "label", "end"))
        body.append(f'<rect class="bar" x="{LABEL}" y="{y + 3}" width="{width:.1f}" '
                    f'height="{BAR - 5}"><title>{html.escape(row)}</title></rect>')
        body.append(text(LABEL + width + 6, y + 13, f"{with_commas(round(rate))}/s", "value"))
    return frame(BAR * len(shown) + 4, "Operations per second by row", "".join(body))


def timings_plot(model):
    """Where each row's time went, in seconds of processors, longest first."""
    rows = []
    for row, jobs in model.rows.items():
        parts = [sum((job.report.get("time") or {}).get(key, {}).get("seconds", 0)
                     for job in jobs if job.report) for key, _ in PARTS]
        if sum(parts) > 0:
            rows.append((row, parts, sum(job.seconds for job in jobs)))
    rows.sort(key=lambda entry: -sum(entry[1]))
    if not rows:
        return ""
    shown, longest = rows[:MOST], sum(rows[0][1])
    body = []
    x = LABEL
    for index, (_, name) in enumerate(PARTS):
        body.append(f'<rect class="part{index}" x="{x}" y="4" width="12" height="12"/>')
        body.append(text(x + 18, 14, name, "label"))
        x += 110
    for index, (row, parts, taken) in enumerate(shown):
        y = 24 + index * BAR
        x = float(LABEL)
        body.append(text(LABEL - 8, y + 13, short(row), "label", "end"))
        for part, seconds in enumerate(parts):
            width = (WIDTH - LABEL - 120) * seconds / longest
            body.append(f'<rect class="part{part}" x="{x:.1f}" y="{y + 3}" width="{width:.1f}" '
                        f'height="{BAR - 5}"><title>{html.escape(row)}: {PARTS[part][1]} '
                        f'{seconds:.1f} s</title></rect>')
            x += width
        body.append(text(x + 6, y + 13, duration(taken) if taken >= 10 else f"{taken:.1f} s",
                         "value"))
    return frame(BAR * len(shown) + 28, "Time by row", "".join(body))


def lanes_of(jobs):
    """Jobs that ran one after the other share a lane; [[job, ...], ...]"""
    lanes = []
    for job in sorted(jobs, key=lambda job: job.result["begin"]):
        for lane in lanes:
            if lane[-1].result["end"] <= job.result["begin"] + 0.05:
                lane.append(job)
                break
        else:
            lanes.append([job])
    return lanes


def timeline_plot(model):
    """Which host ran what, and when."""
    ran = [job for job in model.jobs if job.host]
    if not ran or model.wall_seconds <= 0:
        return ""
    begin, whole = min(job.result["begin"] for job in ran), model.wall_seconds
    body, y = [], 0
    for host in model.hosts:
        for lane in lanes_of([job for job in ran if job.host == host]):
            body.append(text(LABEL / 2 - 8, y + 13, short(host, 24), "label", "end"))
            for job in lane:
                x = LABEL / 2 + (WIDTH - LABEL / 2 - 10) * (job.result["begin"] - begin) / whole
                width = max(1.0, (WIDTH - LABEL / 2 - 10) * job.seconds / whole)
                kind = {0: "good", 1: "bad", None: "skip"}.get(job.exit_code, "odd")
                body.append(
                    f'<rect class="run {kind}" x="{x:.1f}" y="{y + 2}" width="{width:.1f}" '
                    f'height="{BAR - 4}"><title>{html.escape(job.job.row)} seed {job.job.seed}: '
                    f'{html.escape(job.verdict)}, {job.seconds:.1f} s on {html.escape(host)}'
                    f'</title></rect>')
            y += BAR
    body.append(text(LABEL / 2, y + 14, "0 s", "value"))
    body.append(text(WIDTH - 10, y + 14, duration(whole), "value", "end"))
    return frame(y + 20, "Which host ran what, and when", "".join(body))


def plots_of(model):
    """[(title, what it shows, svg)]"""
    rows = len(model.rows)
    more = f"; the first {MOST} of {rows} rows" if rows > MOST else ""
    plots = [
        ("Operations per second", f"While checking, on a logarithmic scale{more}.",
         operations_plot(model)),
        ("Time", f"Where the time of each row went, all its runs together{more}; the figure is "
                 "the time that passed.", timings_plot(model)),
        ("Timeline", "Each bar is a job, each line what ran one after another on a host.",
         timeline_plot(model)),
    ]
    return [plot for plot in plots if plot[2]]
