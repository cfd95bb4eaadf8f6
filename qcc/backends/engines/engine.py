"""How `paddle.inference` may run a model."""

from __future__ import annotations

from dataclasses import dataclass

from qcc.targets.paddle_x86 import INT8_OPS


@dataclass(frozen=True)
class Engine:
    """How `paddle.inference` runs a model.

    `optimize`: fuse ops first; without it the kernels are those of a training run, and so are the results.
    `onednn`: the kernels of oneDNN (`enable_mkldnn`), with `int8` those for 8-bit integers, too
    (`enable_mkldnn_int8`), limited to `int8_ops`; when that is empty, Paddle's own list. `threads` of the
    CPU.
    """

    optimize: bool = True
    onednn: bool = False
    int8: bool = False
    int8_ops: tuple[str, ...] = INT8_OPS
    threads: int = 1

    def __str__(self) -> str:
        if self.int8:
            others = ", ".join(self.int8_ops) or "Paddle's own list of ops"
            return "oneDNN int8" + ("" if self.int8_ops == INT8_OPS else f" ({others})")
        if self.onednn:
            return "oneDNN float32"
        return "default kernels" if self.optimize else "default kernels, unfused"
