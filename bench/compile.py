"""Measures how fast the compiler is, beside Paddle's own passes, and how its cost grows: `make bench`.

Writes a record of the run, with every raw number, and from it the page docs/speed.md. Each case runs in a
process of its own; the cases take turns in rounds, so that a busy moment of the machine hits all of them.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from chains import stretch
from outcome import Outcome
from page import render
from rich.console import Console

from qcc._paddle import paddle
from qcc.targets.processor import processor

HERE = Path(__file__).parent
ROOT = HERE.parent
MEMORY_CASES = ("memory_of_program", "memory_of_load", "memory_of_all")
# So many ops are enough for one repetition within a process; smaller graphs are repeated.
_OPS_PER_PROCESS = 5000
# Paddle's passes take so much longer that fewer repetitions tell as much.
_OPS_PER_PADDLE_PROCESS = 1000
_MAX_REPEATS = 10


@dataclass(frozen=True)
class Job:
    """One case of `measure.py` on one chain."""

    case: str
    training: bool
    layers: int

    @property
    def ops(self) -> int:
        return 9 * self.layers + 9 if self.training else 3 * self.layers + 2

    @property
    def repeats(self) -> int:
        if self.case == "same_ops" or self.case in MEMORY_CASES:
            return 1
        ops = _OPS_PER_PADDLE_PROCESS if self.case == "paddle_passes" else _OPS_PER_PROCESS
        return max(1, min(_MAX_REPEATS, ops // self.ops))


def layers_of_inference(training_layers: int) -> int:
    """The inference graph with as many ops (but one) as a training graph."""
    return 3 * training_layers + 2


@dataclass(frozen=True)
class Plan:
    """What is measured.

    `layers` are those of the training chains on which growth is measured, `target_layers` those of the
    chains that the targets name, `paddle_layers` those on which Paddle's passes run as well.
    """

    layers: tuple[int, ...]
    target_layers: int
    paddle_layers: tuple[int, ...]
    rounds: int
    full: bool

    def jobs(self, turn: int) -> Iterator[Job]:
        """The jobs of a round, with qcc's and Paddle's passes next to each other."""
        for layers in sorted({*self.layers, *self.paddle_layers}):
            yield Job("training", True, layers)
            if layers in self.paddle_layers:
                yield Job("paddle_passes", True, layers)
        for layers in self.paddle_layers:
            yield Job("inference", False, layers)
            yield Job("paddle_passes", False, layers)
        for layers in self.layers:
            yield Job("inference", False, layers_of_inference(layers))
        for layers in sorted({*self.layers, *self.paddle_layers, self.target_layers}):
            yield Job("as_called", True, layers)
        yield Job("paddle_as_called", True, self.target_layers)
        yield Job("whole_way", True, self.target_layers)
        yield Job("pipeline", True, self.target_layers)
        yield Job("pipeline", False, self.target_layers)
        if turn == 0:
            yield from self.jobs_once()

    def jobs_once(self) -> Iterator[Job]:
        """What does not vary, and what takes too long to be repeated."""
        for training in (True, False):
            yield Job("same_ops", training, min(self.paddle_layers))
        for case in MEMORY_CASES:
            for layers in (self.layers[0], self.layers[-1]):
                yield Job(case, True, layers)
                yield Job(case, False, layers_of_inference(layers))
        if self.full:
            for training in (True, False):
                yield Job("training" if training else "inference", training, self.target_layers)
                yield Job("paddle_passes", training, self.target_layers)


def _numbers(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        numbers = tuple(sorted(int(word) for word in value.split(",")))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of numbers such as 50,200.") from None
    if numbers[0] < 3:
        raise click.BadParameter("a chain has at least 3 layers.")
    return numbers


@click.command()
@click.option(
    "--layers",
    default="50,200,800,3200",
    show_default=True,
    callback=_numbers,
    help="Layers of the chains on which growth is measured.",
)
@click.option("--target-layers", default=800, show_default=True, help="Layers of the chains of the targets.")
@click.option(
    "--paddle-layers",
    default="50,200",
    show_default=True,
    callback=_numbers,
    help="Layers of the chains on which Paddle's passes run, too.",
)
@click.option("--full", is_flag=True, help="Run Paddle's passes on the targets' chains: half an hour more.")
@click.option("--rounds", default=3, show_default=True, help="How often everything is measured.")
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / "docs/records/compile-bench.json",
    help="Where to write the record.  [default: docs/records/compile-bench.json]",
)
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / "docs/speed.md",
    help="Where to write the page.  [default: docs/speed.md]",
)
def main(
    layers: tuple[int, ...],
    target_layers: int,
    paddle_layers: tuple[int, ...],
    full: bool,
    rounds: int,
    record: Path,
    page: Path,
) -> None:
    """Measure the compiler's speed beside Paddle's own passes."""
    plan = Plan(layers, target_layers, paddle_layers, rounds, full)
    result = {**_surroundings(), "plan": asdict(plan), "measured": _measure(plan)}
    result["load_average_at_end"] = os.getloadavg()
    Outcome.of_one(record, page, render).store(result)


def _measure(plan: Plan) -> list[dict[str, Any]]:
    console = Console(stderr=True)
    measured = []
    with tempfile.TemporaryDirectory(prefix="qcc-bench-") as folder:
        jobs = [(turn, job) for turn in range(plan.rounds) for job in plan.jobs(turn)]
        for number, (turn, job) in enumerate(jobs):
            console.print(
                f"{number + 1}/{len(jobs)}  {job.case}, {'training' if job.training else 'inference'},"
                f" {job.ops} ops",
                highlight=False,
            )
            measured.append({**asdict(job), "round": turn, **_run(job, _program(Path(folder), job))})
    return measured


def _program(folder: Path, job: Job) -> Path:
    """The file of a job's chain, made when it is first wanted."""
    path = folder / f"{'training' if job.training else 'inference'}-{job.layers}.pdmodel"
    if not path.exists():
        path.write_bytes(stretch(job.layers, job.training).SerializeToString())
    return path


def _run(job: Job, program: Path) -> dict[str, Any]:
    load_average = os.getloadavg()[0]
    return {"load_average": load_average, **measure_alone(job.case, program, job.repeats)}


def measure_alone(case: str, program: Path, repeats: int) -> dict[str, Any]:
    """`measure.measure` in a process of its own."""
    command = [sys.executable, str(HERE / "measure.py"), case, str(program), str(repeats)]
    # One thread: the passes have no more, and Paddle's must not either.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise click.ClickException(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def _surroundings() -> dict[str, Any]:
    """What a reader must know to make sense of the numbers, or to repeat them."""
    return {
        "command": " ".join(["python", *sys.argv]),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {
            "python": platform.python_version(),
            "paddlepaddle": paddle.__version__,  # of whichever build is installed
            **{package: version(package) for package in ("qcc", "numpy", "protobuf")},
        },
        "garbage_collector": "on; run before each section that is measured",
        "threads": 1,
        "load_average_at_start": os.getloadavg(),
    }


if __name__ == "__main__":
    main()
