"""Where a convolution reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qcc.ir.nodes import Op


@dataclass(frozen=True)
class Window:
    """Pairs for height and width; `padding`: before and behind, of each."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    output: tuple[int, int]

    @staticmethod
    def of(op: Op, kernel: tuple[int, ...], size: tuple[int, ...]) -> Window:
        """Of a `conv2d` with such a kernel, on an input of such a size (`UpdatePaddingAndDilation` in
        Paddle's `conv_util.h`)."""
        strides, dilations = _pair(op.attr("strides", [1, 1])), _pair(op.attr("dilations", [1, 1]))
        algorithm, given = op.attr("padding_algorithm", "EXPLICIT"), list(op.attr("paddings", [0, 0]))
        pads = (
            [(given[0], given[0]), (given[1], given[1])]
            if len(given) == 2
            else [
                (given[0], given[1]),
                (given[2], given[3]),
            ]
        )
        if algorithm == "VALID":
            pads = [(0, 0), (0, 0)]
        if algorithm == "SAME":
            dilations = (1, 1)
            totals = [
                max((-(-side // stride) - 1) * stride + reach - side, 0)
                for side, stride, reach in zip(size, strides, kernel, strict=True)
            ]
            pads = [(total // 2, total - total // 2) for total in totals]
        output = [
            (side + sum(pad) - (dilation * (reach - 1) + 1)) // stride + 1
            for side, pad, dilation, reach, stride in zip(size, pads, dilations, kernel, strides, strict=True)
        ]
        return Window(_pair(kernel), strides, dilations, (pads[0], pads[1]), _pair(output))

    def padded(self, value: np.ndarray) -> np.ndarray:
        """An input with its zeros around it: [images, channels, height, width]."""
        return np.pad(value, ((0, 0), (0, 0), *self.padding)) if any(map(any, self.padding)) else value


def _pair(values: tuple[int, ...] | list[int]) -> tuple[int, int]:
    first, second = values
    return int(first), int(second)
