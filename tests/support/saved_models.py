"""Small models as Paddle itself saves them, in every layout that it has used."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qcc._paddle import MAJOR, paddle
from qcc.ir.program import ProgramProto

static = paddle.static
paddle.enable_static()


@dataclass(frozen=True)
class PaddleModel:
    """A test program with its scope, as a training script holds it."""

    program: paddle.static.Program
    scope: paddle.static.Scope
    feeds: list[paddle.static.Variable]
    fetches: list[paddle.static.Variable]

    def save(self, prefix: Path) -> Path:
        """`prefix.pdmodel` and `prefix.pdiparams`, by paddle.static.save_inference_model."""
        # Saving adds ops to the program, under names that count up.
        program = self.program.clone(for_test=True)
        with paddle.utils.unique_name.guard(), static.scope_guard(self.scope):
            static.save_inference_model(
                str(prefix),
                self.feeds,
                self.fetches,
                static.Executor(paddle.CPUPlace()),
                program=program,
            )
        return prefix

    def save_separate(self, folder: Path) -> Path:
        """`__model__` and a file per parameter, by paddle.static.save_vars."""
        self.save(folder / "combined")
        (folder / "combined.pdmodel").rename(folder / "__model__")
        (folder / "combined.pdiparams").unlink()
        with static.scope_guard(self.scope):
            static.save_vars(
                static.Executor(paddle.CPUPlace()),
                str(folder),
                main_program=self.program,
                predicate=lambda var: var.persistable,
            )
        return folder

    @property
    def saved_fetches(self) -> list[str]:
        """What the outputs are called in files: up to Paddle 2.6 a scale op behind each copies it."""
        if MAJOR >= 3:
            return [var.name for var in self.fetches]
        return [f"save_infer_model/scale_{index}.tmp_0" for index in range(len(self.fetches))]

    def inputs(self, seed: int = 0) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        return {
            var.name: (
                rng.standard_normal([2 if size < 0 else size for size in var.shape]).astype(np.float32)
                if var.dtype == paddle.float32
                else np.array([3], np.int64)
            )
            for var in self.feeds
        }

    def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        return list(
            static.Executor(paddle.CPUPlace()).run(
                self.program, feed=inputs, fetch_list=self.fetches, scope=self.scope
            )
        )


def build(
    net: Callable[[], tuple[list[paddle.static.Variable], list[paddle.static.Variable]]],
) -> PaddleModel:
    """A test program of a network with random weights."""
    main, startup, scope = static.Program(), static.Program(), static.Scope()
    with paddle.utils.unique_name.guard(), static.program_guard(main, startup):
        feeds, fetches = net()
        test = main.clone(for_test=True)
    paddle.seed(1)
    with static.scope_guard(scope):
        static.Executor(paddle.CPUPlace()).run(startup)
    return PaddleModel(test, scope, feeds, fetches)


def two_feeds() -> PaddleModel:
    """Two inputs and two outputs around conv, batch_norm, dropout and fc."""

    def net() -> tuple[list[paddle.static.Variable], list[paddle.static.Variable]]:
        image, extra = static.data("image", [-1, 3, 6, 6]), static.data("extra", [-1, 5])
        hidden = static.nn.batch_norm(static.nn.conv2d(image, 4, 3))
        hidden = paddle.nn.functional.dropout(paddle.nn.functional.relu(hidden), 0.5)
        # A weight with a slash in its name stands in a folder of its own in the layout of separate files.
        weight = static.create_parameter([64, 5], "float32", name="head/weight")
        scores = paddle.nn.functional.softmax(paddle.matmul(paddle.flatten(hidden, 1), weight))
        return [image, extra], [scores, scores + extra]

    return build(net)


def control_flow() -> PaddleModel:
    """A convolution before, and one inside of a while loop, then two branches."""

    def net() -> tuple[list[paddle.static.Variable], list[paddle.static.Variable]]:
        image, steps = static.data("image", [-1, 3, 6, 6]), static.data("steps", [1], "int64")
        hidden = static.nn.conv2d(image, 4, 3, padding=1, bias_attr=False)

        def body(step: paddle.static.Variable, value: paddle.static.Variable) -> list[paddle.static.Variable]:
            inner = static.nn.conv2d(
                value, 4, 3, padding=1, bias_attr=False, param_attr=paddle.ParamAttr(name="inner")
            )
            return [step + 1, paddle.nn.functional.relu(inner)]

        start = paddle.zeros([1], "int64")
        _, hidden = static.nn.while_loop(lambda step, _: step < steps, body, [start, hidden])
        output = static.nn.cond(
            paddle.mean(hidden) > 0.1, lambda: hidden * 2.0, lambda: static.nn.fc(hidden, 4).sum() + hidden
        )
        return [image, steps], [output]

    return build(net)


def bare_branches() -> PaddleModel:
    """A branch that reads nothing from outside, and one that gives nothing."""

    def net() -> tuple[list[paddle.static.Variable], list[paddle.static.Variable]]:
        image = static.data("image", [-1, 3, 6, 6])
        hidden = static.nn.conv2d(image, 4, 3, padding=1)
        mean = paddle.mean(hidden)
        factor = static.nn.cond(mean > 0.1, lambda: paddle.full([1], 3.0), lambda: mean.reshape([1]))
        static.nn.cond(mean > 0.1, lambda: static.Print(hidden) and None)
        return [image], [hidden * factor]

    return build(net)


def no_weights() -> PaddleModel:
    """A program without a single persistable variable."""

    def net() -> tuple[list[paddle.static.Variable], list[paddle.static.Variable]]:
        image = static.data("image", [-1, 3])
        return [image], [paddle.nn.functional.softmax(image)]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(net)


def without_call_stacks(data: bytes) -> ProgramProto:
    """A program file's message without what differs from machine to machine."""
    program = ProgramProto.FromString(data)
    for block in program.blocks:
        for op in block.ops:
            kept = [attr for attr in op.attrs if attr.name != "op_callstack"]
            copies = [type(attr).FromString(attr.SerializeToString()) for attr in kept]
            del op.attrs[:]
            op.attrs.extend(copies)
    return program
