"""Attention as GPUs compute it in one kernel, in single ops that every engine has."""

from __future__ import annotations

import math

from qcc.frontend.paddle3.conversion import Call
from qcc.frontend.paddle3.output import Unsupported
from qcc.frontend.paddle3.program import Tensor
from qcc.frontend.paddle3.rules.registry import rule

# [batch, tokens, heads, width] -> [batch, heads, tokens, width], and back.
_HEADS_FIRST = [0, 2, 1, 3]
_ONE = Tensor("int32", (1,))


@rule("flash_attn")
def flash_attention(call: Call) -> None:
    """softmax(q k^T / sqrt(width) + mask) v, for each head; with `causal` no token sees a later one."""
    call.ignore("dropout", "is_test", "rng_name")
    if call.flag("return_softmax", False):
        raise Unsupported("it gives the softmax, which training needs")
    for result in call.op.results[1:]:
        if result.id in call.state.last_use:
            raise Unsupported("one of its further results is read, which training does")
    q, k, v = (_heads_first(call, name) for name in ("q", "k", "v"))
    queries, keys = call.type("q"), call.type("k")
    if len(queries.shape) != 4 or queries.shape[3] <= 0:
        raise Unsupported("the width of its heads is not known")
    batch, tokens, heads, width = queries.shape
    if call.flag("causal"):
        k = _as_long_as_queries(call, k)
    k, v = (_for_each_head(call, name, turned, heads) for name, turned in (("k", k), ("v", v)))
    scores = Tensor(queries.dtype, (batch, heads, tokens, keys.shape[1]))
    scaled = call.new("scale", {"X": q}, _turned(queries), scale=1 / math.sqrt(width))
    found = call.new("matmul_v2", {"X": scaled, "Y": k}, scores, trans_x=False, trans_y=True)
    if "attn_mask" in call:
        found = call.new("elementwise_add", {"X": found, "Y": call["attn_mask"]}, scores)
    if call.flag("causal"):
        found = call.new("elementwise_add", {"X": found, "Y": _later(call, found, scores)}, scores)
    weights = call.new("softmax", {"X": found}, scores, axis=-1)
    mixed = call.new("matmul_v2", {"X": weights, "Y": v}, _turned(queries), trans_x=False, trans_y=False)
    x_shape = call.new_variable(Tensor(queries.dtype, (0, *queries.shape)))
    call.emit("transpose2", {"X": mixed}, {"Out": call.out("out"), "XShape": x_shape}, axis=_HEADS_FIRST)


def _turned(kind: Tensor) -> Tensor:
    return Tensor(kind.dtype, tuple(kind.shape[axis] for axis in _HEADS_FIRST))


def _heads_first(call: Call, name: str) -> str:
    kind = call.type(name)
    if len(kind.shape) != 4:
        raise Unsupported(f"its operand {name} has {len(kind.shape)} dimensions instead of 4")
    turned = call.new_variable(_turned(kind))
    x_shape = call.new_variable(Tensor(kind.dtype, (0, *kind.shape)))
    call.emit("transpose2", {"X": call[name]}, {"Out": turned, "XShape": x_shape}, axis=_HEADS_FIRST)
    return turned


def _for_each_head(call: Call, name: str, turned: str, heads: int) -> str:
    """Keys or values of as many heads as the queries have, where each serves several that stand together."""
    kind = _turned(call.type(name))
    batch, own, tokens, width = kind.shape
    if own == heads:
        return turned
    if own <= 0 or heads % own:
        raise Unsupported(f"its operand {name} has {own} heads where the queries have {heads}")
    wide = Tensor(kind.dtype, (batch, heads, tokens, width))
    return call.new("repeat_interleave", {"X": turned}, wide, Repeats=heads // own, dim=1)


def _as_long_as_queries(call: Call, k: str) -> str:
    """The keys, heads first. Where both lengths are open, a reshape to that of the queries stops a run in
    which they differ: which keys are later ones then, Paddle's kernels do not agree on.
    """
    keys = call.type("k")
    lengths = (call.type("q").shape[1], keys.shape[1])
    if min(lengths) < 0:
        kind = _turned(keys)
        if kind.shape[1] < 0 or kind.shape[3] < 0:
            raise Unsupported("the number of its heads is not known")
        sizes = [call.full(0, _ONE), call.full(kind.shape[1], _ONE), call.sizes("q", range(1, 2))]
        x_shape = call.new_variable(Tensor(kind.dtype, (0, *kind.shape)))
        same = call.new_variable(kind)
        inputs = {"X": k, "ShapeTensor": [*sizes, call.full(kind.shape[3], _ONE)]}
        call.emit(
            "reshape2", inputs, {"Out": same, "XShape": x_shape}, shape=[0, kind.shape[1], -1, kind.shape[3]]
        )
        return same
    if lengths[0] != lengths[1]:
        raise Unsupported("it is causal between sequences of unlike lengths")
    return k


def _later(call: Call, scores: str, kind: Tensor) -> str:
    """Minus infinity where a token would see a later one, and 0 elsewhere."""
    hidden = call.new("fill_any_like", {"X": scores}, kind, value=-math.inf)
    return call.new("tril_triu", {"X": hidden}, kind, lower=False, diagonal=1)
