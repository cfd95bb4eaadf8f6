"""Measures what int8 gains in `paddle.inference` with oneDNN on networks of full size.

`make bench-inference` runs this. Weights and images are random, so times and sizes mean something and
accuracy does not. Writes docs/records/inference-bench.json and from it docs/inference.md. All forms of a
network take turns.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from networks import CLASSIFIER_SIDE, DETECTOR_SIDE, Inputs, classifier, detector, frozen
from outcome import Outcome

import qcc
from qcc.backends.predictor import Engine, Predictor
from qcc.train.evaluation.compare import model_size
from qcc.train.evaluation.timing import milliseconds
from qcc.train.models.mobilenet_v1 import MobileNetV1

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "docs" / "records" / "inference-bench.json"
PAGE = ROOT / "docs" / "inference.md"
FLOAT, INT8 = Engine(onednn=True), Engine(onednn=True, int8=True)


# What is measured, by name.
SUBJECTS = {
    f"MobileNetV1 x1.0, {CLASSIFIER_SIDE} px": lambda: classifier(MobileNetV1(1.0)),
    f"MobileNetV1 x0.5, {CLASSIFIER_SIDE} px": lambda: classifier(MobileNetV1(0.5)),
    f"YOLOv3-MobileNetV1, {DETECTOR_SIDE} px": detector,
}


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Sizes in bytes and milliseconds per image of one network."""
    model, inputs = SUBJECTS[name]()
    quantized = frozen(model, inputs)
    qcc.save(model, folder / "float", check=False)
    qcc.save(quantized, folder / "frozen", check=False)
    qcc.save(quantized, folder / "int8", form="int8", check=False)
    qcc.save(quantized, folder / "qdq", target="paddle-x86", check=False)
    predictors = {
        what: Predictor.open(folder / form, engine)
        for what, form, engine in (
            ("float", "float", FLOAT),
            ("frozen, fp32 kernels", "frozen", FLOAT),
            ("frozen, int8 kernels", "frozen", INT8),
            ("qdq, int8 kernels", "qdq", INT8),
        )
    }
    runs = {what: partial(_seconds, predictor, inputs) for what, predictor in predictors.items()}
    sizes = {form: model_size(folder / form) for form in ("float", "frozen", "int8", "qdq")}
    return {"name": name, "milliseconds": milliseconds(runs), "bytes": sizes}


def _seconds(predictor: Predictor, inputs: Inputs) -> float:
    (seconds,) = predictor.seconds(inputs)
    return seconds


def page(record: dict[str, Any]) -> str:
    """The page for a record."""
    where = record["environment"]
    rows = []
    for network in record["networks"]:
        base, times, sizes = network["milliseconds"]["float"], network["milliseconds"], network["bytes"]
        for name, value in times.items():
            rows.append(f"| {network['name']} | {name} | {value:.2f} | {value / base:.2f} |")
        rows.append(
            f"| {network['name']} | size of float, int8, qdq: {sizes['float'] / 1e6:.2f},"
            f" {sizes['int8'] / 1e6:.2f}, {sizes['qdq'] / 1e6:.2f} MB | |"
            f" {sizes['int8'] / sizes['float']:.2f}, {sizes['qdq'] / sizes['float']:.2f} |"
        )
    table = "\n".join(["| network | form and kernels | ms | ratio to float |", "|---|---|---|---|", *rows])
    return f"""# What int8 gains at full size

```
make bench-inference     # measures again, and writes this page
```

{table}

Random weights and image: the times and sizes are those of the real networks (1,000 classes; 20 of VOC),
accuracy is not measured here. *qdq* is the form for the target paddle-x86. `paddle.inference` with oneDNN,
batch 1, one thread, medians of 100 runs after 10, in turns. Made by `{record["command"]}` from
`docs/records/inference-bench.json` on {where["processor"]}, Paddle {where["paddle"]}; another processor has
other ratios.
"""


if __name__ == "__main__":
    Outcome.of_one(RECORD, PAGE, page).measure(SUBJECTS, measure)
