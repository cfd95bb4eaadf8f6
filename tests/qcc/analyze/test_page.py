"""The page: what is in it, that all of it is there offline, and that no name gets to act."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import BROWSER, NO_BROWSER, open_page
from quantized_net import OUTPUTS, WEIGHTS, quantized_net

import qcc
from qcc.analyze.findings import Analysis
from qcc.analyze.page import html, write_page
from qcc.analyze.page.elements import joined, tag
from qcc.analyze.run import Sample, Wanted, analyze
from qcc.analyze.twins import twins
from qcc.calibrate.data.batches import Batch
from qcc.ir.text import parse_graph
from qcc.model import Model

NET = quantized_net()
HOSTILE = "</script><img src=x onerror=alert(1)>\"'\x1b[31m\u202e"

HOSTILE_NET = """
graph {for_test=true}
feeds [NAME_x]
fetches [NAME_y]

weight NAME_w: float32[2, 1, 1, 1] = [0.5, -0.25]
var NAME_x: float32[-1, 1, 4, 4]
var NAME_h: float32[-1, 2, 4, 4]
var NAME_y: float32[-1, 2, 4, 4]

NAME_h = conv2d(Input=NAME_x, Filter=NAME_w)
NAME_y = relu(X=NAME_h)
"""


class Page(HTMLParser):
    """Elements with their attributes, and the text inside style, script and the rest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {"style": "", "script": "", "": ""}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in self.texts:
            self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.texts[self._inside] += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


@contextmanager
def silent(name: str, total: int) -> Iterator[Any]:
    yield lambda done: None


def analysis_of(
    folder: Path,
    model: Model,
    skip: tuple[str, ...] = (),
    top: int | None = None,
    batches: Sequence[Batch] = NET.batches,
) -> Analysis:
    quantized = qcc.quantize(model, batches, skip_vars=skip)
    sample = Sample([partial(dict, batch) for batch in batches], "")
    found, _ = analyze(
        "net",
        twins(quantized, model),
        sample,
        folder / "journal",
        Wanted(top, silent),
        facts={"data": "noise"},
    )
    return found


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """With one op that stays float."""
    return analysis_of(tmp_path_factory.mktemp("page"), NET.model, (WEIGHTS[1],))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Of a network whose variables have names that are markup."""
    text = re.sub(r"NAME_(\w+)", lambda found: json.dumps(f"{HOSTILE} {found[1]}"), HOSTILE_NET)
    model = Model(parse_graph(text))
    random = np.random.default_rng(0)
    batches = [{model.feeds[0]: random.standard_normal((1, 1, 4, 4)).astype(np.float32)}]
    found = analysis_of(tmp_path_factory.mktemp("hostile"), model, top=0, batches=batches)
    return replace(found, title=HOSTILE)


def test_the_first_screen_has_the_outcome(analysis: Analysis) -> None:
    text = Page(html(analysis)).texts[""]
    start = text[: text.index("Signal to noise along")]
    assert "Quantized, the output is off by" in start
    assert "1 more stay float: left float when the model was quantized" in start
    assert "same class" in start
    assert "kB float" in start


def test_every_op_has_a_row_and_a_node_and_links_lead_from_one_to_the_other(analysis: Analysis) -> None:
    page = Page(html(analysis))
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert set(ids.values()) == {1}
    links = {attributes["href"] or "" for attributes in page.all("a")}
    assert all(link[0] == "#" and link[1:] in ids for link in links)
    for row in ("op-0", "op-1", "float-0"):
        assert {f"#{row}", f"#node-{row}"} <= links
    for name in OUTPUTS:
        assert name in page.texts[""]
    looks = Counter(attributes.get("class") for attributes in page.all("rect"))
    assert (looks["float"], looks["worst"], looks["feed"]) == (1, 1, 1)


def test_nothing_is_loaded_and_nothing_else_is_run(analysis: Analysis) -> None:
    page = Page(html(analysis))
    (policy,) = (
        one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.texts[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
        assert len(page.all(kind)) == 1
    assert not page.all("link")
    assert not page.all("img")
    for _, attributes in page.elements:
        assert not {"src", "style", "srcset"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"https?:|url\(|@import", html(analysis))


def test_names_do_not_act(hostile: Analysis) -> None:
    text = html(hostile)
    page = Page(text)
    assert not page.all("img")
    assert len(page.all("script")) == 1
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "</script><img src=x" in page.texts[""]  # as text


def test_elements_escape_all_that_is_no_element() -> None:
    found = tag("a", "<b>", tag("i", "&"), title='"x"', data_value=1, hidden=True, class_=None)
    assert found == '<a title="&quot;x&quot;" data-value="1" hidden>&lt;b&gt;<i>&amp;</i></a>'
    assert joined("<", tag("br")) == "&lt;<br>"


def test_what_was_not_measured_has_no_column(hostile: Analysis) -> None:
    page = Page(html(hostile))
    titles = [one.get("title") or "" for one in page.all("button")]
    assert not any("when this op alone is quantized" in title for title in titles)
    assert "The op whose output loses most by itself is" in page.texts[""]


@pytest.mark.skipif(BROWSER is None, reason=NO_BROWSER)
def test_in_a_browser_its_script_runs_without_a_complaint(analysis: Analysis, tmp_path: Path) -> None:
    write_page(analysis, tmp_path / "report.html")
    dom, console = open_page(tmp_path / "report.html", tmp_path / "profile", fragment="#node-op-0")
    assert console == []
    assert "2 of 2 ops" in dom  # which the script writes
