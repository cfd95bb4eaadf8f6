"""What of Paddle Lite's x86 kernels depends on what a predictor has run before."""

from __future__ import annotations

from qcc.backends.lite.rules.products import Convolution, convolution
from qcc.backends.lite.rules.view import OpView

_CHANNELS_AT_ONCE = 8
# Filter, strides.
_DIRECT = (((3, 3), (1, 1)), ((3, 3), (2, 2)), ((5, 5), (2, 2)))


def keeps_first_size(view: OpView) -> bool:
    """Whether a float convolution is right only for maps of the size that its predictor has seen first.

    The kernel that computes these without a product of matrices plans its memory at the first run: with
    another size it crashes, or gives wrong numbers. Other batches are right.
    """
    found = convolution(view)
    return found is not None and not view.computes_int8 and _is_direct(found)


def _is_direct(found: Convolution) -> bool:
    even = found.pads is None or len(set(found.pads)) == 1
    whole = found.groups == 1 and found.filter[0] % _CHANNELS_AT_ONCE == 0
    return even and whole and found.dilations == (1, 1) and (found.filter[2:], found.strides) in _DIRECT
