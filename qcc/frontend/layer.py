"""qcc.from_layer: a model from a `paddle.nn.Layer`, which is traced."""

from __future__ import annotations

import inspect
import itertools
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qcc._paddle import dygraph_mode, paddle, static_mode
from qcc.errors import GraphError
from qcc.frontend.live import from_program
from qcc.frontend.trainable_ops import make_trainable
from qcc.frontend.while_traced import gradients_stopped, left_as_it_was, without_values
from qcc.model import Model

Specs = Sequence["paddle.static.InputSpec"]
Loss = Callable[..., Any]


@dataclass(frozen=True)
class Traced:
    """A layer as a `paddle.static.Program` without a backward part, whose parameters are called as in
    `Layer.state_dict()`.

    `feeds`: of the layer's inputs, then of the loss's labels; `outputs`: of the layer; `loss`: one number;
    `returned`: what the layer returns, with a variable for each output; `values`: of all that outlives a run.
    """

    program: paddle.static.Program
    feeds: tuple[str, ...]
    outputs: tuple[str, ...]
    loss: str | None
    returned: Any
    values: dict[str, np.ndarray]

    def scope(self) -> paddle.static.Scope:
        """A scope that holds the values."""
        scope = paddle.static.Scope()
        for name, value in self.values.items():
            scope.var(name).get_tensor().set(value, paddle.CPUPlace())
        return scope


def from_layer(
    layer: paddle.nn.Layer, input_spec: Specs, *, loss: Loss | None = None, label_spec: Specs = ()
) -> Model:
    """The test graph of a layer, as it computes after `layer.eval()`; with a `loss`, its training graph.

    `input_spec` has a `paddle.static.InputSpec` for each input, with None for sizes that may change; a feed
    is called as its spec or, where that has no name, as the argument of `forward`, with a number behind it
    where another feed is called so. `loss` is a function of what the layer returns and of a label for each
    of `label_spec`; the training graph has no backward ops, is fed with the labels, too, and returns the loss
    in front of the layer's outputs. Weights are called as in `Layer.state_dict()`, so that `into_layer`
    brings them back. Paddle's mode and the layer stay as they were.

    Raises GraphError for a layer that cannot be traced, such as one whose control flow looks at values that
    are known only when it runs, for what it returns besides tensors, for two specs of one name, and for
    labels without a loss.
    """
    if loss is None and label_spec:
        raise GraphError("label_spec is about a loss, and there is none: give one, or leave it out.")
    traced = trace(layer, input_spec, loss, label_spec)
    fetches = traced.outputs if traced.loss is None else (traced.loss, *traced.outputs)
    with static_mode():
        return from_program(
            traced.program, traced.scope(), traced.feeds, fetches, for_test=traced.loss is None
        )


def into_layer(weights: Mapping[str, np.ndarray], layer: paddle.nn.Layer) -> None:
    """Give a layer the weights that a model, or training, has under the names of its `state_dict`.

    One that the layer has under several names is given under one of them at least.

    Raises GraphError when one is missing, has another shape or dtype, or other values under another one of
    its names; the layer is then left as it was.
    """
    _check_layer(layer)
    if not isinstance(weights, Mapping):
        raise GraphError(f"weights by name are wanted, and this is a {type(weights).__name__}.")
    with dygraph_mode():
        wanted = layer.state_dict()
        given = {tensor.name for name, tensor in wanted.items() if name in weights}
        arrays = {name: _array(name, weights[name]) for name in wanted if name in weights}
        for name, tensor in wanted.items():
            if tensor.name not in given:
                raise GraphError(f"there are no weights {name!r}, which the layer has.")
            array, before = arrays.get(name), tensor.numpy()
            if array is not None and (array.shape, array.dtype) != (before.shape, before.dtype):
                raise GraphError(
                    f"the weights {name!r} are {array.dtype}{list(array.shape)}, and the layer's are"
                    f" {before.dtype}{list(before.shape)}."
                )
        names = dict[str, str]()
        for name, array in arrays.items():
            first = names.setdefault(wanted[name].name, name)
            if not np.array_equal(arrays[first], array, equal_nan=array.dtype.kind == "f"):
                raise GraphError(
                    f"the weights {first!r} and {name!r} differ, and are one in the layer: give one of both."
                )
        for name, array in arrays.items():
            wanted[name].set_value(array)


def _array(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise GraphError(f"the weights {name!r} are no array: {error}.") from error


def trace(
    layer: paddle.nn.Layer, input_spec: Specs, loss: Loss | None = None, label_spec: Specs = ()
) -> Traced:
    """Trace a layer: in evaluation mode, or with a `loss` in training mode. See `from_layer`."""
    _check_layer(layer)
    if loss is not None and not callable(loss):
        raise GraphError(f"a loss is a function or a layer, and this is a {type(loss).__name__}.")
    inputs = _named("input_spec", input_spec, layer.forward)
    labels = [] if loss is None else _named("label_spec", label_spec, loss, inputs, skip=1)
    with dygraph_mode():
        wrapped = _Wrapped(layer, loss)
        with (
            left_as_it_was(wrapped),
            without_values(),
            gradients_stopped() as stopped,
            warnings.catch_warnings(),
        ):
            # Of every batch norm in training mode.
            warnings.filterwarnings("ignore", "When training, we now always track global mean", UserWarning)
            concrete = _concrete(wrapped, inputs, labels)
        values = {one.name: one.numpy() for one in concrete.parameters}
        names = {tensor.name: name for name, tensor in reversed(layer.state_dict().items())}
        names |= _of_loss(loss, names)
    program = concrete.main_program
    _leave_untrained(program, stopped)
    kept = _kept(program, names)
    for name in kept:
        program.global_block().var(name).persistable = False
    _check_names(program, names)
    with static_mode():  # in dygraph mode Paddle makes other parameters
        _rename(program, names)
        constants = make_trainable(program)
    feeds = tuple(spec.name for spec in (*inputs, *labels))
    computed, returned = concrete.outputs
    outputs = tuple(names.get(var.name, var.name) for var in _tensors(layer, returned))
    scalar = None if computed is None else _scalar(computed)
    values = {names.get(name, name): value for name, value in values.items() if name not in kept}
    return Traced(program, feeds, outputs, scalar, returned, values | constants)


def _concrete(wrapped: _Wrapped, inputs: list[Any], labels: list[Any]) -> Any:
    """What Paddle makes of a layer, in evaluation mode, or with a loss in training mode; the layer stays in
    that mode."""
    layer = wrapped.layer
    if wrapped.loss is None:
        layer.eval()
    # In training mode already, parts of it may stay in evaluation mode while it trains.
    elif not layer.training:
        layer.train()
    try:
        function = paddle.jit.to_static(wrapped.forward, input_spec=[inputs, labels], full_graph=True)
        return function.concrete_program
    # Whatever the code of somebody else may raise.
    except Exception as error:
        why = _not_taken("input_spec", layer.forward, len(inputs))
        if wrapped.loss is not None:
            why = why or _not_taken("label_spec", wrapped.loss, len(labels), behind=1)
        raise GraphError(f"{type(layer).__name__} cannot be traced: {why or _reason(error)}") from error


def _not_taken(what: str, function: Callable[..., Any], count: int, behind: int = 0) -> str | None:
    """What to say where a function does not take a tensor for each of so many specs, `behind` others; None
    where it does, as far as Python knows."""
    if isinstance(function, paddle.nn.Layer):
        function = function.forward
    try:
        inspect.signature(function, follow_wrapped=False).bind(*range(behind + count))
    except TypeError as error:
        called = "the loss is called with what the layer returns, and" if behind else "forward is called with"
        return f"{what} holds {count}, and {called} one tensor for each: {error}"
    except ValueError:  # of a function that is written in C
        return None
    return None


def _of_loss(loss: Loss | None, taken: Mapping[str, str]) -> dict[str, str]:
    """What the weights of a loss that is a layer are called, which are trained, too: loss.weight."""
    if not isinstance(loss, paddle.nn.Layer):
        return {}
    prefix = _free("loss", {name.partition(".")[0] for name in taken.values()})
    state = loss.state_dict().items()
    return {tensor.name: f"{prefix}.{name}" for name, tensor in state if tensor.name not in taken}


def _kept(program: paddle.static.Program, state: Collection[str]) -> set[str]:
    """What `forward` keeps as an attribute, as `self.last = x` does, for which a layer that has run before
    has a buffer: besides the layer's state, what is written before it is read."""
    block = program.global_block()
    lasting = {name for name, var in block.vars.items() if var.persistable} - {*state}
    kept = set[str]()
    for op in block.ops:
        lasting -= {*op.input_arg_names} - kept
        kept |= lasting & {*op.output_arg_names}
    return kept


def _leave_untrained(program: paddle.static.Program, stopped: Collection[Any]) -> None:
    """Let parameters stay as they are that ops without gradients alone read, or none at all, as where a block
    makes an activation for other strides than its own."""
    read = {
        name
        for block in program.blocks
        for op in block.ops
        if op not in stopped
        for name in op.input_arg_names
    }
    for parameter in program.all_parameters():
        if parameter.name not in read:
            parameter.trainable, parameter.stop_gradient = False, True


def _check_layer(layer: Any) -> None:
    if not isinstance(layer, paddle.nn.Layer):
        kind = f"the class {layer.__name__}" if isinstance(layer, type) else f"a {type(layer).__name__}"
        raise GraphError(f"a paddle.nn.Layer that is made already is wanted, and this is {kind}.")


def like_returned(returned: Any, outputs: Sequence[Any]) -> Any:
    """The outputs' values in the structure of `Traced.returned`, such as a dict with its keys."""
    return _put(returned, iter(outputs))


def _put(place: Any, rest: Iterator[Any]) -> Any:
    """In the order of `paddle.utils.flatten`, whose counterpart cannot make a defaultdict again."""
    if isinstance(place, dict):
        found = {key: _put(place[key], rest) for key in sorted(place)}
        return {key: found[key] for key in place}
    if isinstance(place, list | tuple):
        parts = [_put(one, rest) for one in place]
        return type(place)(*parts) if hasattr(place, "_fields") else type(place)(parts)
    return next(rest)


class _Wrapped(paddle.nn.Layer):  # type: ignore[misc]
    """What is traced: the layer, and the loss behind it."""

    def __init__(self, layer: Any, loss: Loss | None) -> None:
        super().__init__()
        self.layer, self.loss = layer, loss

    def forward(self, inputs: list[Any], labels: list[Any]) -> Any:
        outputs = self.layer(*inputs)
        # Always two: Paddle puts what is returned alone into a list, where it cannot be told from a list.
        return None if self.loss is None else self.loss(outputs, *labels), outputs


def _named(
    what: str, specs: Any, function: Callable[..., Any], before: Sequence[Any] = (), skip: int = 0
) -> list[Any]:
    """The specs, each with a name that no other one has, nor one of `before`: its own, or one like that of
    the function's argument."""
    if not isinstance(specs, Sequence) or not all(isinstance(one, paddle.static.InputSpec) for one in specs):
        raise GraphError(f"{what} has to be a list of a paddle.static.InputSpec each.")
    if isinstance(function, paddle.nn.Layer):
        function = function.forward
    single = _arguments(function)[skip:]
    taken = {spec.name for spec in before}
    for spec in specs:
        if spec.name in taken:
            raise GraphError(f"{what} gives a second feed the name {spec.name!r}: each needs its own.")
        if spec.name:
            taken.add(spec.name)
    named = []
    for index, spec in enumerate(specs):
        name = spec.name or _free(single[index] if index < len(single) else f"input_{index}", taken)
        taken.add(name)
        named.append(paddle.static.InputSpec(spec.shape, spec.dtype, name))
    return named


def _arguments(function: Callable[..., Any]) -> list[str]:
    """What a function calls its arguments, as far as it has names for them and Python knows these."""
    try:
        arguments = inspect.signature(function).parameters.values()
    except ValueError:  # of a function that is written in C
        return []
    return [one.name for one in arguments if one.kind is one.POSITIONAL_OR_KEYWORD]


def _free(name: str, taken: Collection[str]) -> str:
    """A name like this one that is not taken."""
    numbered = (f"{name}_{number}" for number in itertools.count(1))
    return next(one for one in itertools.chain([name], numbered) if one not in taken)


def _check_names(program: Any, names: Mapping[str, str]) -> None:
    """Two variables of one name would be one: an input `x` beside a weight `self.x`."""
    taken = {name for block in program.blocks for name in block.vars}
    clash = next((new for old, new in names.items() if old != new and new in taken), None)
    if clash is not None:
        raise GraphError(
            f"the weight {clash!r} is called as an input or another variable is: give the input another name,"
            " by paddle.static.InputSpec(shape, dtype, name)."
        )


def _rename(program: Any, names: Mapping[str, str]) -> None:
    """Call variables of a program by other names, in all of its blocks.

    Paddle's `Block._rename_var` goes through all ops and variables for each of them.
    """
    names = {old: new for old, new in names.items() if old != new}
    for block in program.blocks:
        for op in block.ops:
            for name in set(op.input_arg_names) & names.keys():
                op._rename_input(name, names[name])
            for name in set(op.output_arg_names) & names.keys():
                op._rename_output(name, names[name])
    main = program.global_block()
    for old, new in names.items():
        if main.has_var(old):
            _call(main, main.var(old), new)


def _call(block: Any, var: Any, name: str) -> None:
    """Put a variable with another name in place of one that no op reads any more."""
    kinds = {"shape": var.shape, "dtype": var.dtype, "type": var.type, "stop_gradient": var.stop_gradient}
    if isinstance(var, paddle.framework.Parameter):
        own = {key: getattr(var, key) for key in ("trainable", "optimize_attr", "regularizer", "need_clip")}
        block.create_parameter(name=name, **kinds, **own)
    else:
        block.create_var(name=name, persistable=var.persistable, **kinds)
    block._remove_var(var.name, sync=False)


def _tensors(layer: Any, returned: Any) -> Iterator[Any]:
    for one in paddle.utils.flatten(returned):
        if not isinstance(one, paddle.static.Variable):
            raise GraphError(
                f"{type(layer).__name__} returns a {type(one).__name__}, where everything has to be a tensor."
            )
        yield one


def _scalar(loss: Any) -> str:
    if not isinstance(loss, paddle.static.Variable) or any(size != 1 for size in loss.shape):
        shape = list(getattr(loss, "shape", ())) or type(loss).__name__
        raise GraphError(f"the loss has to be one number, such as a mean, and it is {shape}.")
    return str(loss.name)


_REFUSED_BY_3 = (
    "Paddle 3 itself refuses {}() in programs of its old IR: trace or train the layer under Paddle 2.6"
    " (`pip install 'qcc[cpu]'` in an environment of its own), or let `qcc quantize` have what"
    " paddle.jit.save writes in a script without qcc"
)
# What Paddle says of code that it cannot trace, and what that means.
_MEANT = (
    (
        r"parameter\((\S+)\) was created in the decorated function",
        "forward reads the weight {}, which the layer does not know: make layers in __init__, and hold"
        " several of them in a paddle.nn.LayerList",
    ),
    # Of a variable; of a method of one it is an int or None, whatever argument it counts.
    (r"(\w+)\(\): argument \(position \d+\) must be Value, but got", _REFUSED_BY_3),
    # A function of Paddle that asks a variable for what those of the new IR have.
    (
        r'site-packages/paddle/[^"]+", line \d+, in (\w+)\n[^\n]*\n\s*'
        r"AttributeError: '(?:Variable|tuple)' object has no attribute '(?:is_cuda|numel)'",
        _REFUSED_BY_3,
    ),
    (
        r"super\(\): (__class__) cell not found",
        "Paddle 2.6 cannot translate super(), which looks for {}: name the class, as in"
        " `Base.forward(self, image)`",
    ),
)


def _reason(error: BaseException) -> str:
    """Paddle's message, or what it means, with the last place in the code of the user."""
    text = str(error)
    found = re.findall(r'File "([^"]+)", line (\d+)', text)
    own = (str(Path(__file__).parent), "site-packages")
    places = [place for place in found if not any(part in place[0] for part in own)]
    where = f"{places[-1][0]}, line {places[-1][1]}: " if places else ""
    return f"{where}{_said(error, text)}".rstrip(".") + "."


def _said(error: BaseException, text: str) -> str:
    for pattern, meaning in _MEANT:
        if match := re.search(pattern, text):
            return meaning.format(match.group(1))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    of_paddle = [line for line in lines if re.match(r"(\w+: )?\([A-Z]\w+\) ", line)]
    return [*of_paddle[-1:], *lines[-1:], type(error).__name__][0]
