"""Quantize a small classifier on real images and show what each step does to it; `make demo` runs this.

MobileNetV1 of a quarter of the width starts from float weights that are kept in `configs/weights`, trains
quantization-aware on a part of Fashion-MNIST, is frozen, converted to int8 and to QDQ, and evaluated in every
form. Everything goes into `output/demo`, with pictures of the passes and a record of all numbers.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from classifier_flow import Flow
from rich.console import Console

from qcc.train.compare import print_forms
from qcc.train.files import write_json

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = Path("output/demo")
CONFIG = ROOT / "configs" / "mobilenet_v1_fashion_mnist.yml"
# A third of the training images, once; the accuracy is that of all 10,000 test images.
OVERRIDES = (
    "ClassifierTrainFeed.dataset.limit=19200",
    "LearningRate.schedulers=[!PiecewiseDecay {gamma: 0.1, milestones: [300]}]",
)
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
    checkpoint_path: 'output/demo/checkpoints'
    strategies:
        - quantization_strategy
"""
PIPELINES = {
    "1-transform": ("transform{weight_type=channel_wise_abs_max}", "transform"),
}


def main() -> None:
    console = Console(soft_wrap=True)
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    slim = OUTPUT / "slim.yaml"
    slim.write_text(SLIM)
    flow = Flow(CONFIG.relative_to(Path.cwd()), slim, OUTPUT / "forms", console, OVERRIDES)
    record = flow.run()
    write_json(OUTPUT / "record.json", record)
    print_forms(console, flow.results, "top-1")
    console.print(f"Everything is in {OUTPUT}: pictures/, forms/, checkpoints/, record.json.")


if __name__ == "__main__":
    main()
