"""What all pages have in common: one file that loads nothing, of parts that other commands may put in."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from qcc import __version__
from qcc.analyze.page.elements import Html, tag
from qcc.errors import OutputError
from qcc.files import write_text
from qcc.inputs import read_input, why

Parts = Mapping[str, Html]

PAGE = "report.html"
"""What a page is called that stands beside what was written."""

TIMES = "times"
"""The part that `qcc bench` puts into a page."""

_ORDER = ("summary", TIMES, "signal", "ops", "floats", "network")
_GENERATOR = "qcc"
_LARGEST = 1 << 26

# Texts are escaped, so that none of them can look like these.
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
_PART = re.compile(r'<section data-part="(\w+)">(.*?)</section>', re.DOTALL)


def page(title: str, parts: Parts) -> str:
    """The text of a page. Parts come in the order of `_ORDER`, whatever theirs is.

    Nothing is loaded from anywhere, and the one style and the one script are let through by their digests
    alone, so that nothing else that got into the page would be run.
    """
    style, script = _asset("style.css"), _asset("script.js")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none';"
        " form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=f"{_GENERATOR} {__version__}"),
        tag("title", title),
        Html(f"<style>{style}</style>"),
    )
    sections = (tag("section", parts[name], data_part=name) for name in _ORDER if name in parts)
    body = tag("body", tag("main", *sections), Html(f"<script>{script}</script>"))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def put_part(path: Path, title: str, name: str, content: Html) -> None:
    """Put a part into the page at `path`, in place of the one that it had; where there is no page, write one
    that begins with the title.

    Raises OutputError, also where the file that is there is no page of qcc.
    """
    parts: dict[str, Html] = {"summary": tag("h1", title)}
    if path.exists():
        title, parts = read_page(path)
    write_text(path, page(title, {**parts, name: content}))


def read_page(path: Path) -> tuple[Html, dict[str, Html]]:
    """The title and the parts of a page that qcc has written.  Raises OutputError where it is none."""
    try:
        text = read_input(path, _LARGEST).decode()
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be read, to put something into it: {why(error)}.") from error
    title = _TITLE.search(text)
    parts = {name: Html(content) for name, content in _PART.findall(text) if name in _ORDER}
    if title is None or not parts or f'<meta name="generator" content="{_GENERATOR} ' not in text:
        raise OutputError(f"{path} is there, and is no page of qcc: give another name.")
    return Html(title[1]), parts


def _asset(name: str) -> str:
    return files("qcc.analyze.page").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
