"""Full-length results of the classifier: each weight x activation combination, all test images.

    python examples/results.py [COMBINATION ...]   trains what has no record yet, then writes docs/results.md
    python examples/results.py --time [...]        times the saved models again, for a quieter machine
    python examples/results.py --render            writes docs/results.md from the stored records alone

A combination is the name of a slim file in configs/slim. A run that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from classifier_flow import Flow, form_folders
from rich.console import Console

from qcc.files import atomic_file, write_json
from qcc.train.compare import (
    decimals,
    open_predictors,
    percent,
    print_forms,
    random_image,
    time_forms,
)
from qcc.train.report import command_line, environment

CONFIG = Path("configs/mobilenet_v1_fashion_mnist.yml")
SLIM_FILES = Path("configs/slim")
OUTPUT = Path("output/mobilenet_v1")
RECORDS = Path("docs/records/classifier")
PAGE = Path("docs/results.md")
FLOAT_RECORD = Path("configs/weights/mobilenet_v1_x0_25_fashion_mnist.json")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("combination", nargs="*")
    what = arguments.add_mutually_exclusive_group()
    what.add_argument("--render", action="store_true", help="only write the page")
    what.add_argument("--time", action="store_true", help="only time the saved models again")
    options = arguments.parse_args()
    console = Console(soft_wrap=True)
    names = options.combination or sorted(path.stem for path in SLIM_FILES.glob("*.yaml"))
    for name in [] if options.render else names:
        if options.time:
            time_again(name)
        else:
            train(name, console)
    with atomic_file(PAGE) as stream:
        stream.write(page().encode())
    console.print(f"wrote {PAGE}.")


def train(name: str, console: Console) -> None:
    """Run one combination and store its record, unless there is one."""
    path = RECORDS / f"{name}.json"
    if path.exists():
        console.print(f"{path} is there already; remove it to run {name} again.")
        return
    flow = Flow(CONFIG, SLIM_FILES / f"{name}.yaml", OUTPUT / name / "forms", console)
    write_json(path, flow.run())
    print_forms(console, flow.results, "top-1")


def time_again(name: str) -> None:
    """Put new times into the record of a combination whose models are still there."""
    path, output = RECORDS / f"{name}.json", OUTPUT / name
    record = json.loads(path.read_text())
    transformed = output / "checkpoints" / str(record["best_epoch"]) / "eval_model"
    predictors = open_predictors(form_folders(output / "forms", transformed))
    times = time_forms(predictors, random_image(record["settings"]["image_shape"]))
    for form in record["forms"]:
        form["float_ms"] = times.get((form["form"], "float"))
        form["int8_ms"] = times.get((form["form"], "int8"))
    record["timed"] = {"command": command_line(), "environment": environment()}
    write_json(path, record)


# ---------------------------------------------------------------------- the page


def page() -> str:
    records = {path.stem: json.loads(path.read_text()) for path in sorted(RECORDS.glob("*.json"))}
    sections = [introduction(records), overview(records)]
    sections += [combination(name, record) for name, record in records.items()]
    return "\n".join(sections)


def introduction(records: dict[str, Any]) -> str:
    record = next(iter(records.values()))
    where, settings = record["environment"], record["settings"]
    network, shape = settings["MobileNetV1"], settings["image_shape"]
    float_run = json.loads(FLOAT_RECORD.read_text())
    last = float_run["epochs"][-1]
    return f"""# Results

Written by `python examples/results.py` from the records in `{RECORDS}`; do not edit by hand.

## MobileNetV1 on Fashion-MNIST

- Network: MobileNetV1 of {network["scale"]} of the width, {shape[1]} x {shape[2]} pixels, strides
  {network["strides"]}.
- Data: Fashion-MNIST, all 60,000 training images; accuracy on all 10,000 test images.
- Processor: {where["processor"]}, OMP_NUM_THREADS={where["OMP_NUM_THREADS"]}; Paddle {where["paddle"]},
  Python {where["python"]}.
- Float weights: `{float_run["command"]}`,
  {last["epoch"] + 1} epochs, top-1 {percent(last["top1"])}, top-5 {percent(last["top5"])}
  ({float_run["environment"]["processor"]}).

*frozen* is evaluated with the integers that weights and activations are rounded to, held in float32; *change*
is frozen against float in points. The quantized networks have trained three epochs longer than the float one,
and the best epoch is chosen by the accuracy of the transformed network on the test images, as in the original
flow: differences of 0.1 or 0.2 points say nothing. *int8 kernels* is the frozen form in `paddle.inference`
with oneDNN's int8 kernels. With activation type abs_max every run measures its scales anew; oneDNN's kernels
do not, and compute something else: such a network is not for that runtime. Times are medians of 100 runs
after 10, batch 1, one thread, oneDNN, in turns; other programs ran on the machine at the same time, so
compare within a row.
"""


def overview(records: dict[str, Any]) -> str:
    lines = [
        "| weights | activations | float | transformed | frozen | change | int8 kernels | float ms | int8 ms"
        " | float kB | int8 kB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for record in records.values():
        scheme, forms = record["scheme"], {form["form"]: form for form in record["forms"]}
        change = (forms["frozen"]["accuracy"] - forms["float"]["accuracy"]) * 100
        cells = [
            scheme["weight_quantize_type"],
            scheme["activation_quantize_type"],
            percent(forms["float"]["accuracy"]),
            percent(forms["transformed"]["accuracy"]),
            percent(forms["frozen"]["accuracy"]),
            f"{change:+.2f}",
            percent(forms["frozen"]["int8_accuracy"]),
            decimals(forms["float"]["float_ms"]),
            decimals(forms["frozen"]["int8_ms"]),
            f"{forms['float']['size'] / 1000:.0f}",
            f"{forms['int8']['size'] / 1000:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def combination(name: str, record: dict[str, Any]) -> str:
    commands = "\n".join(record["commands"])
    epochs = ", ".join(f"{epoch['epoch']}: {percent(epoch['top1'])}" for epoch in record["epochs"])
    rows = "\n".join(
        f"| {form['form']} | {percent(form['accuracy'])} | {percent(form['int8_accuracy'])}"
        f" | {form['size']:,} | {decimals(form['float_ms'])} | {decimals(form['int8_ms'])} |"
        for form in record["forms"]
    )
    return f"""### {name}

```
{commands}
```

Transformed network after each epoch: {epochs}. Frozen: epoch {record["best_epoch"]}.

| form | top-1 | top-1 in int8 kernels | bytes | ms, fp32 kernels | ms, int8 kernels |
|---|---|---|---|---|---|
{rows}
"""


if __name__ == "__main__":
    main()
