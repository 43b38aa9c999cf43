"""One page that needs nothing else: no network, no other file."""

import datetime
import json
import pathlib

from ..common import duration, with_commas
from ..model import WAIVER_WORDS
from .page_data import PageData
from .plots import plots_of

HERE = pathlib.Path(__file__).resolve().parent


def read(name):
    return (HERE / name).read_text(encoding="utf-8")


def embedded(value):
    """JSON that no text in it can end: the page's script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def html_report(model):
    import jinja2  # here, because all the rest of the runner works without it
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True,
                                     undefined=jinja2.StrictUndefined)
    environment.filters |= {"commas": with_commas, "duration": duration}
    created = model.about.get("created")
    when = (datetime.datetime.fromtimestamp(created, datetime.timezone.utc)
            .strftime("%Y-%m-%d %H:%M UTC") if created else "")
    return environment.from_string(read("page.html.j2")).render(
        model=model, when=when, states=sorted(model.states().items()), plots=plots_of(model),
        not_checked=model.not_checked(), waiver_words=WAIVER_WORDS,
        style=read("page.css"), script=read("page.js"), data=embedded(PageData(model).value()))
