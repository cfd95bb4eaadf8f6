"""lite-spell-out: ops that Paddle Lite has not, or not right, by several that it has."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.backends.spellings import FOR_LITE, IN_PARTS, OF_NUMBERS_FOR_LITE
from qcc.backends.spellings.write import spell_out, spell_parts
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, PassResult


@options(frozen=True, config=OPTIONS)
class LiteSpellOut(LitePass):
    """Compute by other ops what Paddle Lite has no kernel for, or a wrong one.

    Before, with x of [-1, 8, 12, 12]:

        a = crop_tensor(X=x) {offsets=[0, 2, 3, 0], shape=[-1, 6, 4, -1]}
        b = strided_slice(Input=x) {axes=[1], starts=[7], ends=[-1], strides=[-1]}
        c = lerp(X=x, Y=y, Weight=w)
        d = unsqueeze2(X=n) {axes=[0]}, with a number n

    After, with b.places1 = [7, 6, 5, 4, 3, 2, 1, 0]:

        a = slice(Input=x) {axes=[1, 2], starts=[2, 3], ends=[8, 7]}
        b = gather(X=x, Index=b.places1) {axis=1}
        c.difference = elementwise_sub(X=x, Y=y)
        c.share = elementwise_mul(X=c.difference, Y=w)
        c = elementwise_sub(X=x, Y=c.share)
        d = reshape2(X=n) {shape=[1]}

    Paddle 2.6 ignores the parameters of relu6, swish and hard_swish, which Paddle Lite goes by: these get the
    values that Paddle computes with. The kernel of crop_tensor does not know that -1 means all that is left.
    What has no dimensions in Paddle may have one in Paddle Lite.
    `qcc.backends.spellings` has them all.
    """

    name: ClassVar[str] = "lite-spell-out"
    runs_in_paddle: ClassVar[bool] = True

    def apply(self, graph: Graph) -> PassResult:
        modified = spell_out(graph, OF_NUMBERS_FOR_LITE)
        modified |= spell_out(graph, FOR_LITE)
        return PassResult(spell_parts(graph, IN_PARTS) or modified)
