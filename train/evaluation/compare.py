"""One network in all its forms, side by side: accuracy, size and speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.table import Table

import qcc
from qcc.analyze.page.elements import Html, joined, tag
from qcc.analyze.page.tables import scrolled, table
from qcc.backends.lite.runtime import lite_milliseconds
from qcc.backends.predictor import Engine, Predictor
from qcc.train.evaluation.evaluate import evaluate, evaluate_lite
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


@dataclass(frozen=True)
class FormResult:
    """`accuracy`: the main metric, computed in float32 with the integers of the quantized network.
    `int8_accuracy`: the same in oneDNN's int8 kernels. `size`: bytes of program and parameters. Times in ms
    per image (batch 1, one thread) in paddle.inference with oneDNN. `lite_...`: the same of a file for Paddle
    Lite, in its x86 runtime. None: the form cannot be run so."""

    form: str
    accuracy: float
    int8_accuracy: float | None
    size: int
    float_ms: float | None
    int8_ms: float | None
    lite_accuracy: float | None = None
    lite_ms: float | None = None
    lite_size: int | None = None

    def record(self) -> dict[str, Any]:
        return asdict(self)


def compare_forms(
    folders: Mapping[str, Path],
    task: Task,
    console: Console,
    lite_files: Mapping[str, Path] = MappingProxyType({}),
) -> list[FormResult]:
    """Evaluate saved forms on the task's test set, and time them on its first sample.

    `lite_files`: of those forms that were exported for Paddle Lite on x86.
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
        )
        if form in lite_files:
            result = replace(result, **_in_lite(lite_files[form], task))
        results.append(result)
        console.print(f"  {form}: {task.main_metric} {result.accuracy:.4f}", highlight=False)
    return results


def _in_lite(file: Path, task: Task) -> dict[str, Any]:
    return {
        "lite_accuracy": evaluate_lite(file, task)[task.main_metric],
        "lite_ms": lite_milliseconds(file, task.example()),
        "lite_size": file.stat().st_size,
    }


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
    """The table of forms, narrow enough for 80 columns.

    The metric stands there in percent: computed in float32, in oneDNN's int8 kernels, and in Paddle Lite.
    """
    shown = Table(*_headings(metric))
    for result in results:
        shown.add_row(*_cells(result))
    console.print(shown)


def forms_part(results: Sequence[FormResult], metric: str) -> Html:
    """The same table as a part of a page."""
    rows = [tag("tr", *(tag("td", cell, class_="words") for cell in _cells(result))) for result in results]
    words = (
        f"{metric} in %: computed in float32 with the integers of the quantized network, in oneDNN's int8"
        " kernels, and in Paddle Lite; ms per image, on one thread."
    )
    return joined(
        tag("h2", "Every form, side by side"), tag("p", words), scrolled(table(_headings(metric), rows))
    )


def _headings(metric: str) -> tuple[str, ...]:
    return ("form", metric, "int8", "Lite", "kB", "fp32 ms", "int8 ms", "Lite ms")


def _cells(result: FormResult) -> tuple[str, ...]:
    return (
        result.form,
        _hundredths(result.accuracy),
        _hundredths(result.int8_accuracy),
        _hundredths(result.lite_accuracy),
        f"{result.size / 1000:.0f}",
        decimals(result.float_ms),
        decimals(result.int8_ms),
        decimals(result.lite_ms),
    )


def _hundredths(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.2f}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.2f} %"


def decimals(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
