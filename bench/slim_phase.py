"""Quantization-aware training with paddleslim's `quant_aware` and `convert`, in qcc's training loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from paddleslim.quant import convert, quant_aware

import qcc
from qcc._paddle import core, paddle
from qcc.model import Model
from qcc.train.config import TrainingConfig
from qcc.train.config.slim import QuantizationStrategy
from qcc.train.evaluation.evaluate import RepeatedEvaluation
from qcc.train.loop.checkpoint import TrainingState
from qcc.train.loop.loop import Record
from qcc.train.loop.stepper import Stepper
from qcc.train.programs.optimizer import add_optimizer
from qcc.train.programs.programs import TrainingProgram
from qcc.train.programs.weights import initialise, load_weights, put_weights
from qcc.train.tasks.task import Task

paddle.enable_static()

_PLACE = core.CPUPlace()


class SlimPhase:
    """A `Phase` that differs from `QuantizationPhase` in who inserts quantization.

    `onnx_format` is false: the frozen program of the other format holds INT8 weights, which no executor of
    Paddle 2.6 runs.
    """

    quantized = True
    distiller_optimizer = False

    def __init__(self, task: Task, config: TrainingConfig, strategy: QuantizationStrategy, epochs: int):
        self.epochs = epochs
        self._config = config
        self._scheme = {
            "weight_quantize_type": strategy.weight_quantize_type,
            "activation_quantize_type": strategy.activation_quantize_type,
            "weight_bits": strategy.weight_bits,
            "activation_bits": strategy.activation_bits,
            "quantize_op_types": ["conv2d", "depthwise_conv2d"],
            "onnx_format": False,
        }
        self._evaluate = RepeatedEvaluation(task)
        self._scope = paddle.static.Scope()
        self._network = task.network()
        self._program = TrainingProgram(self._network, add_optimizer(self._network, config.optimizer))

    def start(self, state: TrainingState | None) -> None:
        source = self._config.pretrain_weights
        assert state is None
        assert source is not None
        initialise(self._network, self._scope, self._config.seed)
        put_weights(self._network, self._scope, load_weights(source), source)
        # The test program first: each side sets the scope's quantizer state up anew.
        self._test = self._quantized(self._network.test, for_test=True)
        train = self._quantized(self._network.train, for_test=False)
        program = replace(self._program, network=replace(self._network, train=train))
        self._stepper = Stepper(program, self._scope, self._config.learning_rate.schedule())

    def begin_epoch(self, epoch: int) -> Stepper:
        return self._stepper

    def end_epoch(self, epoch: int, record: Record) -> Callable[[Path], None]:
        record |= self._evaluate(self._model(self._test))
        return lambda folder: None

    def frozen(self) -> Model:
        """The test program after `convert`, which rounds the weights in the training scope, too."""
        return self._model(convert(self._test, _PLACE, config=self._scheme, scope=self._scope))

    def _quantized(self, program: Any, for_test: bool) -> Any:
        return quant_aware(
            program, _PLACE, config=self._scheme, scope=self._scope, for_test=for_test, return_program=True
        )

    def _model(self, program: Any) -> Model:
        network = self._network
        return qcc.from_program(program, self._scope, network.test_feeds, network.outputs, for_test=True)
