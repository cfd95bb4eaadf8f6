"""Small detection sets, written in the layout of Pascal VOC."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qcc.train.data.voc_layout import VocWriter, WrittenBox

CLASSES = ("square", "bar")
SIDE = 64


def write_voc(folder: Path, counts: dict[str, int]) -> Path:
    """Write pictures with one bright square or bar each, on dark noise; returns `folder`."""
    writer = VocWriter(folder, CLASSES)
    splits = {}
    for split, count in counts.items():
        names = [f"{split}_{index}" for index in range(count)]
        for index, name in enumerate(names):
            random = np.random.default_rng(index)
            image = random.integers(0, 60, (SIDE, SIDE, 3)).astype(np.uint8)
            kind = index % 2
            width, height = (20, 20) if kind == 0 else (30, 10)
            left, top = (int(edge) for edge in random.integers(1, SIDE - 30, 2))
            image[top : top + height, left : left + width] = 220
            box = WrittenBox(CLASSES[kind], (left + 1, top + 1, left + width, top + height))
            writer.add(name, image, [box])
        splits[split] = names
    writer.finish(splits)
    return folder
