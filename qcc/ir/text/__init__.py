"""The textual form of a graph.

::

    graph {for_test=true, program_version=2006002}
    feeds [image]
    fetches [pool.out]
    usual var {stop_gradient=false}

    weight conv.w: float32[8, 3, 3, 3] = sha256:85b7a3ac9c0c9b28
    weight image@scale: float32[1] = [0.98]
    var image: float32[-1, 3, 32, 32] {need_check_feed=true, stop_gradient=true}
    var conv.out: float32[-1, 8, 16, 16]

    conv.out = conv2d(Filter=conv.w, Input=image) {paddings=[1, 1], strides=[2, 2]}

One op a line: outputs, type, inputs by slot, attributes that differ from Paddle's default. An output
whose slot goes without saying stands alone, else it is `(Out=x, XShape=y)`. `-name` marks an attribute
that Paddle knows a default of but the op does not carry; `{= ...}` lists an op's attributes to the last, but
for those of Paddle's kernels (`use_mkldnn`) at their default, of which each version of Paddle has others;
`{== ...}` lists all, in the order of an op that has another one than Paddle's.
`w#1` is what the first overwrite of `w` made of it. The lines `usual op`, `usual var` and `usual weight`
say what most ops and variables of this program have in common and their lines leave out.

Further blocks follow the main one as `block 1 {parent_idx=0}`, in the same form. `//` starts a comment.
Values of weights are digests or, up to 8 elements, written out; written by hand they may also be
`full(0.5)` or `uniform(seed=1, low=-1.0, high=1.0)`.
"""

from __future__ import annotations

from qcc.ir.text.parser import parse_graph
from qcc.ir.text.printer import print_graph

__all__ = ["parse_graph", "print_graph"]
