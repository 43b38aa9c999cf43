"""The API documentation builds without a warning, and has what people look for.

    api_test.py SOURCE_DIRECTORY OUTPUT_DIRECTORY DOXYGEN

The pages are in OUTPUT_DIRECTORY/html afterwards.
"""

import pathlib
import subprocess
import sys

SKIPPED = 77


def main():
    source, output, doxygen = sys.argv[1:]
    if not doxygen or doxygen.endswith("NOTFOUND"):
        print("doxygen is not installed")
        return SKIPPED
    pathlib.Path(output).mkdir(parents=True, exist_ok=True)
    settings = pathlib.Path(source, "docs/api/Doxyfile").read_text(encoding="utf-8")
    settings += f'\nOUTPUT_DIRECTORY = "{output}"\n'
    done = subprocess.run([doxygen, "-"], input=settings, cwd=source, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0 or done.stdout:
        print(done.stdout)
        return 1
    pages = "".join(page.read_text(encoding="utf-8")
                    for page in pathlib.Path(output, "html").glob("*.html"))
    missing = [name for name in ("PluginUnderTest", "SequentialJudge", "ReferenceDisk", "Succeeds",
                                 "held against the reference disk") if name not in pages]
    print(f"not in the pages: {missing}" if missing else f"{output}/html/index.html")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
