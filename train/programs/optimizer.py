"""Adding the backward pass and the optimizer to a training program."""

from __future__ import annotations

from typing import Any

from qcc._paddle import core, paddle
from qcc.errors import TrainingError
from qcc.train.config.optimization import OptimizerBuilder
from qcc.train.models.network import Network
from qcc.train.parallel.collectives import mean_gradients
from qcc.train.programs.appending import appending
from qcc.train.programs.clipping import clip_by_global_norm

# A prefix of its own keeps the names of the optimizer's variables apart from the network's.
OPTIMIZER_PREFIX = "optimizer/"


def add_optimizer(network: Network, builder: OptimizerBuilder, processes: int = 1) -> str:
    """Append gradients and updates of all parameters to `network.train`.

    With several `processes` that train together, gradients are averaged over them before anything acts on
    them, such as clipping.

    This must come before quantization is inserted: a gradient that is derived from rounding is zero.
    Returns the name of the variable, float32 [1], that holds the learning rate. Raises TrainingError when
    a parameter gets no gradient.
    """
    with appending(network.train, network.startup, OPTIMIZER_PREFIX):
        optimizer = _optimizer(builder)
        block = network.train.global_block()
        if builder.regularizer is not None:
            _spare_norms(block)
        updated = optimizer.backward(block.var(network.loss))
        _check_all_trained(network.train, {parameter.name for parameter, _ in updated})
        if processes > 1:
            parameters, gradients = zip(*updated, strict=True)
            updated = list(zip(parameters, mean_gradients(block, gradients, processes), strict=True))
        if builder.clip_grad_by_norm is not None:
            # In the order in which the optimizer takes them: the last bit of a sum depends on it.
            by_name = sorted(updated, key=lambda pair: pair[0].name)
            clip_by_global_norm(
                network.train, [gradient for _, gradient in by_name], builder.clip_grad_by_norm
            )
        optimizer.apply_gradients(updated)
        # The one that is set, of which parameters with a factor of their own read a product.
        return str(optimizer._global_learning_rate().name)


def restart_optimizer(network: Network, scope: Any) -> None:
    """Give the state of the optimizer, which must have been added, its first values; nothing else."""
    startup = network.startup.clone()
    block = startup.global_block()
    for index in reversed(range(len(block.ops))):
        if not any(name.startswith(OPTIMIZER_PREFIX) for name in block.ops[index].output_arg_names):
            block._remove_op(index)
    paddle.static.Executor(core.CPUPlace()).run(startup, scope=scope)


def _optimizer(builder: OptimizerBuilder) -> Any:
    regularizer = builder.regularizer
    kind = getattr(paddle.optimizer, builder.optimizer.type)
    return kind(
        learning_rate=0.0,  # set before every step
        weight_decay=None if regularizer is None else paddle.regularizer.L2Decay(regularizer.factor),
        **builder.optimizer.model_dump(exclude={"type"}),
    )


def _spare_norms(block: Any) -> None:
    """Let nothing pull scales and offsets of batch norms towards zero but a regularizer of their own."""
    for op in block.ops:
        if op.type == "batch_norm":
            for name in (*op.input("Scale"), *op.input("Bias")):
                parameter = block.var(name)
                if getattr(parameter, "regularizer", None) is None:
                    parameter.regularizer = paddle.regularizer.L2Decay(0.0)


def _check_all_trained(program: Any, updated: set[str]) -> None:
    trainable = [parameter.name for parameter in program.all_parameters() if parameter.trainable]
    left_out = [name for name in trainable if name not in updated]
    if left_out:
        raise TrainingError(
            f"{len(left_out)} of {len(trainable)} parameters get no gradient, the first is '{left_out[0]}':"
            " the loss must depend on every trainable parameter through operators that have a gradient; what"
            " is to stay as it is gets stop_gradient=True (trainable=False in a ParamAttr)."
        )
