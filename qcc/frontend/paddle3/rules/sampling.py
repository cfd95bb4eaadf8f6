"""Pixels at the places that a grid tells, between -1 and 1 from edge to edge."""

from __future__ import annotations

from qcc.frontend.paddle3.conversion import Call
from qcc.frontend.paddle3.output import Unsupported
from qcc.frontend.paddle3.program import Tensor
from qcc.frontend.paddle3.rules.activations import round_to_even
from qcc.frontend.paddle3.rules.constants import write_values
from qcc.frontend.paddle3.rules.registry import rule


@rule("grid_sample")
def grid_sample(call: Call) -> None:
    """Halfway between two pixels Paddle 3 takes the even one, and 2.6 the one further from the first: the
    places are rounded in front of it.
    """
    align, padding, mode = call.flag("align_corners"), call.text("padding_mode"), call.text("mode")
    grid = call["grid"]
    if mode == "nearest":
        if padding == "zeros" and len(call.type("grid").shape) == 5:
            raise Unsupported(
                "Paddle 2.6 loses pixels of a volume at places outside: sample with another padding_mode"
            )
        grid, align, padding = _on_pixels(call, align, padding)
    inputs, attrs = {"X": call["x"], "Grid": grid}, {"align_corners": align, "padding_mode": padding}
    call.emit("grid_sampler", inputs, {"Output": call.out("out")}, mode=mode, **attrs)


def _on_pixels(call: Call, align: bool, padding: str) -> tuple[str, bool, str]:
    """A grid whose places are pixels, and the two attributes with which they stay these."""
    kind = call.type("grid")
    sizes, each = _sizes(call)
    moved = call.new("scale", {"X": call["grid"]}, kind, scale=1.0, bias=1.0)
    half = call.new("scale", {"X": sizes}, each, scale=0.5, bias=-0.5 if align else 0.0)
    place = call.new("elementwise_mul", {"X": moved, "Y": half}, kind)
    if not align:
        place = call.new("scale", {"X": place}, kind, scale=1.0, bias=-0.5)
    if padding == "reflection" and not align:
        # Behind the edge of a pixel the even one is another.
        twice = call.new("scale", {"X": sizes}, each, scale=2.0)
        place, padding = _reflected(call, place, twice), "border"
    pixel = call.new_variable(kind)
    round_to_even(call, place, kind, pixel)
    if padding == "reflection":
        ratio = call.new("elementwise_div", {"X": pixel, "Y": half}, kind)
    else:
        # The middles of pixels, which are there for a single one, too.
        align = False
        middle = call.new("scale", {"X": pixel}, kind, scale=2.0, bias=1.0)
        ratio = call.new("elementwise_div", {"X": middle, "Y": sizes}, kind)
    return call.new("scale", {"X": ratio}, kind, scale=1.0, bias=-1.0), align, padding


def _sizes(call: Call) -> tuple[str, Tensor]:
    """A variable of width, height, and depth where there is one, in the dtype of the grid, and its type."""
    shape = call.type("x").shape[2:]
    if not shape:
        raise Unsupported("it samples what has no height and width")
    kind = Tensor(call.type("grid").dtype, (len(shape),))
    if min(shape) >= 0:
        return write_values(call, kind, [float(size) for size in shape[::-1]]), kind
    whole = kind.with_dtype("int32")
    turned = call.new("flip", {"X": call.sizes("x", range(2, 2 + len(shape)))}, whole, axis=[0])
    return call.cast(turned, whole, kind.dtype), kind


def _reflected(call: Call, place: str, twice: str) -> str:
    """Places thrown back by the outer edges of the first and the last pixel; `twice` are the sizes, doubled.

    away = |place + 0.5|
    rest = away - floor(away / twice) * twice
    min(rest, twice - rest) - 0.5
    """
    kind = call.type("grid")
    away = call.new("abs", {"X": call.new("scale", {"X": place}, kind, scale=1.0, bias=0.5)}, kind)
    times = call.new("floor", {"X": call.new("elementwise_div", {"X": away, "Y": twice}, kind)}, kind)
    whole = call.new("elementwise_mul", {"X": times, "Y": twice}, kind)
    rest = call.new("elementwise_sub", {"X": away, "Y": whole}, kind)
    over = call.new("elementwise_sub", {"X": rest, "Y": twice}, kind)
    back = call.new("scale", {"X": over}, kind, scale=-1.0)
    least = call.new("elementwise_min", {"X": rest, "Y": back}, kind)
    return call.new("scale", {"X": least}, kind, scale=1.0, bias=-0.5)
