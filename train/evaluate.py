"""Evaluating a model in any form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

import qcc
from qcc._paddle import core, paddle
from qcc.errors import DataError
from qcc.model import Model
from qcc.train.kernels import use_onednn
from qcc.train.tasks.task import Feeds, Task


def evaluate(model: Model, task: Task) -> dict[str, float]:
    """The metrics of `model` on the task's test set, computed on the CPU.

    A frozen or int8 model computes with the integers that its weights and activations are rounded to, held
    in float32, so the result is that of the quantized network. Raises DataError when the model is fed by
    names that the task does not have.
    """
    return task.evaluate(ModelRunner(model).run)


class ModelRunner:
    """A model made ready for many batches: INT8 weights turned into float32, oneDNN's convolutions."""

    def __init__(self, model: Model) -> None:
        runnable = qcc.PassManager.parse("unpack").run(model)
        self._feeds = model.feeds
        self._fetches = list(model.fetches)
        self._program = runnable.to_program()
        use_onednn(self._program)
        self._scope = paddle.static.Scope()
        runnable.write_weights(self._scope, overwrite=True)
        self._executor = paddle.static.Executor(core.CPUPlace())

    def run(self, batch: Feeds) -> Sequence[NDArray[Any]]:
        """The model's outputs for one batch; what the batch holds beyond the model's feeds is not used."""
        missing = [name for name in self._feeds if name not in batch]
        if missing:
            raise DataError(f"the model is fed by '{missing[0]}', but the data set gives {list(batch)}.")
        feeds = {name: batch[name] for name in self._feeds}
        outputs: Sequence[NDArray[Any]] = self._executor.run(
            self._program, feed=feeds, fetch_list=self._fetches, scope=self._scope
        )
        return outputs
