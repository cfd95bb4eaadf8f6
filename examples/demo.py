"""The main job on real data, as a user would type it: `make demo` runs this.

    python examples/demo.py               a detector: YOLOv3-MobileNetV1 finds trees in aerial photos
    python examples/demo.py classifier    MobileNetV1 on Fashion-MNIST

A network starts from float weights that are kept in `configs/weights`, trains quantization-aware with an
evaluation after each epoch; the best epoch is frozen and converted to int8 and QDQ; every form is evaluated
and timed. Everything goes into `output/demo-...`, with pictures of what the passes do and a record of all
numbers; `forms/report.html` shows it as a page.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flow import Flow
from rich.console import Console

from qcc.analyze.page.frame import put_part
from qcc.analyze.page.frozen import PAGE
from qcc.files import write_json
from qcc.train.evaluation.compare import forms_part, print_forms

ROOT = Path(__file__).resolve().parent.parent
TREES = Path("dataset/tree_crowns")
SLIM = """\
version: 1.0
strategies:
    quantization_strategy:
        class: 'QuantizationStrategy'
        start_epoch: 0
        end_epoch: 1
        weight_quantize_type: 'channel_wise_abs_max'
        activation_quantize_type: 'moving_average_abs_max'
compressor:
    epoch: 2
    checkpoint_path: '{checkpoints}'
    strategies:
        - quantization_strategy
"""
TRANSFORM = "transform{weight_type=channel_wise_abs_max,activation_type=moving_average_abs_max}"
# The first pointwise convolution, with what stands around it.
PLACE, DEPTH = "conv2d_1.tmp_0", 4


@dataclass(frozen=True)
class Demo:
    """`prepare` makes the data; `show` runs at the end, on the frozen model; `overrides`: KEY=VALUE."""

    config: Path
    metric: str
    prepare: Callable[[], None]
    show: Callable[[Flow, Path], None]
    overrides: Sequence[str] = ()


def cut_tiles() -> None:
    """Make the tiles, unless they are there."""
    if not TREES.exists():
        subprocess.run([sys.executable, "examples/tree_crowns/tile.py", str(TREES)], check=True)


def find_trees(flow: Flow, output: Path) -> None:
    """Draw what the frozen detector finds in a test tile."""
    first = (TREES / "test.txt").read_text().split()[0]
    image = TREES / first
    found = ["--infer_img", image, "--output_dir", output / "found", "--draw_threshold", "0.3"]
    flow.qcc("infer", flow.folder / "float", "-c", flow.config, *found)


DEMOS = {
    "detector": Demo(Path("configs/yolov3_mobilenet_v1_tree_crowns.yml"), "Box AP", cut_tiles, find_trees),
    "classifier": Demo(
        Path("configs/mobilenet_v1_fashion_mnist.yml"),
        "top-1",
        lambda: None,
        lambda flow, output: None,
        # Two epochs of a third of the training images; the accuracy is that of all 10,000 test images.
        (
            "ClassifierTrainFeed.dataset.limit=19200",
            "LearningRate.schedulers=[!PiecewiseDecay {gamma: 0.1, milestones: [300]}]",
        ),
    ),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("what", nargs="?", choices=sorted(DEMOS), default="detector")
    name = arguments.parse_args().what
    os.chdir(ROOT)
    run(DEMOS[name], Path(f"output/demo-{name}"), Console(soft_wrap=True))


def run(demo: Demo, output: Path, console: Console) -> None:
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    demo.prepare()
    slim, checkpoints = output / "slim.yaml", output / "checkpoints"
    slim.write_text(SLIM.format(checkpoints=checkpoints))
    flow = Flow(demo.config, slim, output / "forms", console, demo.overrides)
    record = flow.run()
    write_json(output / "record.json", record)
    demo.show(flow, output)
    draw(flow, checkpoints / str(record["best_epoch"]) / "eval_model", output / "pictures", console)
    console.print()
    print_forms(console, flow.results, demo.metric)
    page = flow.folder / PAGE
    put_part(page, page.parent.name, "times", forms_part(flow.results, demo.metric))
    console.print(f"{page} has all of it as a page.")
    console.print(f"Everything is in {output}: {', '.join(sorted(p.name for p in output.iterdir()))}.")


def draw(flow: Flow, transformed: Path, pictures: Path, console: Console) -> None:
    """One picture per pass of what it did near a convolution."""
    pictures.mkdir()
    forms = flow.folder
    for number, (name, model, pipeline) in enumerate(
        (
            ("transform", forms / "original", TRANSFORM),
            ("freeze", transformed, "freeze"),
            ("int8", forms / "float", "int8"),
            ("qdq", forms / "float", "qdq"),
        ),
        start=1,
    ):
        stem = pictures / f"{number}-{name}"
        files = ["--dot", f"{stem}.dot", "--svg", f"{stem}.svg"]
        flow.qcc("dump-graph", model, "-p", pipeline, "--diff", "--around", PLACE, "--depth", DEPTH, *files)


if __name__ == "__main__":
    main()
