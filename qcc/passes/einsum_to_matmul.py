"""einsum-to-matmul: Einstein sums of two operands as products of matrices."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, Pass, PassResult
from qcc.passes.rewrite import free_prefix, is_weight, remove_op, set_attrs

_EQUATION = re.compile(r"(?P<x>[A-Za-z]+),(?P<y>[A-Za-z]+)(?P<out>->[A-Za-z]*)?")


@options(frozen=True, config=OPTIONS)
class EinsumToMatmul(Pass):
    """Write an einsum that multiplies two operands and sums over some of their common dimensions as a product
    of matrices, which can be quantized, and which all engines know.

    Before, with a weight w of [4, 8]:

        scores = einsum(Operands=[q, k]) {equation="bqc,bkc->bqk"}
        y = einsum(Operands=[w, x]) {equation="ed,bnd->bne"}

    After:

        scores = matmul_v2(X=q, Y=k) {trans_y=true}
        y = matmul_v2(X=x, Y=w) {trans_y=true}

    A weight becomes the right operand. Dimensions of one kind (of a batch, summed over, of one operand alone)
    are moved together and joined, and taken apart again behind the product; `fold-constants` does that with a
    weight. Left are sums in which a letter stands twice in an operand, or in one operand and not in the
    result; those without a common dimension that is summed over; and those that would have to join or take
    apart dimensions of which more than one has an open size.
    """

    name: ClassVar[str] = "einsum-to-matmul"

    def apply(self, graph: Graph) -> PassResult:
        found = [(op, sum_) for op in graph.ops if (sum_ := _sum_of(graph, op)) is not None]
        written = [_Writing(graph, op, sum_).write() for op, sum_ in found]
        return PassResult(any(written))


@dataclass(frozen=True)
class _Sum:
    """`x`, `y` and `out` have a letter for each dimension; `sizes` hold those of the letters, -1 for an open
    one. The weight, where there is one, is `right`."""

    left: Var
    right: Var
    x: str
    y: str
    out: str
    sizes: Mapping[str, int]

    def size(self, letters: Sequence[str]) -> int:
        """Of dimensions that are joined; -1 for an open one."""
        sizes = [self.sizes[letter] for letter in letters]
        return -1 if min(sizes, default=1) < 0 else math.prod(sizes)

    def kind(self, *, x: bool, y: bool, out: bool) -> str:
        """The letters that stand in these and in no other, as the result has them, or else the left one."""
        wanted = (x, y, out)
        letters = self.out if out else self.x
        return "".join(
            letter for letter in letters if (letter in self.x, letter in self.y, letter in self.out) == wanted
        )


def _sum_of(graph: Graph, op: Op) -> _Sum | None:
    if op.type != "einsum" or len(op.inputs["Operands"]) != 2:
        return None
    beside = [var for var in op.all_outputs() if var is not op.output("Out")]
    if any(var.consumers or var.name in graph.fetches for var in beside):
        return None
    match = _EQUATION.fullmatch(re.sub(r"\s", "", op.attr("equation")))
    left, right = op.inputs["Operands"]
    if match is None or any(var.dtype != VarType.FP32 for var in (left, right)):
        return None
    x, y = match["x"], match["y"]
    once = sorted(letter for letter, count in Counter(x + y).items() if count == 1)
    out = "".join(once) if match["out"] is None else match["out"][2:]
    words = ((x, left), (y, right))
    if any(len(word) != len(var.shape) for word, var in words):
        return None
    if any(len(set(word)) != len(word) for word in (x, y, out)) or not set(out) <= set(x + y):
        return None
    if not set(x) ^ set(y) <= set(out) or set(x) & set(y) <= set(out):
        return None
    sizes: dict[str, int] = {}
    for word, var in words:
        for letter, size in zip(word, var.shape, strict=True):
            known = sizes.setdefault(letter, size)
            if (known == 1) != (size == 1):
                return None  # one of them is repeated, or may be
            sizes[letter] = max(known, size)
    found = _Sum(left, right, x, y, out, sizes)
    return _turned(found) if _is_better_turned(graph, found) else found


def _turned(found: _Sum) -> _Sum:
    return _Sum(found.right, found.left, found.y, found.x, found.out, found.sizes)


def _is_better_turned(graph: Graph, found: _Sum) -> bool:
    """Where the left one is a weight, or else where the result has what belongs to the right one first."""
    weights = [is_weight(graph, var) for var in (found.left, found.right)]
    if any(weights):
        return weights == [True, False]
    rows, columns = found.kind(x=True, y=False, out=True), found.kind(x=False, y=True, out=True)
    return bool(rows and columns) and found.out.index(columns[0]) < found.out.index(rows[0])


class _Writing:
    """The ops that take the place of one einsum."""

    def __init__(self, graph: Graph, op: Op, found: _Sum) -> None:
        self._graph, self._op, self._sum = graph, op, found
        self._batch = found.kind(x=True, y=True, out=True)
        self._rows = found.kind(x=True, y=False, out=True)
        self._columns = found.kind(x=False, y=True, out=True)
        self._summed = found.kind(x=True, y=True, out=False)
        self._prefix = free_prefix(graph, op.output("Out").name, [f".{end}" for end in _ENDINGS])

    def write(self) -> bool:
        """Whether it was written: it is not where sizes are open that would have to be known."""
        # Without a batch, all rows of the left operand stay as they are.
        rows = [self._rows] if self._batch else list(self._rows)
        left = [*self._batch, *rows, self._summed]
        right = [*self._batch, self._summed, self._columns]
        product = [*self._batch, *rows, self._columns]
        reshapes = [self._told(parts, "".join(parts)) for parts in (left, right)]
        if any(told.count(-1) > 1 for told in (*reshapes, self._told("".join(product), product))):
            return False
        out = self._op.output("Out")
        x, trans_x = self._side("left", self._sum.left, self._sum.x, left)
        y, trans_y = self._side("right", self._sum.right, self._sum.y, right)
        self._graph.set_output(self._op, "Out", [])
        steps = self._behind(product)
        shape = tuple(self._sum.size(part) for part in product)
        made = out if not steps else self._new("product", shape)
        self._add("matmul_v2", {"X": x, "Y": y}, made, {"trans_x": trans_x, "trans_y": trans_y})
        for number, (kind, ending, attrs, letters) in enumerate(steps, 1):
            shape = tuple(self._sum.size(letter) for letter in letters)
            result = out if number == len(steps) else self._new(ending, shape)
            self._add(kind, {"X": made}, result, attrs)
            made = result
        remove_op(self._graph, self._op, keep=out)
        return True

    def _side(self, ending: str, var: Var, letters: str, parts: Sequence[str]) -> tuple[Var, bool]:
        """An operand with its dimensions in order, and joined; and whether the product is to turn the last
        two."""
        order = "".join(parts)
        alone = all(len(part) == 1 for part in parts)
        if alone and letters == "".join((*parts[:-2], *parts[:-3:-1])) != order:
            return var, True
        if letters != order:
            shape = tuple(self._sum.size(letter) for letter in order)
            turned = self._new(ending, shape)
            axes = [letters.index(letter) for letter in order]
            self._add("transpose2", {"X": var}, turned, {"axis": axes})
            var = turned
        if not alone:
            joined = self._new(f"{ending}.joined", tuple(self._sum.size(part) for part in parts))
            self._add("reshape2", {"X": var}, joined, {"shape": self._told(parts, order)})
            var = joined
        return var, False

    def _told(self, parts: Sequence[str], before: Sequence[str]) -> list[int]:
        """The attribute of reshape2: 0 for a dimension that stays where it is, -1 for an open one."""
        told = []
        for place, part in enumerate(parts):
            stays = place < len(before) and before[place] == part and self._sum.size(part) < 0
            told.append(0 if stays else self._sum.size(part))
        return told

    def _behind(self, product: Sequence[str]) -> list[tuple[str, str, dict[str, Any], str]]:
        """The ops behind the product: types, endings of names, attributes, and the letters of what they
        give."""
        steps: list[tuple[str, str, dict[str, Any], str]] = []
        order, out = "".join(product), self._sum.out
        if any(len(part) != 1 for part in product):
            steps.append(("reshape2", "apart", {"shape": self._told(order, product)}, order))
        if order != out:
            axes = [order.index(letter) for letter in out]
            steps.append(("transpose2", "turned", {"axis": axes}, out))
        return steps

    def _new(self, ending: str, shape: tuple[int, ...]) -> Var:
        return self._graph.add_var(f"{self._prefix}.{ending}", "float32", shape)

    def _add(self, kind: str, inputs: dict[str, Var], out: Var, attrs: dict[str, Any]) -> None:
        made = self._graph.add_op(kind, inputs, {"Out": out}, {"op_role": 0}, before=self._op)
        set_attrs(self._graph, made, attrs)


_ENDINGS = ("left", "left.joined", "right", "right.joined", "product", "apart", "turned")
