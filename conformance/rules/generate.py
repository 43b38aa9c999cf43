#!/usr/bin/env python3
"""Turns the rule pages into catalogue_data.cpp, docs/rules.md or nbdcheck-rules(7).

Every page is checked first; what is wrong is reported as FILE:LINE: text, all
of it at once, and nothing is written.
"""

import argparse
import pathlib
import re
import sys

sys.dont_write_bytecode = True
import roff  # noqa: E402

KEYS = ("title", "severity", "since", "source", "contract")
SEVERITIES = {"MUST": "must", "SHOULD": "should", "QUALITY": "quality"}
SECTIONS = ("## In practice", "## How to fix it")
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
RAW_END = ')page"'


class Page:
    def __init__(self, identifier, header, text):
        self.id = identifier
        self.header = header
        self.text = text


def read_page(path, root, errors):
    """The page in `path`, or None after adding what is wrong to `errors`."""
    before = len(errors)

    def wrong(line, text):
        errors.append(f"{path}:{line}: {text}")

    parts = path.relative_to(root).parts
    names = (*parts[:-1], path.stem)
    if len(names) != 2 or not all(NAME.fullmatch(name) for name in names):
        wrong(1, "a page is <group>/<name>.md, in kebab-case")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        wrong(1, error)
        return None

    for number, line in enumerate(lines, 1):
        if RAW_END in line:
            wrong(number, f"a page cannot contain {RAW_END}")

    header = {}
    end = next((i for i, line in enumerate(lines) if line == "---"), None)
    if end is None:
        wrong(len(lines) or 1, "no line '---' after the header")
        return None
    for number, line in enumerate(lines[:end], 1):
        key, colon, value = line.partition(": ")
        if not colon or not value.strip():
            wrong(number, f"expected 'key: value', found '{line}'")
        elif key not in KEYS:
            wrong(number, f"unknown key '{key}'; keys are {', '.join(KEYS)}")
        elif key in header:
            wrong(number, f"second '{key}'")
        else:
            header[key] = value.strip()
            if key == "severity" and header[key] not in SEVERITIES:
                wrong(number, f"severity is one of {', '.join(SEVERITIES)}")
            if key == "since" and not re.fullmatch(r"\d+\.\d+(\.\d+)?", header[key]):
                wrong(number, "since is a release of nbdkit, such as 1.24")
            if key == "title" and header[key].endswith("."):
                wrong(number, "the title has no full stop")
    for key in KEYS:
        if key not in header and not any(f": expected 'key: value', found '{key}" in e
                                         for e in errors[before:]):
            wrong(end + 1, f"'{key}' is missing from the header")

    body = lines[end + 1:]
    first = next((i for i, line in enumerate(body) if line.startswith("## ")), len(body))
    if not "".join(body[:first]).strip():
        wrong(end + 2, "what is demanded is not said before the first section")
    for section in SECTIONS:
        if body.count(section) != 1:
            wrong(end + 2, f"the section '{section}' must be there once")
            continue
        start = body.index(section) + 1
        stop = next((i for i in range(start, len(body)) if body[i].startswith("## ")), len(body))
        if not "".join(body[start:stop]).strip():
            wrong(end + 1 + start, f"the section '{section}' is empty")
    if len(errors) > before:
        return None
    return Page(".".join(names), header, "\n".join(body).strip() + "\n")


def read_pages(root):
    errors = []
    paths = [p for p in sorted(root.glob("**/*.md")) if p != root / "README.md"]
    pages = [read_page(path, root, errors) for path in paths]
    if errors:
        sys.exit("\n".join(errors))
    return sorted(pages, key=lambda page: page.id)


def literal(text):
    """`text` as a C++ string literal; read_page refuses what would end it."""
    return f'R"page({text}{RAW_END}'


def cpp(pages):
    out = ["// Generated from the rule pages by conformance/rules/generate.py.\n",
           '#include "rules/catalogue.hpp"\n\n', "namespace nbdcheck {\nnamespace {\n\n"]
    if pages:
        out.append("constexpr Rule rules[] = {\n")
        for page in pages:
            severity = SEVERITIES[page.header["severity"]]
            out.append("    {\n")
            fields = [literal(page.id), literal(page.header["title"]), f"Severity::{severity}",
                      literal(page.header["since"]), literal(page.header["source"]),
                      literal(page.header["contract"]), literal(page.text)]
            out += [f"        {field},\n" for field in fields]
            out.append("    },\n")
        out.append("};\n\n}  // namespace\n\n")
        out.append("std::span<const Rule> all_rules() { return rules; }\n")
    else:
        out.append("}  // namespace\n\nstd::span<const Rule> all_rules() { return {}; }\n")
    out.append("\n}  // namespace nbdcheck\n")
    return "".join(out)


def anchor(identifier):
    return identifier.replace(".", "-")


def markdown(pages):
    out = ["# The rules\n\n",
           "Generated from the pages in `conformance/rules/` by `conformance/rules/generate.py`;\n",
           "`nbdcheck explain RULE` prints the same. MUST is documented or asserted by nbdkit,\n",
           "SHOULD is documented advice or expected by file systems, QUALITY is all else.\n\n",
           "| rule | severity | since | what it says |\n|---|---|---|---|\n"]
    for page in pages:
        title = page.header["title"].replace("|", "\\|")
        out.append(f"| [{page.id}](#{anchor(page.id)}) | {page.header['severity']} "
                   f"| {page.header['since']} | {title} |\n")
    for page in pages:
        # The page's own sections go one level below the rule's heading.
        text = re.sub(r"^## ", "### ", page.text, flags=re.MULTILINE)
        out.append(f'\n<a id="{anchor(page.id)}"></a>\n\n## {page.id}\n\n'
                   f"**{page.header['title']}**\n\n"
                   f"{page.header['severity']}, since nbdkit {page.header['since']}; "
                   f"source: {page.header['source']}\n\n{text}")
    return "".join(out)


def write_if_changed(path, text):
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--cpp", type=pathlib.Path, help="write catalogue_data.cpp there")
    parser.add_argument("--markdown", type=pathlib.Path, help="write docs/rules.md there")
    parser.add_argument("--man", type=pathlib.Path, help="write nbdcheck-rules.7 there")
    parser.add_argument("--version", default="", help="of nbdcheck, for the manual page")
    parser.add_argument("--date", default="", help="of the manual page")
    parser.add_argument("--check", type=pathlib.Path,
                        help="fail unless this docs/rules.md is up to date")
    options = parser.parse_args()
    pages = read_pages(options.pages)
    if options.cpp:
        options.cpp.write_text(cpp(pages), encoding="utf-8")
    if options.markdown:
        write_if_changed(options.markdown, markdown(pages))
    if options.man:
        options.man.write_text(roff.manual(pages, options.version, options.date), encoding="utf-8")
    if options.check:
        current = options.check.read_text(encoding="utf-8") if options.check.exists() else ""
        if current != markdown(pages):
            sys.exit(f"{options.check} is out of date; run "
                     f"conformance/rules/generate.py --markdown {options.check}")


if __name__ == "__main__":
    main()
