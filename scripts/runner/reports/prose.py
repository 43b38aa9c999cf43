"""The little Markdown that rule pages use, as HTML."""

import html
import re

INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")


def inline(text):
    result, at = [], 0
    for match in INLINE.finditer(text):
        result.append(html.escape(text[at:match.start()]))
        result.append(f"<code>{html.escape(match[1])}</code>" if match[1]
                      else f"<strong>{html.escape(match[2])}</strong>")
        at = match.end()
    return "".join([*result, html.escape(text[at:])])


def html_of(markdown):
    """Paragraphs, headings, lists, and blocks of code."""
    parts, paragraph, items = [], [], []

    def close():
        if paragraph:
            parts.append(f"<p>{inline(' '.join(paragraph))}</p>")
            paragraph.clear()
        if items:
            parts.append("<ul>" + "".join(f"<li>{inline(item)}</li>" for item in items) + "</ul>")
            items.clear()

    lines = iter(markdown.splitlines())
    for line in lines:
        if line.startswith("```"):
            close()
            code = []
            for inner in lines:
                if inner.startswith("```"):
                    break
                code.append(inner)
            parts.append(f"<pre>{html.escape(chr(10).join(code))}</pre>")
        elif line.startswith("#"):
            close()
            parts.append(f"<h4>{inline(line.lstrip('#').strip())}</h4>")
        elif line.startswith(("* ", "- ")):
            if paragraph:
                close()
            items.append(line[2:].strip())
        elif not line.strip():
            close()
        elif items and line.startswith(" "):
            items[-1] += " " + line.strip()
        else:
            if items:
                close()
            paragraph.append(line.strip())
    close()
    return "".join(parts)
