"""Measures exports for Paddle Lite of networks of full size: seconds, memory, sizes, and runs on x86.

`make bench-lite` runs this. Images are random, and so are the weights but for those of PP-OCR: times and
sizes mean something, accuracy does not. Writes docs/records/lite-bench.json and from it docs/lite-bench.md.
Each export runs in a process of its own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from networks import classifier, detector, frozen, text_network
from outcome import Outcome

import qcc
from qcc.backends.lite.runtime import LiteRuntime
from qcc.train.evaluation.timing import COUNTED_RUNS, WARM_UP_RUNS
from qcc.train.models.mobilenet_v1 import MobileNetV1
from qcc.train.models.mobilenet_v2 import MobileNetV2
from qcc.train.models.resnet import ResNet

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "docs" / "records" / "lite-bench.json"
PAGE = ROOT / "docs" / "lite-bench.md"
REPEATS = 3


NETWORKS = {
    "MobileNetV1": lambda: classifier(MobileNetV1(1.0)),
    "MobileNetV2": lambda: classifier(MobileNetV2(1.0)),
    "ResNet50": lambda: classifier(ResNet(50)),
    "YOLOv3-MobileNetV1": detector,
    "PP-OCRv4 det": lambda: text_network("ch_PP-OCRv4_det_infer", 320, 320),
    "PP-OCRv4 rec": lambda: text_network("ch_PP-OCRv4_rec_infer", 48, 320),
    "PP-OCR cls": lambda: text_network("ch_ppocr_mobile_v2_cls_infer", 48, 192),
}


def measure(name: str, folder: Path) -> dict[str, Any]:
    """What the exports of one network take, and how fast its files run."""
    model, inputs = NETWORKS[name]()
    qcc.save(model, folder / "float", check=False)
    qcc.save(frozen(model, inputs), folder / "int8", form="int8", check=False)
    exports = {}
    for form in ("float", "int8"):
        for arch in ("arm", "x86"):
            runs = [_export(folder / form, folder / f"{form}-{arch}.nb", arch) for _ in range(REPEATS)]
            exports[f"{form} {arch}"] = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    milliseconds = {}
    for form in ("float", "int8"):
        with LiteRuntime(folder / f"{form}-x86.nb") as runtime:
            milliseconds[form] = runtime.milliseconds(inputs)
    return {"network": name, "exports": exports, "milliseconds": milliseconds}


def _export(model: Path, out: Path, arch: str) -> dict[str, float]:
    command = [sys.executable, str(ROOT / "bench" / "lite_export.py"), str(model), str(out), arch]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def page(record: dict[str, Any]) -> str:
    """The page for a record."""
    where = record["environment"]
    exports, runs = [], []
    for network in record["networks"]:
        name, found = network["network"], network["exports"]
        for form, run in found.items():
            ratio = found[form.replace("int8", "float")]["bytes"] / run["bytes"]
            memory = run["memory"] / found["float arm"]["weights"]
            exports.append(
                f"| {name} | {form} | {run['export_seconds']:.2f} | {memory:.1f} | {run['bytes'] / 1e6:.2f}"
                f" | {ratio:.2f} |"
            )
        for form, value in network["milliseconds"].items():
            runs.append(f"| {name} | {form} | {value:.1f} |")
    heads = "| network | form | seconds | memory / weights | MB | float / this |\n|---|---|---|---|---|---|"
    return f"""# Exports for Paddle Lite at full size

```
make bench-lite     # measures again, and writes this page
```

{heads}
{chr(10).join(exports)}

Random weights, but for PP-OCR; medians of {REPEATS} exports, each in a process of its own, after the model
was loaded; the file is verified, not run. Memory is the growth of the process from before loading to its
peak, by the size of the float weights.

What a file says about the layers does not shrink with the weights: names, shapes and attributes, together
about a kilobyte an op, and with int8 the scales and biases of the channels as floats. So files of networks
with millions of weights in few layers shrink to a quarter, those of small or many layers less.

| network | form | ms on x86 |
|---|---|---|
{chr(10).join(runs)}

Paddle Lite's x86 runtime, one thread, batch 1, medians of {COUNTED_RUNS} runs after {WARM_UP_RUNS}. The int8
form for x86 is the exact one: float kernels on weights that are stored as integers, with the activations
rounded in between. It is for checking, and for files a quarter as large; what int8 gains on ARM is not
measured here. Other programs ran on the machine at the same time and slowed some runs down more than others.

Made by `{record["command"]}` from `docs/records/lite-bench.json` on {where["processor"]}, Paddle
{where["paddle"]}, Paddle Lite 2.13rc0.
"""


if __name__ == "__main__":
    Outcome.of_one(RECORD, PAGE, page).measure(NETWORKS, measure)
