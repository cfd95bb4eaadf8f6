"""A recogniser of text with recurrent layers, which none of the packages has."""

from __future__ import annotations

from typing import Any

from paddle import nn


class CRNN(nn.Layer):
    """CRNN (arXiv:1507.05717): convolutions, two bidirectional recurrent layers, a class per column.

    `cell` is "LSTM" or "GRU".  [N, 3, 32, W] -> [N, W / 4, classes]
    """

    def __init__(self, cell: str, hidden: int = 48, classes: int = 37) -> None:
        super().__init__()
        self.columns = nn.Sequential(
            _block(3, 16, (2, 2)), _block(16, 32, (2, 2)), _block(32, 64, (2, 1)), _block(64, 64, (4, 1))
        )
        self.recurrent = getattr(nn, cell)(64, hidden, num_layers=2, direction="bidirect")
        self.classes = nn.Linear(2 * hidden, classes)

    def forward(self, image: Any) -> Any:
        columns = self.columns(image).squeeze(2).transpose([0, 2, 1])
        return self.classes(self.recurrent(columns)[0])


def _block(channels: int, filters: int, pool: tuple[int, int]) -> Any:
    return nn.Sequential(
        nn.Conv2D(channels, filters, 3, padding=1, bias_attr=False),
        nn.BatchNorm2D(filters),
        nn.ReLU(),
        nn.MaxPool2D(pool, pool),
    )
