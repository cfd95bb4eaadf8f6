"""Takes the networks of the zoo through every form and every engine, and writes down what comes out.

Usage: python bench/zoo/zoo.py [--stages STAGE,...] [NAME...]

`make zoo` builds the networks first. Writes docs/records/networks.json, or networks-vnni.json where the
processor has VNNI, and from both docs/networks.md; with names given, only their part is renewed,
and with stages, only what these say.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

import networks_page  # noqa: E402
from catalogue import failure, folder, is_built, names  # noqa: E402
from isolated import Result, isolated  # noqa: E402
from outcome import Outcome, kind_of_processor  # noqa: E402
from stages import lite_arm, lite_x86, onnx, openvino, paddle_x86, prepare  # noqa: E402

from qcc.files import write_json  # noqa: E402
from qcc.targets.processor import int8_instructions  # noqa: E402
from qcc.train.evaluation.report import environment  # noqa: E402

DOCS = HERE.parent.parent / "docs"
RECORDS = {
    "cpu": DOCS / "records" / "networks.json",
    "vnni": DOCS / "records" / "networks-vnni.json",
}
OUTCOME = Outcome(RECORDS, kind_of_processor(), DOCS / "networks.md", networks_page.page)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("names", nargs="*", metavar="NAME")
    arguments.add_argument("--stages", type=lambda text: text.split(","), help=", ".join(STAGES))
    arguments.add_argument("--render", action="store_true", help="only write the page")
    options = arguments.parse_args()
    if options.render:
        OUTCOME.render()
        return 0
    unknown = [stage for stage in options.stages or () if stage not in STAGES]
    if unknown:
        arguments.error(f"{unknown[0]!r} is none of {', '.join(STAGES)}.")
    for name in options.names or names():
        if is_built(name):
            begun = time.monotonic()
            keep(name, measure(name, options.stages or STAGES))
            print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
        elif failure(name):
            keep(name, {"not built": failure(name)})
        else:
            print(f"{name} is not built: run bench/zoo/build.py.", file=sys.stderr)
    OUTCOME.render()
    return 0


# What is done with a network: its folder, and where `prepare` has written its forms.
STAGES: dict[str, Callable[[Path, Path], Result]] = {
    "paddle float": lambda _, work: isolated(paddle_x86, work, "float"),
    "paddle frozen": lambda _, work: isolated(paddle_x86, work, "frozen"),
    "paddle-x86": lambda _, work: isolated(paddle_x86, work, "paddle-x86"),
    "openvino qdq": lambda _, work: isolated(openvino, work, "qdq"),
    "openvino": lambda _, work: isolated(openvino, work, "openvino"),
    "onnx openvino": lambda _, work: isolated(onnx, work, "openvino"),
    "onnx onnxruntime": lambda _, work: isolated(onnx, work, "onnxruntime"),
    "lite x86": lambda _, work: isolated(lite_x86, work),
    "lite arm": lambda source, work: isolated(lite_arm, work, source),
}


def measure(name: str, stages: Iterable[str]) -> Result:
    """One network through these stages, each in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="qcc-zoo-") as place:
        work = Path(place)
        prepared = isolated(prepare, folder(name), work)
        if "ops" not in prepared:
            return {"prepared": prepared}
        return {"prepared": prepared, **{stage: STAGES[stage](folder(name), work) for stage in stages}}


def keep(name: str, found: Result) -> None:
    """Put what was found of a network into the record, in the order of the catalogue and of the stages."""
    record: dict[str, Any] = {"networks": {}}
    if OUTCOME.record.exists():
        record = json.loads(OUTCOME.record.read_text())
    if "ops" in found.get("prepared", {}):
        known = {**record["networks"].get(name, {}), **found}
        found = {part: known[part] for part in ("prepared", *STAGES) if part in known}
    networks = {**record["networks"], name: found}
    ordered = {each: networks[each] for each in names() if each in networks}
    where = {**environment(), "int8": int8_instructions()}
    write_json(OUTCOME.record, {"command": "make zoo", "environment": where, "networks": ordered})


if __name__ == "__main__":
    sys.exit(main())
