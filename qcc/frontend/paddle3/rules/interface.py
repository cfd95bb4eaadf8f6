"""Where data comes in and goes out, and what only gathers values."""

from __future__ import annotations

from qcc.frontend.paddle3.conversion import Call
from qcc.frontend.paddle3.output import Unsupported
from qcc.frontend.paddle3.program import Vector
from qcc.frontend.paddle3.rules.registry import rule


@rule("data", "feed")
def feed(call: Call) -> None:
    """An input keeps its name, which the file says, and its place among the inputs."""
    call.ignore("shape", "dtype", "col")
    name = call.text("name")
    value = call.result("out")
    if value is None or value.type is None or name in call.state.current.variables:
        raise Unsupported(f"it feeds {name!r}, which is a parameter or fed already")
    call.state.feeds.append(name)
    call.state.bound[value.id] = name
    call.state.declare(name, value.type)


@rule("fetch")
def fetch(call: Call) -> None:
    """An output has the name of what computes it: the file numbers them, and tells nothing else.

    A variable that is fed, a parameter, or fetched already is copied, so that each output is one of its own.
    """
    call.ignore("name")
    _fetch(call, call.integer("col"))


@rule("builtin.shadow_output")
def shadow_output(call: Call) -> None:
    call.ignore("output_name")
    _fetch(call, len(call.state.fetches))


def _fetch(call: Call, column: int) -> None:
    operand = call.operand_names[0]
    name, state = call[operand], call.state
    if column in state.fetches:
        raise Unsupported(f"it fetches output {column}, which is fetched already")
    kept = name in state.feeds or call.id(operand) in state.parameters or name in state.fetches.values()
    if kept:
        name = call.new("assign", {"X": name}, call.type(operand))
    state.fetches[column] = name
    if call.op.results:
        state.bound[call.op.results[0].id] = name


@rule("builtin.combine")
def combine(call: Call) -> None:
    """Several values as one: several arguments in one slot of Paddle 2.6."""
    names = [name for number in call.op.operands for name in call.state.names_of(number)]
    call.state.bound[call.op.results[0].id] = names


@rule("builtin.split")
def split(call: Call) -> None:
    """The values that a vector has."""
    names = call.state.names_of(call.op.operands[0])
    if len(names) != len(call.op.results):
        raise Unsupported(f"it has {len(call.op.results)} results for {len(names)} values")
    for name, value in zip(names, call.op.results, strict=True):
        call.state.bound[value.id] = name
    _keep_elements(call, call.op.operands[0])


def _keep_elements(call: Call, vector: int) -> None:
    """What is known of the elements is known of the results."""
    for number, value in zip(call.state.elements.get(vector, ()), call.op.results, strict=False):
        if number in call.state.sizes:
            call.state.sizes[value.id] = call.state.sizes[number]


@rule("builtin.slice")
def element(call: Call) -> None:
    """One value of a vector."""
    vector = call.op.operands[0]
    names, index = call.state.names_of(vector), call.integer("index")
    kind = call.state.types.get(vector)
    if not isinstance(kind, Vector) or not 0 <= index < len(names):
        raise Unsupported(f"it takes value {index} of {len(names)}")
    call.state.bound[call.op.results[0].id] = names[index]
    elements = call.state.elements.get(vector)
    if elements is not None and elements[index] in call.state.sizes:
        call.state.sizes[call.op.results[0].id] = call.state.sizes[elements[index]]


@rule(
    "share_data_",
    "memcpy_h2d",
    "memcpy_d2h",
    "copy_to",
    "trans_layout",
    "depend",
    "shadow_feed",
    "npu_identity",
)
def same_value(call: Call) -> None:
    """What moves a value from one place to another, and makes no difference to it."""
    for name in call.op.attrs:
        call.ignore(name)
    call.bind(call.result_names[0], call[call.operand_names[0]])


@rule("assert")
def assert_(call: Call) -> None:
    """It is checked in 2.6 as well, and nothing is computed."""
    call.ignore("error_info")
    call.emit(
        "assert", {"Cond": call["cond"], "Data": call.all("data")}, {}, summarize=call.attr("summarize")
    )
