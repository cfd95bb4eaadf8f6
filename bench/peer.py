"""Measures quantization-aware training beside paddleslim's, on equal data, epochs and learning rates.

    python bench/peer.py     measures both, writes docs/records/peer.json and from it docs/peer.md

Both train the detector of `configs/yolov3_mobilenet_v1_fashion_voc.yml` from the same float weights in the
same loop, with the same batches, optimizer and convolution kernels, and are evaluated, frozen, by the same
code. qcc inserts quantization with `transform` and freezes with `freeze`, paddleslim with `quant_aware` and
`convert`. Each trains in a process of its own; for the time of a step, both train on the same batches in one
process, taking turns.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from outcome import Outcome
from rich.console import Console
from slim_phase import SlimPhase

from qcc.train.config import load_config, load_slim
from qcc.train.config.slim import Compressor, Slim
from qcc.train.evaluation.evaluate import evaluate
from qcc.train.evaluation.report import command_line, environment
from qcc.train.freeze import checkpoint_model
from qcc.train.loop.checkpoint import CheckpointStore
from qcc.train.loop.interrupt import StopRequest
from qcc.train.loop.loop import Loop
from qcc.train.programs.scheme import freeze
from qcc.train.programs.weights import load_weights
from qcc.train.quantize import QuantizationPhase, quantize
from qcc.train.tasks.build import build_task

ROOT = Path(__file__).resolve().parent.parent
RECORD, PAGE = ROOT / "docs" / "records" / "peer.json", ROOT / "docs" / "peer.md"
CONFIG = Path("configs/yolov3_mobilenet_v1_fashion_voc.yml")
SLIM = Path(
    "configs/slim/yolov3_mobilenet_v1_fashion_voc/weight_channel_wise_abs_max_act_moving_average_abs_max.yaml"
)
WARM_UP_STEPS, TIMED_STEPS = 10, 100
SIDES = ("qcc", "paddleslim")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--child", choices=(*SIDES, "steps"), help=argparse.SUPPRESS)
    arguments.add_argument("--render", action="store_true", help="only write the page")
    arguments.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="change a configuration value")
    options = arguments.parse_args()
    if options.child:
        measured = (
            steps if options.child == "steps" else {"qcc": train_qcc, "paddleslim": train_peer}[options.child]
        )
        print(json.dumps(measured(options.overrides)))
        return
    outcome = Outcome.of_one(RECORD, PAGE, page)
    if options.render:
        outcome.render()
    else:
        outcome.store(measure(options.overrides))


def measure(overrides: list[str]) -> dict[str, Any]:
    """Every child's numbers; each child is a process of its own, so that its peak memory is its own."""
    record: dict[str, Any] = {
        "command": command_line(),
        "environment": environment(),
        "settings": load_config(CONFIG, overrides).model_dump(mode="json", by_alias=True),
    }
    for child in ("steps", *SIDES):
        words = [sys.executable, __file__, "--child", child, *overrides]
        done = subprocess.run(words, stdout=subprocess.PIPE, check=True)
        record[child] = json.loads(done.stdout.splitlines()[-1])
    return record


def train_qcc(overrides: list[str]) -> dict[str, Any]:
    """The product's own flow."""
    config = load_config(CONFIG, overrides)
    task = build_task(config)
    with tempfile.TemporaryDirectory() as folder:
        slim = _slim(Path(folder) / "checkpoints")
        result = quantize(task, config, slim, Console(stderr=True), StopRequest())
        memory = _peak_memory()
        last = result.records[-1]["epoch"]
        frozen = freeze(checkpoint_model(CheckpointStore(result.checkpoints), last), "float")
        accuracy = evaluate(frozen, task)
    return {"epochs": result.records, "frozen": accuracy, "peak_memory": memory}


def train_peer(overrides: list[str]) -> dict[str, Any]:
    """The same loop with paddleslim's quantization."""
    config = load_config(CONFIG, overrides)
    task = build_task(config)
    with tempfile.TemporaryDirectory() as folder:
        slim = _slim(Path(folder))
        phase = SlimPhase(task, config, slim.strategy, slim.epochs)
        loop = Loop(task, phase, CheckpointStore(Path(folder)), {}, Console(stderr=True))
        records = loop.run(StopRequest())
        memory = _peak_memory()
    return {"epochs": records, "frozen": evaluate(phase.frozen(), task), "peak_memory": memory}


def steps(overrides: list[str]) -> dict[str, Any]:
    """Median seconds of a training step of both, in turns on the same batches."""
    config = load_config(CONFIG, overrides)
    task, slim = build_task(config), _slim(Path("unused"))
    source = config.pretrain_weights
    assert source is not None
    phases = {
        "qcc": QuantizationPhase(task, config, slim, lambda: (load_weights(source), source), Console()),
        "paddleslim": SlimPhase(task, config, slim.strategy, slim.epochs),
    }
    for phase in phases.values():
        phase.start(None)
    steppers = {name: phase.begin_epoch(0) for name, phase in phases.items()}
    times: dict[str, list[float]] = {name: [] for name in steppers}
    for step, feeds in enumerate(islice(task.train_batches(0, 0), WARM_UP_STEPS + TIMED_STEPS)):
        # Who comes first changes from step to step.
        for name in sorted(steppers, reverse=bool(step % 2)):
            began = time.perf_counter()
            steppers[name].step(feeds, step)
            if step >= WARM_UP_STEPS:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def _slim(checkpoints: Path) -> Slim:
    """The slim file's scheme, with other places for what it writes."""
    slim = load_slim(SLIM)
    return Slim(slim.strategy, Compressor(epoch=slim.epochs, checkpoint_path=checkpoints))


def _peak_memory() -> int:
    """Bytes; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def page(record: dict[str, Any]) -> str:
    """docs/peer.md."""
    where, times = record["environment"], record["steps"]
    rows = []
    for side in SIDES:
        run = record[side]
        aps = ", ".join(f"{epoch['box_ap'] * 100:.2f} %" for epoch in run["epochs"])
        rows.append(
            f"| {side} | {aps} | {run['frozen']['box_ap'] * 100:.2f} % | {times[side]:.4f}"
            f" | {run['peak_memory'] / 1e6:.0f} |"
        )
    table = "\n".join(rows)
    return f"""# Beside paddleslim

```
make bench-peer     # trains again, and writes this page
```

Written by `{record["command"]}` from `docs/records/peer.json`.

YOLOv3-MobileNetV1 on the **composed** pictures of `examples/fashion_voc`, weights channel_wise_abs_max,
activations moving_average_abs_max, from the same float weights, with equal batches, epochs, learning rates
and convolution kernels. {where["processor"]}, OMP_NUM_THREADS={where["OMP_NUM_THREADS"]},
Paddle {where["paddle"]}.

| | Box AP after each epoch | Box AP, frozen | seconds per step | peak memory, MB |
|---|---|---|---|---|
{table}

A step of qcc takes {times["qcc"] / times["paddleslim"]:.2f} of the time of paddleslim's (medians of
{TIMED_STEPS} steps on the same batches, in turns in one process).
"""


if __name__ == "__main__":
    main()
