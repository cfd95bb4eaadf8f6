"""Quantize a small classifier on real images and show what each step does to it; `make demo` runs this.

MobileNetV1 of a quarter of the width starts from float weights that are kept in `configs/weights`, trains
quantization-aware on a part of Fashion-MNIST, is frozen, converted to int8 and to QDQ, and evaluated in every
form. Everything goes into `output/demo`, with pictures of the passes and a record of all numbers.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from classifier_flow import Flow
from rich.console import Console

from qcc.files import write_json
from qcc.train.compare import print_forms

ROOT = Path(__file__).resolve().parent.parent
CONFIG = Path("configs/mobilenet_v1_fashion_mnist.yml")
OUTPUT = Path("output/demo")
FORMS, PICTURES, CHECKPOINTS = OUTPUT / "forms", OUTPUT / "pictures", OUTPUT / "checkpoints"
# Two epochs of a third of the training images; the accuracy is that of all 10,000 test images.
OVERRIDES = (
    "ClassifierTrainFeed.dataset.limit=19200",
    "LearningRate.schedulers=[!PiecewiseDecay {gamma: 0.1, milestones: [300]}]",
)
SLIM = f"""\
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
    checkpoint_path: '{CHECKPOINTS}'
    strategies:
        - quantization_strategy
"""
TRANSFORM = "transform{weight_type=channel_wise_abs_max,activation_type=moving_average_abs_max}"
# The first pointwise convolution, with what stands around it.
PLACE, DEPTH = "conv2d_1.tmp_0", 4


def main() -> None:
    os.chdir(ROOT)
    console = Console(soft_wrap=True)
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    slim = OUTPUT / "slim.yaml"
    slim.write_text(SLIM)
    flow = Flow(CONFIG, slim, FORMS, console, OVERRIDES)
    record = flow.run()
    write_json(OUTPUT / "record.json", record)
    draw(flow, CHECKPOINTS / str(record["best_epoch"]) / "eval_model", console)
    console.print()
    print_forms(console, flow.results, "top-1")
    console.print(f"Everything is in {OUTPUT}: forms/, pictures/, checkpoints/ and record.json.")


def draw(flow: Flow, transformed: Path, console: Console) -> None:
    """One picture per pass of what it did near a convolution."""
    PICTURES.mkdir()
    can_draw = shutil.which("dot") is not None
    if not can_draw:
        console.print("\nGraphviz's program `dot` is not installed: pictures are written as .dot files only.")
    for number, (name, model, pipeline) in enumerate(
        (
            ("transform", FORMS / "original", TRANSFORM),
            ("freeze", transformed, "freeze"),
            ("int8", FORMS / "float", "int8"),
            ("qdq", FORMS / "float", "qdq"),
        ),
        start=1,
    ):
        stem = PICTURES / f"{number}-{name}"
        files = ["--dot", f"{stem}.dot", *(["--svg", f"{stem}.svg"] if can_draw else [])]
        flow.qcc("dump-graph", model, "-p", pipeline, "--diff", "--around", PLACE, "--depth", DEPTH, *files)


if __name__ == "__main__":
    main()
