"""Which report is written by whom."""

from ..common import write_whole
from ..summary import write_summary


def write(name, path, model):
    if name == "summary":
        write_summary(path, model)
        return
    if name == "html":
        from .html import html_report as make
    elif name == "junit":
        from .junit import junit_report as make
    elif name == "tap":
        from .tap import tap_report as make
    elif name == "sarif":
        from .sarif import sarif_report as make
    else:
        from .markdown import markdown_report as make
    write_whole(path, make(model))
