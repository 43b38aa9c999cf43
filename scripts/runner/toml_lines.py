"""On which line of a TOML document each key stands.

tomllib gives values without places.  The document is known to be valid when it
comes here, so that only the shape matters: headers, keys, and how far a value goes.
"""

import re

KEY = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)"""
HEADER = re.compile(rf"\s*(\[\[?)\s*({KEY}(?:\s*\.\s*{KEY})*)\s*\]\]?")
ASSIGNMENT = re.compile(rf"\s*({KEY}(?:\s*\.\s*{KEY})*)\s*=")


def names(dotted):
    for match in re.finditer(KEY, dotted):
        word = match[0]
        yield word[1:-1] if word[0] in "\"'" else word


class Value:
    """Follows a value over the lines it takes."""

    def __init__(self):
        self.depth = 0
        self.quote = ""  # of the string of several lines that is open

    def read(self, text):
        at = 0
        while at < len(text):
            if self.quote:
                end = text.find(self.quote, at)
                while end > 0 and self.quote == '"""' and text[end - 1] == "\\":
                    end = text.find(self.quote, end + 1)
                if end < 0:
                    return
                at, self.quote = end + 3, ""
                continue
            if text.startswith(('"""', "'''"), at):
                self.quote = text[at:at + 3]
                at += 3
                continue
            if string := re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*')""").match(text, at):
                at = string.end()
                continue
            if text[at] == "#":
                return
            self.depth += (text[at] in "[{") - (text[at] in "]}")
            at += 1

    @property
    def is_open(self):
        return bool(self.depth or self.quote)


def lines_of(document):
    """{(key, index, key, ...): line}: indexes are those of arrays of tables."""
    lines = {}
    counts = {}
    path = ()
    value = Value()
    for number, text in enumerate(document.splitlines(), 1):
        if value.is_open:
            value.read(text)
            continue
        if header := HEADER.match(text):
            path = ()
            words = list(names(header[2]))
            for word in words[:-1]:
                path += (word,)
                if path in counts:
                    path += (counts[path] - 1,)
            path += (words[-1],)
            if header[1] == "[[":
                counts[path] = counts.get(path, 0) + 1
                path += (counts[path] - 1,)
            lines[path] = number
        elif assignment := ASSIGNMENT.match(text):
            lines[path + tuple(names(assignment[1]))] = number
            value.read(text[assignment.end():])
    return lines
