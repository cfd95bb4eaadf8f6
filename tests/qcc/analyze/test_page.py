"""The page: what is in it, that all of it is there offline, and that no name gets to act."""

from __future__ import annotations

import base64
import hashlib
import json
import math
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
from qcc.analyze.findings import Analysis, Effect, shares, worst_first
from qcc.analyze.page import html, write_page
from qcc.analyze.page.blocks import blocks
from qcc.analyze.page.elements import joined, tag
from qcc.analyze.page.frame import page, put_part, read_page
from qcc.analyze.page.frozen import write_frozen
from qcc.analyze.page.network import Place, network
from qcc.analyze.run import Sample, Wanted, analyze
from qcc.analyze.twins import twins
from qcc.calibrate.data.batches import Batch
from qcc.draw.folded import Folded, fold
from qcc.errors import OutputError
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
    assert "1 more stays float: left float when the model was quantized" in start
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


def test_another_command_puts_its_part_into_a_page(analysis: Analysis, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_page(analysis, path)
    for words in ("first </section>", "second </section>"):
        put_part(path, "no title of this page", "times", tag("p", words))
    title, parts = read_page(path)
    assert title == "net, quantized"
    assert parts["times"] == "<p>second &lt;/section&gt;</p>"
    text = path.read_text()
    assert text.index('data-part="summary"') < text.index('data-part="times"') < text.index('data-part="ops"')
    write_page(analysis, tmp_path / "alone.html")
    del parts["times"]
    assert parts == read_page(tmp_path / "alone.html")[1]


def test_a_part_is_not_put_into_the_page_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("<title>mine</title>")
    with pytest.raises(OutputError, match="is no page of qcc: give another name"):
        put_part(path, "t", "times", tag("p", "x"))
    assert path.read_text() == "<title>mine</title>"


def test_the_page_of_frozen_forms(tmp_path: Path) -> None:
    saved = qcc.save(NET.frozen, tmp_path / "int8", form="int8", check=False)
    told = write_frozen(tmp_path, HOSTILE, NET.frozen, [saved], {"top1": 0.91234}, {"frozen from": "<b>"})
    assert told == f"{tmp_path / 'report.html'} has what was quantized, and what stays float."
    found = Page((tmp_path / "report.html").read_text())
    text = found.texts[""]
    assert "0.9123" in text
    assert "3 opsevery convolution and product" in text
    assert re.search(r"int8\d+ kBweights as INT8, for storing", text)
    assert [one.get("id") for one in found.all("tr") if "id" in one] == ["op-0", "op-1", "op-2"]
    assert not found.all("img")
    assert len(found.all("script")) == 1


def test_a_model_that_rounds_nothing_has_no_page(tmp_path: Path) -> None:
    told = write_frozen(tmp_path, "net", NET.model, [], {}, {})
    assert told.startswith("no report.html: no op of the model rounds its activation")
    assert not list(tmp_path.iterdir())


def chain(names: Sequence[str]) -> str:
    """A network of convolutions, each built in a scope."""
    count = len(names)
    variables = [f"var v{n}: float32[-1, 1, 4, 4]" for n in range(count + 1)]
    ops = [
        f'v{n + 1} = conv2d(Input=v{n}, Filter=w{n}) {{op_namescope="{name}"}}'
        for n, name in enumerate(names)
    ]
    weights = [f"weight w{n}: float32[1, 1, 1, 1] = [0.5]" for n in range(count)]
    head = ["graph {for_test=true}", "feeds [v0]", f"fetches [v{count}]", ""]
    return "\n".join([*head, *weights, *variables, "", *ops])


def test_blocks_are_the_scopes_where_a_network_has_some() -> None:
    names = ["/", *["/backbone/stage1/"] * 3, *["/backbone/stage2/"] * 2, "/head/"]
    found = blocks(fold(parse_graph(chain(names))))
    assert [(one.name, one.nodes) for one in found] == [
        ("/", (0,)),
        ("backbone/stage1", (1, 2, 3)),
        ("backbone/stage2", (4, 5)),
        ("head", (6,)),
    ]


def test_blocks_end_where_little_flows_on() -> None:
    """Nodes in a row, of which one is read by a later one as well: no block ends between these two."""
    ops = parse_graph(chain(["/"] * 14)).ops
    (var,) = ops[0].all_outputs()
    edges = {(n, n + 1): var for n in range(13)}
    folds = tuple([op] for op in ops)
    assert [one.nodes for one in blocks(Folded(folds, edges))] == [tuple(range(8)), tuple(range(8, 14))]
    edges[6, 9] = var
    assert [one.nodes for one in blocks(Folded(folds, edges))] == [tuple(range(7)), tuple(range(7, 14))]


def test_a_large_network_is_shown_in_blocks(tmp_path: Path) -> None:
    graph = parse_graph(chain(["/"] * 70))
    places = {f"v{n + 1}": Place(f"op-{n}", "worst" if n == 30 else "best", "w") for n in range(70)}
    found = Page(network(graph, places))
    ids = Counter(attributes["id"] for _, attributes in found.elements if "id" in attributes)
    assert set(ids.values()) == {1}
    assert {f"node-op-{n}" for n in range(70)} <= set(ids)
    details = found.all("details")
    assert [one.get("id") for one in details] == ["block-1", "block-2", "block-3", "block-4", None]
    links = [one["href"] for one in found.all("a")]
    assert {"#block-1", "#block-4"} <= set(links)
    overview = found.all("rect")[:5]
    assert [one["class"] for one in overview] == ["feed", "best", "worst", "best", "best"]


@pytest.mark.skipif(BROWSER is None, reason=NO_BROWSER)
def test_in_a_browser_its_script_runs_without_a_complaint(analysis: Analysis, tmp_path: Path) -> None:
    write_page(analysis, tmp_path / "report.html")
    dom, console = open_page(tmp_path / "report.html", tmp_path / "profile", fragment="#node-op-0")
    assert console == []
    assert "2 of 2 ops" in dom  # which the script writes


@pytest.mark.skipif(BROWSER is None, reason=NO_BROWSER)
def test_a_link_opens_the_block_that_the_op_is_in(tmp_path: Path) -> None:
    places = {f"v{n + 1}": Place(f"op-{n}", "best", "") for n in range(70)}
    path = tmp_path / "page.html"
    path.write_text(page("net", {"network": network(parse_graph(chain(["/"] * 70)), places)}))
    dom, console = open_page(path, tmp_path / "profile", fragment="#node-op-30", width=400)
    assert console == []
    assert [one["id"] for one in Page(dom).all("details") if "open" in one] == ["block-2"]


MOVES = """
const canvas = document.querySelector(".canvas"), picture = canvas.querySelector("svg");
const box = canvas.querySelector("a"), width = () => Math.round(picture.width.baseVal.value), found = {};
const mouse = (kind, target, x, y) => target.dispatchEvent(new PointerEvent(kind,
  { bubbles: true, cancelable: true, button: 0, pointerType: "mouse", clientX: x, clientY: y }));
const click = () => box.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
const finger = (x, identifier) => new Touch({ identifier, target: canvas, clientX: x, clientY: 50 });
const fingers = (kind, ...places) => canvas.dispatchEvent(
  new TouchEvent(kind, { bubbles: true, cancelable: true, touches: places.map(finger) }));
const wheel = (ctrlKey) => canvas.dispatchEvent(
  new WheelEvent("wheel", { bubbles: true, cancelable: true, ctrlKey, deltaY: -300 }));
found.first = width();
found.alone = wheel(false) && width();
found.zoomed = !wheel(true) && width();
fingers("touchstart", 100, 200); fingers("touchmove", 100, 200);
found.pinched = !fingers("touchmove", 100, 150) && width();
fingers("touchend", 100);
found.finger = fingers("touchmove", 120) && width();
mouse("pointerdown", box, 200, 200); mouse("pointermove", window, 200, 150);
mouse("pointerup", window, 200, 150);
found.moved = canvas.scrollTop;
found.followed = [click()];
mouse("pointerdown", box, 200, 150); mouse("pointerup", window, 200, 150);
found.followed.push(click());
document.body.dataset.found = JSON.stringify(found);
"""


@pytest.mark.skipif(BROWSER is None, reason=NO_BROWSER)
def test_the_picture_is_moved_and_zoomed(tmp_path: Path) -> None:
    places = {f"v{n + 1}": Place(f"op-{n}", "best", "") for n in range(20)}
    text = page("net", {"network": network(parse_graph(chain(["/"] * 20)), places)})
    # What the page lets through is its own script alone.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    (tmp_path / "page.html").write_text(text.replace("</body>", f"<script>{MOVES}</script></body>"))
    dom, console = open_page(tmp_path / "page.html", tmp_path / "profile")
    assert console == []
    (body,) = Page(dom).all("body")
    found = json.loads(body["data-found"])
    assert found["alone"] == found["first"]  # a wheel alone goes on through the page
    assert found["zoomed"] == pytest.approx(found["first"] * math.e, abs=1)
    assert found["pinched"] == pytest.approx(found["zoomed"] / 2, abs=1)
    assert found["finger"] == found["pinched"]
    assert found["moved"] > 0
    assert found["followed"] == [False, True]  # who moves the picture by a box does not follow its link


@pytest.mark.parametrize("others", [0.02, 0.0])
def test_an_op_that_makes_the_output_infinite_is_the_worst(analysis: Analysis, others: float) -> None:
    first, *rest = analysis.ops
    ops = [replace(one, effect=Effect(others, others)) for one in rest]
    infinite = replace(first, effect=Effect(math.inf, others))
    assert worst_first([*ops, infinite])[0] is infinite
    assert shares([infinite, *ops]) == {
        first.layer.output: 1.0,
        **{one.layer.output: float(others > 0) for one in ops},
    }
    text = html(replace(analysis, ops=(infinite, *ops)))
    assert "alone it puts the output off by not finite" in text
    assert "nan" not in Page(text).texts[""]


def test_without_any_effect_there_are_no_shares(analysis: Analysis) -> None:
    assert shares(replace(one, effect=None) for one in analysis.ops) == {}
    assert shares(replace(one, effect=Effect(0.0, 0.0)) for one in analysis.ops) == {}
