"""Space-time diagrams as SVG: threads are columns, time goes down.

nbdcheck gives them as lines of text (judge/diagram.cpp, checks/step_words.cpp):

          time  thread 0                      thread 1
        0.0 us  + [2] #0 write(...)
       24.0 us  |                             + [3] #0 write(...)
      106.0 us  + done                        |

and, where one request was stopped on its way, without times:

    thread A                                thread B
    write(offset=66048, count=512)
      | at change_blocks at races_slow.c:130
                                            write(offset=66560, count=512)
      |                                       end
      end
"""

import dataclasses
import html
import re

HEAD = re.compile(r"^(?:\s+time  )?thread \S+(?:\s{2,}thread \S+)*$")
TIME = re.compile(r"^\s*(\d+\.\d) us  ")
COLUMN, ROW, TOP, LEFT = 300, 26, 34, 86


@dataclasses.dataclass
class Moment:
    time: str  # "24.0 us", or ""
    cells: list  # of text, one for each thread


def find_diagram(lines):
    """(where it begins, where it ends, names of the threads, moments), or None."""
    for begin, line in enumerate(lines):
        if not HEAD.match(line):
            continue
        columns = [match.start() for match in re.finditer(r"thread \S+", line)]
        names = re.findall(r"thread \S+", line)
        timed = line.lstrip().startswith("time")
        moments = []
        for text in lines[begin + 1:]:
            time = TIME.match(text)
            if timed and not time:
                break
            ends = [*columns[1:], len(text)]
            # A cell may be longer than its column where the next one is empty.
            cells = [text[column:end].strip() for column, end in zip(columns, ends)]
            moments.append(Moment(f"{time[1]} us" if time else "", cells))
        if moments:
            return begin, begin + 1 + len(moments), names, moments
    return None


def spans_of(moments, column, timed):
    """(first moment, last moment, words, how it ended) of each request of a thread."""
    opened = None
    for index, moment in enumerate(moments):
        cell = moment.cells[column]
        if timed:
            if cell.startswith("+ ["):
                opened = index, cell[2:]
            elif cell.startswith("+ ") and opened:
                yield opened[0], index, opened[1], cell[2:]
                opened = None
        elif cell == "end" and opened:
            yield opened[0], index, opened[1], "done"
            opened = None
        elif cell == "| never ends" and opened:
            yield opened[0], index, opened[1], "never ends"
            opened = None
        elif cell and not cell.startswith("|"):
            opened = index, cell
    if opened:
        yield opened[0], len(moments) - 1, opened[1], "never ends"


def text(x, y, words, style=""):
    style = f' class="{style}"' if style else ""
    return f'<text x="{x}" y="{y}"{style}>{html.escape(words)}</text>'


def svg_of(lines):
    """(svg, lines without the diagram); ("", lines) where there is none."""
    found = find_diagram(lines)
    if not found:
        return "", lines
    begin, end, names, moments = found
    timed = any(moment.time for moment in moments)
    left = LEFT if timed else 16
    width = left + COLUMN * len(names)
    height = TOP + ROW * len(moments) + 10
    parts = []
    for index, moment in enumerate(moments):
        y = TOP + ROW * index + 8
        if moment.time:
            parts.append(text(left - 14, y + 4, moment.time, "time"))
            parts.append(f'<line class="grid" x1="{left - 8}" x2="{width}" y1="{y}" y2="{y}"/>')
    for column, name in enumerate(names):
        x = left + COLUMN * column
        parts.append(text(x, 16, name, "thread"))
        parts.append(f'<line class="life" x1="{x + 6}" x2="{x + 6}" y1="24" y2="{height - 4}"/>')
        for first, last, words, how in spans_of(moments, column, timed):
            top, bottom = TOP + ROW * first + 8, TOP + ROW * last + 8
            style = "call" if how == "done" else "call bad"
            parts.append(f'<rect class="{style}" x="{x}" y="{top}" width="12" rx="3" '
                         f'height="{max(6, bottom - top)}"><title>{html.escape(words)}: '
                         f'{html.escape(how)}</title></rect>')
            parts.append(text(x + 18, top + 4, words, "words"))
            if how != "done":
                parts.append(text(x + 18, bottom + 4, how, "how"))
        for index, moment in enumerate(moments):
            if moment.cells[column].startswith("| at "):
                y = TOP + ROW * index + 8
                parts.append(f'<circle class="stop" cx="{x + 6}" cy="{y}" r="5"/>')
                parts.append(text(x + 18, y + 4, "stopped " + moment.cells[column][2:], "how"))
    body = "".join(parts)
    label = f"Space-time diagram of {len(names)} threads"
    return (f'<svg class="spacetime" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-label="{label}">{body}</svg>',
            [*lines[:begin], *lines[end:]])
