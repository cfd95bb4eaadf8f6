"""Measures what int8 gains in each engine: `qcc quantize --target`, then `qcc bench`, as users run them.

    make bench-engines          measures all, writes docs/records/engines.json and from it docs/engines.md
    python bench/engines.py NAME ...    measures these networks again, and keeps the others of the record
    python bench/engines.py --engines tensorrt      on a machine with a GPU

What was measured on processors with VNNI, and on GPUs, has records of its own, which the page shows, too.

The networks of PP-OCR are the published ones, and see pieces of real aerial photos with words written on them
(`tests/support/ocr_photos.py`). The others have random weights with settled norms: their times and sizes are
those of the real ones, accuracy is not measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from networks import CLASSIFIER_SIDE, DETECTOR_SIDE, classifier, detector
from ocr_photos import line, overlap, page, same_classes
from outcome import Outcome, Record, kind_of_processor
from page import table

import qcc
from qcc.backends.engines.tensorrt import gpu
from qcc.backends.predictor import PaddleExecutor
from qcc.measure.engines import Case, find_cases
from qcc.measure.subjects import find_subjects
from qcc.model import Model
from qcc.targets.processor import has_vnni
from qcc.targets.table import WITH_VNNI
from qcc.train.data.cache import dataset
from qcc.train.evaluation.report import command_line, environment
from qcc.train.models.detector import IM_SIZE, IMAGE
from qcc.train.models.mobilenet_v1 import MobileNetV1
from qcc.train.models.resnet import ResNet

ROOT = Path(__file__).resolve().parent.parent
RECORDS, PAGE = ROOT / "docs" / "records", ROOT / "docs" / "engines.md"
ENGINES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime", "paddle": "Paddle", "tensorrt": "TensorRT"}
ON_CPUS = ("openvino", "onnxruntime", "paddle")
# The target of each engine, and what of `qcc quantize`'s folder it loads.
FORMS = {
    "openvino": ("openvino", "qdq"),
    "onnxruntime": ("onnxruntime", "{target}/model.onnx"),
    "paddle": ("paddle-x86", "qdq"),
    "tensorrt": ("tensorrt", "{target}/model.onnx"),
}
KINDS = {
    "cpu": RECORDS / "engines.json",
    "vnni": RECORDS / "engines-vnni.json",
    "gpu": RECORDS / "engines-gpu.json",
}
PHOTOS, TEST, ROUNDS = 16, 24, 30

Inputs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Network:
    """`model` saves a float model to a folder, or tells where it is; `inputs` makes those with a number;
    `agreement` compares what came out with what the float model gives, where that means something."""

    model: Callable[[Path], Path]
    inputs: Callable[[int], Inputs]
    agreement: Callable[[np.ndarray, np.ndarray], float] | None = None


def _saved(make: Callable[[], tuple[Model, Any]]) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        qcc.save(make()[0], folder, check=False)
        return folder

    return save


def _published(name: str) -> Callable[[Path], Path]:
    return lambda _: dataset("pp-ocr") / name


def _photo(side: int) -> Callable[[int], Inputs]:
    make = page(side)
    return lambda number: {"image": make(number)}


def _photo_with_size(number: int) -> Inputs:
    return {IMAGE: page(DETECTOR_SIDE)(number), IM_SIZE: np.array([[DETECTOR_SIDE] * 2], np.int32)}


NETWORKS = {
    "MobileNetV1": Network(_saved(lambda: classifier(MobileNetV1(1.0))), _photo(CLASSIFIER_SIDE)),
    "ResNet50": Network(_saved(lambda: classifier(ResNet(50))), _photo(CLASSIFIER_SIDE)),
    "YOLOv3-MobileNetV1 320": Network(_saved(detector), _photo_with_size),
    "PP-OCRv4 det 640": Network(
        _published("ch_PP-OCRv4_det_infer"), lambda number: {"x": page(640)(number)}, overlap
    ),
    "PP-OCRv4 rec 48x320": Network(
        _published("ch_PP-OCRv4_rec_infer"), lambda number: {"x": line(320)(number)}, same_classes
    ),
    "PP-OCR cls 48x192": Network(
        _published("ch_ppocr_mobile_v2_cls_infer"), lambda number: {"x": line(192)(number)}, same_classes
    ),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NETWORKS))
    arguments.add_argument("--engines", default=",".join(ON_CPUS), help=",".join(ENGINES))
    arguments.add_argument("--render", action="store_true", help="only write the page")
    options = arguments.parse_args()
    engines = options.engines.split(",")
    unknown = [one for one in engines if one not in ENGINES]
    if unknown or ("tensorrt" in engines and len(engines) > 1):
        arguments.error(f"--engines takes tensorrt, or some of {', '.join(ON_CPUS)}.")
    kind = "gpu" if "tensorrt" in engines else kind_of_processor()
    outcome = Outcome(KINDS, kind, PAGE, text)
    if options.render:
        outcome.render()
        return
    stored = {}
    if outcome.record.exists() and (options.names or set(engines) != set(ON_CPUS)):
        stored = {one["name"]: one for one in json.loads(outcome.record.read_text())["networks"]}
    for name in options.names or NETWORKS:
        with tempfile.TemporaryDirectory(prefix="qcc-bench-") as folder:
            found = {"name": name, **measure(NETWORKS[name], Path(folder), engines)}
        stored[name] = _with_others(stored.get(name), found, engines)
        networks = [stored[one] for one in NETWORKS if one in stored]
        record = {"command": command_line(), "environment": environment(), "networks": networks}
        outcome.store(record | ({"gpu": gpu()} if kind == "gpu" else {}))


def _with_others(
    before: dict[str, Any] | None, found: dict[str, Any], engines: Sequence[str]
) -> dict[str, Any]:
    """What was found, with what was known of other engines."""
    if before is None:
        return found
    rows = [row for row in before["rows"] if row["engine"] not in engines]
    refused = {name: words for name, words in before["refused"].items() if name.split()[0] not in engines}
    return {
        **found,
        "refused": {**refused, **found["refused"]},
        "engines": {**before["engines"], **found["engines"]},
        "rows": [*rows, *found["rows"]],
    }


def measure(network: Network, folder: Path, engines: Sequence[str]) -> dict[str, Any]:
    """Quantize for each engine, time all in turns, compare what comes out."""
    photos = folder / "photos"
    photos.mkdir()
    for number in range(PHOTOS):
        np.savez(photos / f"{number}.npz", **network.inputs(number))
    model = network.model(folder / "float")
    files, refused = {}, {}
    for engine in engines:
        table, form = FORMS[engine]
        target = _for_processor(table) if engine in ON_CPUS else table
        out = folder / engine
        asked = ("quantize", model, "--data", photos, "-o", out, "--target", target)
        done = _qcc(*asked)
        if done.returncode:
            refused[engine] = done.stderr.strip().splitlines()[-1].replace(f"{folder}/", "")
            done = _qcc(*asked, "--no-check")
        if not done.returncode:
            files[engine] = out / form.format(target=target)
    if "openvino" in files:
        file = folder / "openvino.onnx"
        target = _for_processor("openvino")
        done = _qcc("export", folder / "openvino" / "float", "--target", target, "-o", file)
        if done.returncode:
            refused["openvino from ONNX"] = done.stderr.strip().splitlines()[-1].replace(f"{folder}/", "")
        else:
            files["openvino from ONNX"] = file
    record = folder / "bench.json"
    asked = ("--engines", ",".join(engines), "--data", photos, "--rounds", ROUNDS, "--json", record)
    done = _qcc("bench", model, *files.values(), *asked)
    print(done.stdout, done.stderr, sep="\n", flush=True)
    bench = json.loads(record.read_text())
    near = dict(_agreements(network, engines, [model, *files.values()], folder / "scratch"))
    shown = {str(file): name for name, file in files.items()}
    rows = [
        {
            **{key: _without_turns(value) for key, value in row.items()},
            "model": shown.get(row["model"], "float"),
            "simulation": _within(folder, model, row["simulation"]),
            "agreement": near.get((row["engine"], row["model"])),
        }
        for row in bench["rows"]
        if "reason" not in row
    ]
    return {"refused": refused, "engines": bench["engines"], "processor": _processor(bench), "rows": rows}


def _for_processor(target: str) -> str:
    return target + WITH_VNNI if has_vnni() else target


def _within(folder: Path, model: Path, path: str | None) -> str | None:
    """A path as one relative to where this ran."""
    return path and path.replace(str(model), "float").replace(f"{folder}/", "")


def _without_turns(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: inner for key, inner in value.items() if key != "turns"}
    return value


def _processor(bench: dict[str, Any]) -> str:
    return f"{bench['processor']} with {', '.join(bench['int8_instructions'])}"


def _qcc(*words: object) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("qcc")), *map(str, words)]
    print("$ qcc", *words, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout, done.stderr, flush=True)
    return done


def _agreements(
    network: Network, engines: Sequence[str], models: list[Path], scratch: Path
) -> Iterator[tuple[tuple[str, str], float]]:
    """That of each form in its engine with the float model, run op for op by Paddle, on other photos."""
    if network.agreement is None:
        return
    subjects = find_subjects(models, scratch)
    photos = [network.inputs(number) for number in range(1000, 1000 + TEST)]
    executor = PaddleExecutor(subjects[0].program, subjects[0].params)
    wanted = [executor.run(photo)[0] for photo in photos]
    for case in find_cases(engines, subjects, scratch):
        if isinstance(case, Case) and case.int8:
            running = case.open(1)
            try:
                found = [running.run(photo)[0] for photo in photos]
            finally:
                running.close()
            values = [network.agreement(*pair) for pair in zip(found, wanted, strict=True)]
            yield (case.engine, case.subject.shown), float(np.mean(values))


def text(records: Mapping[str, Record]) -> str:
    """The page for the records that there are."""
    parts = [part for kind, record in records.items() for part in _part(kind, record)]
    return f"""# What int8 gains in each engine

```
make bench-engines       # measures again, and writes this page
qcc bench MODEL OUT      # the same for a model of yours
```
{"".join(parts)}
## What the columns say

*fp32, int8*: processor time of a run at batch 1 with one thread, medians of {ROUNDS} turns that all models
of a network take one after the other; *to fp32*: the ratio, turn by turn, and half the distance of its
quartiles. *int8 layers*: as the engine tells, of those with a weight. *MB*: of what the engine loads, and
relative to float.

*Agreement* is with the float model, on {TEST} photos that were not calibrated on: overlap of the detector's
maps cut at 0.3, and the share of equal characters and directions. The networks of PP-OCR are those that are
published, the photos pieces of real aerial photos with words written on them. The other networks have random
weights: nothing can be said about their accuracy here, and [results.md](results.md) does.

Each model was quantized by `qcc quantize MODEL --data PHOTOS --target TARGET`, on {PHOTOS} photos; *from
ONNX* is the file of `qcc export --target openvino`.
"""


_ABOUT = {
    "cpu": (
        "Without VNNI",
        "Other programs ran at the same time, which the ratios, taken turn by turn, feel little.",
    ),
    "vnni": (
        "With VNNI",
        "The targets are `onnxruntime+vnni`, `openvino+vnni` and `paddle-x86+vnni`: weights keep all 8 bits."
        " Other programs ran at the same time. OpenVINO is asked for float32, of float models too: by itself"
        " it computes floats in bfloat16 on such a processor.",
    ),
    "gpu": (
        "On a GPU",
        "*fp32* has no TF32. Times are those of the wall, while the processor waits for the GPU.",
    ),
}


def _part(kind: str, record: Record) -> Iterator[str]:
    title, note = _ABOUT[kind]
    rows = [row for network in record["networks"] for row in _rows(network)]
    heads = ("network", "engine", "fp32, ms", "int8, ms", "to fp32", "int8 layers", "agreement", "MB")
    yield f"\n## {title}\n\n{table(heads, rows)}\n"
    refused = [
        f"* {network['name']}, {name}: {reason}"
        for network in record["networks"]
        for name, reason in network["refused"].items()
    ]
    if refused:
        head = "Refused by its check (a row of one was written with `--no-check`, for its time):"
        yield "\n".join(["", head, "", *refused, ""])
    first = record["networks"][0]
    engines = ", ".join(first["engines"].values())
    yield (
        f"\nMade from `docs/records/{KINDS[kind].name}`, last by `{record['command']}`, on"
        f" {record.get('gpu') or first['processor']}: {engines}. {note}\n"
    )


def _rows(network: dict[str, Any]) -> Iterator[list[str]]:
    floats = {row["engine"]: row for row in network["rows"] if row["form"] == "float"}
    for row in network["rows"]:
        if row["form"] == "float" or row["engine"] not in floats:
            continue
        base, ratio = floats[row["engine"]], row["cpu_to_float"]
        named = ENGINES[row["engine"]] + (" from ONNX" if "ONNX" in row["model"] else "")
        yield [
            network["name"],
            named,
            f"{base['cpu_ms']['median']:.1f}",
            f"{row['cpu_ms']['median']:.1f}",
            f"{ratio['median']:.2f} ±{(ratio['third'] - ratio['first']) / 2:.2f}",
            f"{row['int8_layers']} of {row['layers']}",
            "" if row["agreement"] is None else f"{row['agreement']:.3f}",
            f"{row['bytes'] / 1e6:.1f} ({row['bytes'] / base['bytes']:.2f})",
        ]


if __name__ == "__main__":
    main()
