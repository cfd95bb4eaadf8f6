"""Fill the tables of README.md and docs/ from records and tables, so that nothing there is typed twice.

    python tools/readme.py            rewrites the pages
    python tools/readme.py --check    only says whether they are up to date (exit code 1 when one is not)

A block stands between `<!-- NAME -->` and `<!-- /NAME -->`.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import textwrap
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path

from qcc.backends.deploy.options import code
from qcc.targets.lite_arm import arm_table
from qcc.targets.table import Fault, Target, find_target

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "docs" / "records" / "demo.json"


def ocr() -> str:
    """What the picture of photos with text shows."""
    record = json.loads((ROOT / "docs" / "records" / "ocr.json").read_text())
    size = {
        form: f"{sum(sizes[form] for sizes in record['bytes'].values()) / 1e6:.1f} MB"
        for form in ("float", "int8", "arm")
    }
    return (
        "PP-OCRv5's mobile text detector and recognizer, models of Paddle 3 as PaddleOCR ships them, in"
        f" Paddle Lite's x86 runtime on {record['photos']} photos of signs and printed pages that calibration"
        f" has not seen: {size['float']} in float, {size['int8']} in int8 ({size['arm']} for ARM). Of"
        f" {record['boxes']['float']} text boxes in float, int8 finds {record['matched']}; of"
        f" {record['words']} words that float reads in its boxes, int8 reads {record['words_equal']} the"
        f" same; {record['characters_edited']} of {record['characters']:,} characters differ. Made by"
        " `make demo-ocr`, which calibrates on photos with words written on them."
    )


def demo() -> str:
    """The closing table of `make demo`."""
    record = json.loads(DEMO.read_text())
    rows = [
        "| form | Box AP | Box AP, int8 kernels | size, kB | ms, fp32 kernels | ms, int8 kernels"
        " | Box AP, Paddle Lite | ms, Paddle Lite |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for form in record["forms"]:
        lite = form["runtimes"].get("Lite", {})
        cells = (
            form["form"],
            percent(form["accuracy"]),
            percent(form["int8_accuracy"]),
            f"{form['size'] / 1000:.0f}",
            milliseconds(form["float_ms"]),
            milliseconds(form["int8_ms"]),
            percent(lite.get("accuracy")),
            milliseconds(lite.get("ms")),
        )
        rows.append(f"| {' | '.join(cells)} |")
    where, settings = record["environment"], record["settings"]
    side = settings["YoloEvalFeed"]["image_shape"][1]
    source = (
        f"YOLOv3 on a MobileNetV1 of {settings['MobileNet']['conv_group_scale']} of the width,"
        f" {side} x {side} pixels, on the test tiles of real aerial photos, which are few;"
        " [results](docs/results.md) has a larger set. Times per image on"
        f" {where['processor']}, one thread, batch 1, Paddle {where['paddle']} with oneDNN, and Paddle Lite's"
        " x86 runtime, which computes a quantized file by float kernels."
    )
    return "\n".join([*rows, "", source])


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.2f} %"


def milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def options() -> str:
    """How an application loads a model in Paddle Inference on x86."""
    return snippets(find_target("paddle-x86"))


def snippets(target: Target, *, onnx: bool = False) -> str:
    """How an application loads what is written for a target."""
    python, cpp = ("\n".join(code(target, language, onnx=onnx)) for language in ("python", "cpp"))
    python = re.sub(r"\A((?:(?:import|from) .*\n)+)", r"\1\n", python)  # as ruff formats it
    return f"```python\n{python}\n```\n\n```cpp\n{cpp}\n```"


def facts() -> str:
    """What Paddle Inference on x86 does with ops, and what it gets wrong."""
    target = find_target("paddle-x86")
    rows = ["| op | runs in | since |", "|---|---|---|"]
    for fact in target.facts:
        when = "" if fact.when == "always" else f", {fact.when.replace('-', ' ')}"
        rows.append(f"| {fact.op}{when} | {fact.runs} | {fact.why} |")
    return "\n".join([*rows, "", *faults(target.faults)])


def openvino() -> str:
    """How an application loads a model in OpenVINO, and what that gets wrong."""
    target = find_target("openvino")
    return "\n".join([snippets(target), "", *faults(target.faults)])


def onnx_file(name: str) -> str:
    """How an application loads an ONNX file for a target, and what that engine gets wrong."""
    target = find_target(name)
    assert target.onnx is not None
    wrong = target.onnx.faults or target.faults
    return "\n".join([snippets(target, onnx=True), "", *faults(wrong)])


def faults(found: Sequence[Fault]) -> list[str]:
    """The rows of a table of faults."""
    rows = ["| fault | ops | processors | instead |", "|---|---|---|---|"]
    for fault in found:
        rows.append(f"| {fault.what} | {', '.join(fault.ops)} | {fault.processors} | {fault.instead} |")
    return rows


def arm_faults() -> str:
    """What Paddle Lite's ARM kernels get wrong, and what is written instead."""
    rows = ["| fault | ops | CPUs | seen | instead |", "|---|---|---|---|---|"]
    for fault in arm_table().faults:
        limit = "" if fault.limit is None else f" (right up to {fault.limit:,})"
        cells = (f"{fault.what}{limit}", ", ".join(fault.ops), fault.processors, fault.seen, fault.instead)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def arm_proofs() -> str:
    """Which int8 kernels of ARM were compared with exact integer arithmetic."""
    rows = [
        "| form | networks | kernels | fused | outputs compared | off by one at a tie | wrong |",
        "|---|---|---|---|---|---|---|",
    ]
    for proof in arm_table().proven:
        wrong = "0" if proof.wrong == 0 else f"{proof.wrong:,} ({proof.fault})"
        cells = (
            proof.form,
            f"{proof.nets}",
            ", ".join(proof.kernels),
            ", ".join(proof.fused),
            f"{proof.outputs:,}",
            f"{proof.off_by_one}",
            wrong,
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def told(walk: str, words: str) -> list[str]:
    """What a command of a walk (`bench/walks.py`) has printed: the one with these words."""
    record = json.loads((ROOT / "docs" / "records" / f"{walk}.json").read_text())
    (found,) = (step["told"] for step in record["steps"] if words in step["command"])
    return list(found)


def hard_verdict() -> str:
    """The sentences of `qcc analyze` about the network that is hard to quantize."""
    lines = textwrap.wrap(told("hard_net", "qcc analyze")[0], 110, break_on_hyphens=False)
    return "\n".join(["```", *lines, "```"])


def hard_reasons() -> str:
    """What its rows in the report say."""
    record = json.loads((ROOT / "docs" / "records" / "hard_net.json").read_text())
    ops = {one["output"]: one for one in record["ops"]}
    second, peaks = ops["conv2d_1.tmp_0"]["sqnr_db"], ops["conv2d_0.tmp_0"]["channel_peaks"]
    times = max(peaks) / statistics.median(peaks)
    words = (
        f"The second op has {second['both']:.0f} dB by itself, and nothing behind it recovers. Its row says"
        f" why: rounding the weight leaves {second['weight']:.0f} dB, rounding the activation"
        f" {second['activation']:.0f}; most values lie at the left end of the histogram, and the few that"
        " make it long are one channel. The first op's weights tell the same: one channel is"
        f" {times:.0f} times as large as the middle one."
    )
    return textwrap.fill(words, 118)


def hard_compared() -> str:
    """The table of `qcc compare` of it."""
    return "\n".join(["```", *told("hard_net", "qcc compare")[:-2], "```"])


def hard_results() -> str:
    """How many images it is right on."""
    names = (
        "float",
        "quantized `--without equalization`",
        "so, with `--calibrator abs_max`",
        "so, one op float",
        "quantized by default",
    )
    rows = ["| model | right on 1,000 other images |", "|---|---|"]
    for name, line in zip(names, told("hard_net", "hard_net.py hard hard/model"), strict=True):
        share = line.partition("right on ")[2].partition("%")[0]
        rows.append(f"| {name} | {share} % |")
    return "\n".join(rows)


def bench_run() -> str:
    """What `qcc bench` has printed of the detector of text."""
    lines = told("bench", "qcc bench")
    table = takewhile(lambda line: not line.startswith("wall, CPU: medians"), lines)
    left_out = [line for line in lines if line.startswith("not measured: ")]
    return "\n".join(["```", *map(str.rstrip, table), *left_out, "```"])


PAGES = {
    ROOT / "README.md": {"ocr": ocr, "demo": demo},
    ROOT / "docs" / "bench.md": {"run": bench_run},
    ROOT / "docs" / "accuracy.md": {
        "verdict": hard_verdict,
        "reasons": hard_reasons,
        "results": hard_results,
        "compared": hard_compared,
    },
    ROOT / "docs" / "paddle3.md": {"ocr": ocr},
    ROOT / "docs" / "lite.md": {"arm-faults": arm_faults, "arm-proofs": arm_proofs},
    ROOT / "docs" / "onnx.md": {
        name: partial(onnx_file, name) for name in ("onnxruntime", "openvino", "tensorrt")
    },
    ROOT / "docs" / "deploy.md": {"options": options, "facts": facts, "openvino": openvino},
}


def fill(page: Path) -> str:
    """A page's text with every block made anew."""
    text = page.read_text()
    for name, block in PAGES[page].items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            sys.exit(f"{page.name} must have one block {name!r}.")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{block()}\n\n{end}{rest.partition(end)[2]}"
    return text


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--check", action="store_true", help="write nothing")
    check = arguments.parse_args().check
    for page in PAGES:
        wanted = fill(page)
        if not check:
            page.write_text(wanted)
        elif wanted != page.read_text():
            sys.exit(f"{page.name} is out of date: run `python tools/readme.py`.")


if __name__ == "__main__":
    main()
