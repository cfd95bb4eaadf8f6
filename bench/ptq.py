"""Measures quantization without training beside other tools, on networks and data that anybody can fetch.

    make bench-ptq      measures what has no row yet: docs/records/ptq.json, or ptq-vnni.json where the
                        processor has VNNI, and from both docs/ptq-bench.md
    bench/ptq.py --tool "qcc calibrated" --network cls      so much of it
    bench/ptq.py --render                                   writes the page alone

Each row is measured in a process of its own, and stored at once: a run that was interrupted goes on where it
was. Remove the record to measure all of it again. `ptq_networks.py` has the networks and `ptq_tools.py` the
tools.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from outcome import Outcome, Record, kind_of_processor
from ptq_networks import CALIBRATION, NETWORKS
from ptq_page import page
from ptq_tools import (
    ADAROUND,
    CORRECTED,
    LAYERS_BY_NNCF,
    TOOLS,
    TRAINED,
    TRAINED_STEPS,
    Job,
    made,
    runner,
    versions,
)

from qcc.files import write_json
from qcc.train.evaluation.report import environment

ROOT = Path(__file__).resolve().parent.parent
RECORDS, PAGE = ROOT / "docs" / "records", ROOT / "docs" / "ptq-bench.md"
OUTCOME = Outcome(
    {"cpu": RECORDS / "ptq.json", "vnni": RECORDS / "ptq-vnni.json"}, kind_of_processor(), PAGE, page
)
ONLY_FOR = {ADAROUND: ("cls",), LAYERS_BY_NNCF: ("yolov3",)}
"""AdaRound learns layer by layer, thousands of steps each: on the smallest network alone. The arithmetic that
makes boxes is in none but a detector."""
LIMIT = 360
"""Processor seconds that a row may take, with its score; but for tools that learn, of which one expects
it."""
_TOO_LONG = f"takes more than {LIMIT} s of the processor"
LEARNING = (TRAINED, ADAROUND)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--tool", action="append", choices=TOOLS, help="all, where none is given")
    arguments.add_argument("--network", action="append", choices=list(NETWORKS), help="likewise")
    arguments.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments.add_argument("--render", action="store_true", help="only write the page")
    options = arguments.parse_args()
    tools, networks = options.tool or TOOLS, options.network or list(NETWORKS)
    if options.child:
        print(json.dumps(measure(networks[0], tools[0])))
        return
    if not options.render:
        record = started(OUTCOME.record)
        # The quick ones of all networks come first.
        for tool in tools:
            for name in networks:
                if tool in tools_for(name):
                    add(record, name, tool)
    print(OUTCOME.render())


def tools_for(name: str) -> list[str]:
    """The tools that a network is measured with. What is compared with the float network itself needs no row
    for that."""
    left_out = {tool for tool, networks in ONLY_FOR.items() if name not in networks}
    if NETWORKS[name].against_float:
        left_out.add("float")
    return [tool for tool in TOOLS if tool not in left_out]


def started(path: Path) -> Record:
    """What was measured already, or nothing. Numbers of two machines do not go into one record."""
    fresh: Record = {
        "command": "make bench-ptq",
        "environment": environment() | versions(),
        "photos": CALIBRATION,
        "trained_steps": TRAINED_STEPS,
        "limit": LIMIT,
        "networks": [
            {
                "name": name,
                "title": one.title,
                "score": one.score_name,
                "about": one.about,
                "tools": tools_for(name),
                "rows": [],
            }
            for name, one in NETWORKS.items()
        ],
    }
    if not path.exists():
        return fresh
    record: Record = json.loads(path.read_text())
    if record["environment"] != fresh["environment"]:
        raise SystemExit(f"{path} was measured elsewhere, or by other versions: remove it to measure again.")
    rows = {network["name"]: network["rows"] for network in record["networks"]}
    for network in fresh["networks"]:
        network["rows"] = rows.get(network["name"], [])
    return fresh


def add(record: Record, name: str, tool: str) -> None:
    """Measure a row that is not there yet, and store it."""
    (network,) = (one for one in record["networks"] if one["name"] == name)
    if any(row["tool"] == tool for row in network["rows"]):
        return
    rows = {one["tool"]: one for one in network["rows"]}
    # Bias correction comes on top of what took too long already.
    over = rows.get(tool.removesuffix(CORRECTED), {}).get("failed") == _TOO_LONG
    row = {"tool": tool, "failed": _TOO_LONG} if over else in_a_child(name, tool)
    network["rows"].append(row)
    network["rows"].sort(key=lambda one: TOOLS.index(one["tool"]))
    write_json(OUTCOME.record, record)
    shown = {key: value for key, value in row.items() if key != "each"}
    print(f"{name}: {shown}", flush=True)


def in_a_child(name: str, tool: str) -> dict[str, Any]:
    """Measure in a process of its own, for as long as a row may take."""
    command = [sys.executable, __file__, "--child", "--network", name, "--tool", tool]
    limited = None if tool in LEARNING else _limit
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limited)
    if done.returncode == -signal.SIGXCPU:
        return {"tool": tool, "failed": _TOO_LONG}
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return {"tool": tool, "failed": f"fails: {reason}".replace(f"{ROOT}/", "")}
    return {"tool": tool, **json.loads(done.stdout.splitlines()[-1])}


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT + 5))


def measure(name: str, tool: str) -> dict[str, Any]:
    """What a tool takes, and how good its result is; `each`: the score of each image."""
    network = NETWORKS[name]
    model = network.model()
    with tempfile.TemporaryDirectory(prefix="qcc-bench-") as out:
        job = Job(network.folder, model, network.batches(), Path(out))
        with made(tool, job) as found:
            scores = network.scores(found.run, runner(model))
            each = " ".join(f"{one:.4g}" for one in scores.each)
            return {**found.taken, "int8": found.int8, "score": scores.score, "each": each}


if __name__ == "__main__":
    main()
