"""Takes the networks of the zoo through every form and every engine, and writes down what comes out.

Usage: python bench/zoo/zoo.py [NAME...]

`make zoo` builds the networks first. Writes docs/records/networks.json and from it docs/networks.md; with
names given, only their part of the record is renewed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

import networks_page  # noqa: E402
from catalogue import failure, folder, is_built, names  # noqa: E402
from isolated import Result, isolated  # noqa: E402
from outcome import Outcome  # noqa: E402
from stages import lite_arm, lite_x86, openvino, paddle_x86, prepare  # noqa: E402

from qcc.files import write_json  # noqa: E402
from qcc.train.evaluation.report import environment  # noqa: E402

DOCS = HERE.parent.parent / "docs"
OUTCOME = Outcome(DOCS / "records" / "networks.json", DOCS / "networks.md", networks_page.page)


def main(chosen: Sequence[str]) -> int:
    for name in chosen or names():
        if is_built(name):
            begun = time.monotonic()
            keep(name, measure(name))
            print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
        elif failure(name):
            keep(name, {"not built": failure(name)})
        else:
            print(f"{name} is not built: run bench/zoo/build.py.", file=sys.stderr)
    OUTCOME.render()
    return 0


def measure(name: str) -> Result:
    """One network through everything, each stage in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="qcc-zoo-") as place:
        work = Path(place)
        prepared = isolated(prepare, folder(name), work)
        if "ops" not in prepared:
            return {"prepared": prepared}
        return {
            "prepared": prepared,
            "paddle float": isolated(paddle_x86, work, "float"),
            "paddle frozen": isolated(paddle_x86, work, "frozen"),
            "paddle-x86": isolated(paddle_x86, work, "paddle-x86"),
            "openvino qdq": isolated(openvino, work, "qdq"),
            "openvino": isolated(openvino, work, "openvino"),
            "lite x86": isolated(lite_x86, work),
            "lite arm": isolated(lite_arm, work, folder(name)),
        }


def keep(name: str, found: Result) -> None:
    """Put a network's part into the record, in the order of the catalogue."""
    record: dict[str, Any] = {"networks": {}}
    if OUTCOME.record.exists():
        record = json.loads(OUTCOME.record.read_text())
    networks = {**record["networks"], name: found}
    ordered = {each: networks[each] for each in names() if each in networks}
    write_json(OUTCOME.record, {"command": "make zoo", "environment": environment(), "networks": ordered})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
