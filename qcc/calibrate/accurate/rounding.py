"""Which way each weight of a layer is rounded, so that the layer's outputs change least.

The objective is that of AdaRound (Nagel et al. 2020, https://arxiv.org/abs/2004.10568, equations 14 and 21,
with the quantized input and before the activation function): min ||Y - X Q||**2, where each weight of Q is
one of the two multiples of the step beside the weight of W. It is quadratic, so that all that is needed of
the data are products: with G = X'X and D = X'(Y - X W), it is tr(E'G E) - 2 tr(E'D) + const for E = Q - W.

The paper relaxes the choices to numbers in [0, 1] and takes gradient steps on samples. With the products at
hand there is a shorter way, which needs neither learning rate nor seed: inputs are rounded one after the
other, and those that are left take over the error (Frantar et al. 2022, https://arxiv.org/abs/2210.17323);
then each choice is tried again, where its effect is known exactly, until none makes the objective less. The
same trying again is done from the nearest integers, and each output takes what is better.
"""

from __future__ import annotations

import numpy as np

_SWEEPS = 30
_BLOCK = 64
_ALIKE = 1e-4
DAMPING = 0.01
"""How much is added to the diagonal of G, as a share of its mean: without it, inputs that the data hardly
tells apart would be used to cancel each other's errors."""


def adaround(
    gram: np.ndarray,
    cross: np.ndarray,
    weight: np.ndarray,
    step: np.ndarray,
    most: int,
    *,
    even: bool = False,
) -> np.ndarray:
    """The integers: float32 [groups, inputs, outputs].

    `gram`: G, float32 [groups, inputs, inputs]; `cross`: D, [groups, inputs, outputs]; `weight`: as the
    result; `step`: what an integer stands for, [groups, 1, outputs]; `most`: the largest integer. `even`:
    the integers are to be even, but for the largest, which stay.
    """
    diagonal = np.einsum("gkk->gk", gram)
    damped = gram.copy()
    added = DAMPING * diagonal.mean(1, keepdims=True) + np.finfo(np.float32).tiny
    np.einsum("gkk->gk", damped)[...] += added
    # What matters most is rounded first.
    order = np.argsort(-diagonal, axis=1, kind="stable")[:, :, np.newaxis]
    damped = np.take_along_axis(np.take_along_axis(damped, order, 1), order.swapaxes(1, 2), 2)
    exact = np.clip(np.take_along_axis(weight, order, 1) / step, -most, most)
    cross = np.take_along_axis(cross, order, 1)
    near, turn = (_Choices(exact, step, most if even else None) for _ in range(2))
    _round_in_turn(damped, cross, turn)
    for choices in (near, turn):
        _descend(damped, cross, choices)
    better = turn.objective(damped, cross) < near.objective(damped, cross)
    integers = np.where(better, turn.integers, near.integers)
    result = np.empty_like(integers)
    np.put_along_axis(result, order, integers, 1)
    return result


class _Choices:
    """The two integers beside each weight, and the one that is chosen: [groups, inputs, outputs] each.

    `odd`: the largest integer, where all others are to be even.
    """

    def __init__(self, exact: np.ndarray, step: np.ndarray, odd: int | None) -> None:
        self.exact, self.step = exact, step
        unit = 1 if odd is None else 2
        # A weight that is an integer but for its last bits stays, above all the largest of a channel.
        self.low, self.high = (
            unit * near for near in (np.floor(exact / unit + _ALIKE), np.ceil(exact / unit - _ALIKE))
        )
        self.integers = (unit * np.rint(exact / unit)).astype(np.float32)
        if odd is not None:
            largest = np.abs(np.rint(exact)) == odd
            for choices in (self.low, self.high, self.integers):
                choices[...] = np.where(largest, np.copysign(odd, exact), np.clip(choices, 1 - odd, odd - 1))

    def objective(self, gram: np.ndarray, cross: np.ndarray) -> np.ndarray:
        """Of each output: [groups, 1, outputs]."""
        moved = (self.integers - self.exact) * self.step
        return ((np.matmul(gram, moved) - 2 * cross) * moved).sum(1, keepdims=True)

    def choose(self, k: int, wanted: np.ndarray) -> np.ndarray:
        """Choose what is nearest to the wanted numbers for the weights of an input; how far these move."""
        low, high = self.low[:, k], self.high[:, k]
        chosen = np.where(wanted - low > high - wanted, high, low)
        moved = (chosen - self.integers[:, k]) * self.step[:, 0]
        self.integers[:, k] = chosen
        return moved


def _blocks(size: int) -> list[slice]:
    return [slice(start, min(start + _BLOCK, size)) for start in range(0, size, _BLOCK)]


def _round_in_turn(gram: np.ndarray, cross: np.ndarray, choices: _Choices) -> None:
    """Round input by input; those behind take over the error, as far as the products say they can."""
    wide = gram.astype(np.float64)
    inverse = np.linalg.inv(wide)
    upper = np.linalg.cholesky(inverse).swapaxes(1, 2)
    # Without rounding, the objective would be least here.
    wanted = choices.exact + np.matmul(inverse, cross) / choices.step
    for block in _blocks(gram.shape[1]):
        errors = np.zeros_like(wanted[:, block])
        for place, k in enumerate(range(block.start, block.stop)):
            choices.choose(k, wanted[:, k])
            error = (wanted[:, k] - choices.integers[:, k]) / upper[:, k, k, np.newaxis]
            errors[:, place] = error
            row = upper[:, k, k : block.stop, np.newaxis]
            wanted[:, k : block.stop] -= row * error[:, np.newaxis]
        behind = slice(block.stop, None)
        wanted[:, behind] -= np.matmul(upper[:, block, behind].swapaxes(1, 2), errors)


def _descend(gram: np.ndarray, cross: np.ndarray, choices: _Choices) -> None:
    """Coordinate descent: each input's choices in turn, the others as they are, until none changes."""
    # Half the gradient of the objective by E, kept up to date.
    gradient = np.matmul(gram, (choices.integers - choices.exact) * choices.step) - cross
    for _ in range(_SWEEPS):
        changed = False
        for block in _blocks(gram.shape[1]):
            inner, near = gram[:, block, block], gradient[:, block].copy()
            moved = np.zeros_like(near)
            for place, k in enumerate(range(block.start, block.stop)):
                falls = near[:, place] / (inner[:, place, place, np.newaxis] * choices.step[:, 0])
                moved[:, place] = choices.choose(k, choices.integers[:, k] - falls)
                near += inner[:, :, place, np.newaxis] * moved[:, place, np.newaxis]
            if moved.any():
                changed = True
                gradient += np.matmul(gram[:, :, block], moved)
        if not changed:
            return
