"""One network in all its forms, side by side: accuracy, size and speed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import qcc
from qcc.analyze.page.elements import Html, joined, tag
from qcc.analyze.page.tables import scrolled, table
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.engines.openvino import OpenVino
from qcc.backends.engines.runtime import Runtime
from qcc.backends.lite.runtime import LiteRuntime
from qcc.backends.predictor import Engine, Predictor
from qcc.train.evaluation.evaluate import evaluate, one_by_one
from qcc.train.evaluation.timing import milliseconds
from qcc.train.tasks.task import Feeds, Run, Task

FLOAT_KERNELS, INT8_KERNELS = Engine(onednn=True), Engine(onednn=True, int8=True)
# Which engines can run which form. paddle.inference folds constants and trips over the fake quantize ops of
# weights in the transformed form; Paddle has no kernels for INT8 weights without quantize_linear, and the
# int8 kernels of oneDNN do not measure the scales of a dynamic network anew.
_ENGINES = {
    "float": {"float": FLOAT_KERNELS},
    "transformed": {},
    "dynamic": {},
    "frozen": {"float": FLOAT_KERNELS, "int8": INT8_KERNELS},
    "int8": {},
    "qdq": {"int8": INT8_KERNELS},
}


RUNTIMES: Mapping[str, Callable[[Path], Runtime]] = {
    "Lite": LiteRuntime,
    "ONNX Runtime": OnnxRuntime,
    "OpenVINO": OpenVino,
}
"""What runs files of its own, by the name that people call it."""


@dataclass(frozen=True)
class InRuntime:
    """A form's file for another runtime: the main metric there, ms per image (batch 1, one thread), bytes."""

    accuracy: float
    ms: float
    size: int


@dataclass(frozen=True)
class FormResult:
    """`accuracy`: the main metric, computed in float32 with the integers of the quantized network.
    `int8_accuracy`: the same in oneDNN's int8 kernels. `size`: bytes of program and parameters. Times in ms
    per image (batch 1, one thread) in paddle.inference with oneDNN. None: the form cannot be run so.
    `runtimes`: of `RUNTIMES`, those for which there is a file of this form."""

    form: str
    accuracy: float
    int8_accuracy: float | None
    size: int
    float_ms: float | None
    int8_ms: float | None
    runtimes: Mapping[str, InRuntime] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        return asdict(self)


Files = Mapping[str, Mapping[str, Path]]


def compare_forms(
    folders: Mapping[str, Path], task: Task, console: Console, files: Files | None = None
) -> list[FormResult]:
    """Evaluate saved forms on the task's test set, and time them on its first sample.

    `files`: of `RUNTIMES`, by the form that they were exported from.
    """
    predictors = open_predictors(folders)
    times = time_forms(predictors, task.example())
    results = []
    for form, folder in folders.items():
        int8 = predictors.get((form, "int8"))
        result = FormResult(
            form,
            evaluate(qcc.load(folder), task)[task.main_metric],
            None if int8 is None else task.evaluate(_runner(int8))[task.main_metric],
            model_size(folder),
            times.get((form, "float")),
            times.get((form, "int8")),
            {name: _measured(name, file, task) for name, file in (files or {}).get(form, {}).items()},
        )
        results.append(result)
        console.print(f"  {form}: {task.main_metric} {result.accuracy:.4f}", highlight=False)
    return results


def _measured(name: str, file: Path, task: Task) -> InRuntime:
    with RUNTIMES[name](file) as runtime:
        accuracy = task.evaluate(one_by_one(runtime.inputs, runtime.run))[task.main_metric]
        return InRuntime(accuracy, runtime.milliseconds(task.example()), file.stat().st_size)


def open_predictors(folders: Mapping[str, Path]) -> dict[tuple[str, str], Predictor]:
    """A predictor for each form and kind of kernels, "float" or "int8", that can run it."""
    return {
        (form, kernels): Predictor.open(folder, engine)
        for form, folder in folders.items()
        for kernels, engine in _ENGINES[form].items()
    }


def time_forms(predictors: Mapping[tuple[str, str], Predictor], image: Feeds) -> dict[tuple[str, str], float]:
    """Milliseconds per image of each predictor; `image` has a batch dimension of 1."""
    return milliseconds({key: partial(_seconds, one, image) for key, one in predictors.items()})


def _seconds(predictor: Predictor, batch: Feeds) -> float:
    (seconds,) = predictor.seconds({name: batch[name] for name in predictor.feeds})
    return seconds


def _runner(predictor: Predictor) -> Run:
    return lambda batch: predictor.run({name: batch[name] for name in predictor.feeds})


def model_size(folder: Path) -> int:
    """Bytes of a saved model's program and parameters."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix != ".json")


def print_forms(console: Console, results: Sequence[FormResult], metric: str) -> None:
    """The table of forms, narrow enough for 80 columns, as long as there are files for Paddle Lite alone.

    The metric stands there in percent: computed in float32, in oneDNN's int8 kernels, and in each runtime.
    """
    shown = Table(*_headings(results, metric))
    for result in results:
        shown.add_row(*_cells(result, runtimes_of(results)))
    console.print(shown)


def forms_part(results: Sequence[FormResult], metric: str) -> Html:
    """The same table as a part of a page."""
    runtimes = runtimes_of(results)
    rows = [
        tag("tr", *(tag("td", cell, class_="words") for cell in _cells(result, runtimes)))
        for result in results
    ]
    places = "".join(f", and in {name}" for name in runtimes)
    words = (
        f"{metric} in %: computed in float32 with the integers of the quantized network, in oneDNN's int8"
        f" kernels{places}; ms per image, on one thread."
    )
    return joined(
        tag("h2", "Every form, side by side"),
        tag("p", words),
        scrolled(table(_headings(results, metric), rows)),
    )


def runtimes_of(results: Sequence[FormResult]) -> list[str]:
    """Those that ran a file of some form."""
    return [name for name in RUNTIMES if any(name in result.runtimes for result in results)]


def _headings(results: Sequence[FormResult], metric: str) -> tuple[str, ...]:
    runtimes = runtimes_of(results)
    times = (f"{name} ms" for name in runtimes)
    return ("form", metric, "int8", *runtimes, "kB", "fp32 ms", "int8 ms", *times)


def _cells(result: FormResult, runtimes: Sequence[str]) -> tuple[str, ...]:
    found = [result.runtimes.get(name) for name in runtimes]
    return (
        result.form,
        _hundredths(result.accuracy),
        _hundredths(result.int8_accuracy),
        *(_hundredths(one.accuracy if one else None) for one in found),
        f"{result.size / 1000:.0f}",
        decimals(result.float_ms),
        decimals(result.int8_ms),
        *(decimals(one.ms if one else None) for one in found),
    )


def _hundredths(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.2f}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.2f} %"


def decimals(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
