"""docs/results.md, from the stored records alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from studies import CLASSIFIER, DETECTOR, FROZEN_NORMS, Study

from qcc.train.evaluation.compare import RUNTIMES, decimals, percent

PAGE = Path("docs/results.md")
Record = dict[str, Any]

_START = """# Results

```
make results     # trains what has no record in docs/records, and writes this page
```

Written from the records in `docs/records`.

*change* is against float in points. Box AP and top-1 are computed with the integers that weights and
activations are rounded to, held in float32; *int8 kernels* is that of `paddle.inference` with oneDNN's int8
kernels, *Lite* that of Paddle Lite's x86 runtime, which computes a quantized file by float kernels from the
same integers, *ONNX Runtime* and *OpenVINO* those of the files of `qcc export` in their int8 kernels. The
best epoch is chosen by what the transformed network reaches on the test images, as in the original flow:
differences of 0.1 or 0.2 points say nothing. With activation type abs_max a network measures its scales in
every run, and so it is evaluated; runtimes want fixed ones, so all others are those of the network frozen
again with `--calibrate`. Times are medians of 100 runs after 10,
batch 1, one thread; those of Paddle are taken in turns, with fp32 kernels for the float network and int8
kernels for the others.
"""


def page() -> str:
    """The whole page."""
    parts = [_START]
    for study, introduction in (
        (DETECTOR, _detector),
        (FROZEN_NORMS, _frozen_norms),
        (CLASSIFIER, _classifier),
    ):
        records = study.records()
        if records:
            parts += [introduction(study, next(iter(records.values()))), _overview(study, records)]
            parts += [_combination(study, name, record) for name, record in records.items()]
    return "\n".join(parts)


def _detector(study: Study, record: Record) -> str:
    settings = record["settings"]
    shape = settings["YoloEvalFeed"]["image_shape"]
    return f"""## YOLOv3-MobileNetV1 on composed pictures

- Network: YOLOv3 on a MobileNetV1 of {settings["MobileNet"]["conv_group_scale"]} of the width,
  {shape[1]} x {shape[2]} pixels.
- Data: `python examples/fashion_voc/compose.py dataset/fashion_voc`: 5,000 training and 1,000 test pictures,
  **composed** of real photos and items of Fashion-MNIST; Box AP is VOC's mAP at IoU 0.5
  ({settings["map_type"]}) on all test pictures.
{_where(study, record)}"""


def _frozen_norms(study: Study, record: Record) -> str:
    return f"""## The same detector with batch norms that stand still

- As above, but for `{" ".join(study.overrides)}`: batch norms use their moving statistics from the
  first quantized epoch on, and leave them as they are.
{_where(study, record)}"""


def _classifier(study: Study, record: Record) -> str:
    network, shape = record["settings"]["MobileNetV1"], record["settings"]["image_shape"]
    return f"""## MobileNetV1 on Fashion-MNIST

- Network: MobileNetV1 of {network["scale"]} of the width, {shape[1]} x {shape[2]} pixels, strides
  {network["strides"]}.
- Data: Fashion-MNIST, all 60,000 training images; accuracy on all 10,000 test images.
{_where(study, record)}"""


def _where(study: Study, record: Record) -> str:
    """Processor and float weights, which every study tells in the same words."""
    where = record["environment"]
    run = json.loads(study.float_record.read_text())
    last = run["epochs"][-1]
    return f"""\
- Processor: {where["processor"]}, OMP_NUM_THREADS={where["OMP_NUM_THREADS"]}; Paddle {where["paddle"]},
  Python {where["python"]}.
- Float weights: `{run["command"]}`, {last["epoch"] + 1} epochs, {study.metric} {percent(last[study.key])}.
- Quantized: {len(record["epochs"])} further epochs per combination.
"""


def _overview(study: Study, records: dict[str, Record]) -> str:
    """The original's table: the float network, then a row per weight x activation type."""
    metric = study.metric
    first = _forms(next(iter(records.values())))
    runtimes = [name for name in RUNTIMES if name in first["float"]["runtimes"]]
    head = [
        "weights",
        "activations",
        metric,
        "change",
        f"{metric}, int8 kernels",
        *(f"{metric}, {name}" for name in runtimes),
        "Paddle, ms",
        *(f"{name}, ms" for name in runtimes),
        "Paddle, kB",
        *(f"{name}, kB" for name in runtimes),
    ]
    rows = [_row(first, runtimes, "-", "- (baseline)")]
    for record in records.values():
        scheme = record["scheme"]
        names = scheme["weight_quantize_type"], scheme["activation_quantize_type"]
        rows.append(_row(_forms(record), runtimes, *names))
    return _table(head, rows)


def _row(forms: dict[str, Record], runtimes: list[str], weights: str, activations: str) -> list[str]:
    """The float network where `weights` is "-"."""
    first = forms["float"]
    if weights == "-":
        trained, deployed, stored, change, kernels = first, first, first, "", "float_ms"
    else:
        trained, stored, kernels = forms.get("dynamic", forms["frozen"]), forms["int8"], "int8_ms"
        deployed = forms["frozen"]
        change = f"{(trained['accuracy'] - first['accuracy']) * 100:+.2f}"
    fastest = forms["qdq"] if "qdq" in forms and deployed is not first else deployed
    found = _in_runtimes(deployed, runtimes)
    return [
        weights,
        activations,
        percent(trained["accuracy"]),
        change,
        percent(deployed["int8_accuracy"]),
        *(percent(one.get("accuracy")) for one in found),
        decimals(fastest[kernels]),
        *(decimals(one.get("ms")) for one in found),
        _kb(stored["size"]),
        *(_kb(one.get("size")) for one in found),
    ]


def _in_runtimes(form: Record, runtimes: list[str]) -> list[Record]:
    return [form["runtimes"].get(name, {}) for name in runtimes]


def _combination(study: Study, name: str, record: Record) -> str:
    commands = "\n".join(record["commands"])
    epochs = ", ".join(f"{epoch['epoch']}: {percent(epoch[study.key])}" for epoch in record["epochs"])
    runtimes = [name for name in RUNTIMES if any(name in form["runtimes"] for form in record["forms"])]
    rows = [
        [
            form["form"],
            percent(form["accuracy"]),
            percent(form["int8_accuracy"]),
            *(percent(one.get("accuracy")) for one in _in_runtimes(form, runtimes)),
            f"{form['size']:,}",
            decimals(form["float_ms"]),
            decimals(form["int8_ms"]),
            *(decimals(one.get("ms")) for one in _in_runtimes(form, runtimes)),
        ]
        for form in record["forms"]
    ]
    metric = study.metric
    head = [
        "form",
        metric,
        f"{metric}, int8 kernels",
        *(f"{metric}, {name}" for name in runtimes),
        "bytes",
        "ms, fp32 kernels",
        "ms, int8 kernels",
        *(f"ms, {name}" for name in runtimes),
    ]
    return f"""### {study.name}: {name}

```
{commands}
```

Transformed network after each epoch: {epochs}. Frozen: epoch {record["best_epoch"]}.

{_table(head, rows)}"""


def _forms(record: Record) -> dict[str, Record]:
    return {form["form"]: form for form in record["forms"]}


def _kb(size: int | None) -> str:
    return "-" if size is None else f"{size / 1000:.0f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
