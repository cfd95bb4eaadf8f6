"""What is known while a program is converted, and what a rule sees of the op that it converts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from qcc.frontend.paddle3.in_place import result_is_operand
from qcc.frontend.paddle3.output import (
    Names,
    OutBlock,
    OutOp,
    Unsupported,
    Variable,
    check_dtype,
    check_slots,
    filled,
)
from qcc.frontend.paddle3.program import (
    Attr,
    Block,
    DType,
    Op,
    Opaque,
    Parameter,
    Tensor,
    TensorArray,
    Type,
    Value,
    Vector,
)
from qcc.frontend.paddle3.tables import VARIADIC, Signature, find, legacy_ops, signatures

# More than any network has; a program of so many takes gigabytes.
_MOST_ARGUMENTS = 10_000_000
# What Paddle notes of an op beside what it computes.
_NOTES = frozenset(
    (
        "struct_name",
        "op_callstack",
        "op_role",
        "chunk_id",
        "place",
        "stop_gradient",
        "persistable",
        "op_device",
    )
)


@dataclass(frozen=True)
class Unknown:
    """A size that is known only when the program runs: that of a value along an axis."""

    value: int
    axis: int


Size: TypeAlias = "int | Unknown | None"
"""An element of a tensor of sizes; None for one that is neither a constant nor a size of a value."""

ParameterValue: TypeAlias = Callable[[str], np.ndarray]


@dataclass
class State:
    """The conversion of a program so far.

    `bound`: the variable, or for a vector the variables, of each value; `elements`: the values in a vector.
    `sizes`: what is known of small tensors of integers, such as shapes; `constants`: the numbers that a value
    holds in every run; `counts`: values that hold no integer below zero. `mutable`: values that some op
    writes into. `biases`: the parameter, and the axis that it is turned to, behind a value. `narrow`: the
    int32 variable of which one is the int64 form. `arguments`: how many there are so far. `value_of` reads a
    parameter's value.
    """

    names: Names
    blocks: list[OutBlock]
    current: OutBlock
    types: dict[int, Type | None]
    last_use: dict[int, int]
    mutable: frozenset[int]
    value_of: ParameterValue
    convert_block: Callable[[Block], None]
    bound: dict[int, str | list[str]] = field(default_factory=dict)
    elements: dict[int, tuple[int, ...]] = field(default_factory=dict)
    sizes: dict[int, tuple[Size, ...]] = field(default_factory=dict)
    constants: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    counts: set[int] = field(default_factory=set)
    parameters: dict[int, Parameter] = field(default_factory=dict)
    biases: dict[int, tuple[str, int]] = field(default_factory=dict)
    narrow: dict[str, str] = field(default_factory=dict)
    arguments: int = 0
    feeds: list[str] = field(default_factory=list)
    fetches: dict[int, str] = field(default_factory=dict)

    def declare(self, name: str, kind: Type) -> None:
        """Declare a variable of a value's type in the block that grows."""
        if isinstance(kind, Tensor):
            check_dtype(kind.dtype)
            self.current.variables[name] = Variable(kind.dtype, kind.shape)
        elif isinstance(kind, TensorArray):
            check_dtype(kind.dtype)
            self.current.variables[name] = Variable(kind.dtype, kind.shape, "LOD_TENSOR_ARRAY")
        else:
            raise Unsupported(f"Paddle 2.6 has no values of type {getattr(kind, 'name', 'vector')}")

    def names_of(self, number: int) -> list[str]:
        """The variables of a value; none when it is absent."""
        if not number or self.types.get(number) is None:
            return []
        bound = self.bound[number]
        return [bound] if isinstance(bound, str) else bound

    def alias(self, number: int, original: int) -> None:
        """Say that a value is another one, with all that is known of it."""
        self.bound[number] = self.bound[original]
        _copy(self.elements, number, original)
        _copy(self.sizes, number, original)
        _copy(self.constants, number, original)
        _copy(self.parameters, number, original)
        _copy(self.biases, number, original)
        if original in self.counts:
            self.counts.add(number)

    def numbers(self, number: int) -> tuple[Any, ...] | None:
        """The numbers of a value that is the same in every run; None for any other."""
        if number in self.constants:
            return self.constants[number]
        sizes = self.sizes.get(number)
        if sizes is not None and all(isinstance(size, int) for size in sizes):
            return sizes
        return None

    def sizes_of(self, number: int) -> tuple[Size, ...] | None:
        """What is known of a small tensor of integers; None when nothing is, not even how many."""
        if number in self.sizes:
            return self.sizes[number]
        numbers = self.constants.get(number)
        if numbers is not None and all(isinstance(item, int) for item in numbers):
            return numbers
        return None


def _copy(known: dict[int, Any], number: int, original: int) -> None:
    if original in known:
        known[number] = known[original]


class Call:
    """An op that a rule converts: operands and results by their names, attributes, and ways to write ops.

    Whatever the file says of an op must be taken up: `finish` refuses an attribute that no rule asked for.
    """

    def __init__(self, state: State, op: Op) -> None:
        signature: Signature | None = find(signatures(), op.name)
        if signature is None:
            raise Unsupported("there is no such op in Paddle 2.6")
        self.state = state
        self.op = op
        self.short = op.name.rpartition(".")[2].removesuffix("_")
        self.operand_names = signature.operands
        self.result_names = signature.results
        self._taken: set[str] = set()
        self._stem: str | None = None
        self._count = 0
        self._check_counts()

    def _check_counts(self) -> None:
        """An op may have had fewer results in earlier versions."""
        if self.op.name in VARIADIC:
            if len(self.op.operands) < len(self.operand_names):
                raise Unsupported("it has no operands")
            return
        if len(self.op.operands) != len(self.operand_names) or len(self.op.results) > len(self.result_names):
            raise Unsupported(
                f"it has {len(self.op.operands)} operands and {len(self.op.results)} results where"
                f" Paddle 3.3's has {len(self.operand_names)} and {len(self.result_names)}"
            )

    # ------------------------------------------------------------------ operands

    def id(self, operand: str) -> int:
        """The number of an operand; 0 for an absent one."""
        if operand not in self.operand_names:
            raise Unsupported(f"it has no operand {operand}")
        number = self.op.operands[self.operand_names.index(operand)]
        return number if number and self.state.types.get(number) is not None else 0

    def __contains__(self, operand: str) -> bool:
        return self.id(operand) != 0

    def __getitem__(self, operand: str) -> str:
        """The variable of an operand that is one tensor."""
        names = self.all(operand)
        if len(names) != 1:
            raise Unsupported(f"its operand {operand} is {'absent' if not names else 'several tensors'}")
        return names[0]

    def optional(self, operand: str) -> str | None:
        return self[operand] if self.id(operand) else None

    def all(self, operand: str) -> list[str]:
        """The variables of an operand; several where it is a vector."""
        return self.state.names_of(self.id(operand))

    def elements(self, operand: str) -> list[tuple[str, Type]]:
        """The variables of an operand with their types."""
        kind = self.kind(self.id(operand))
        kinds = kind.elements if isinstance(kind, Vector) else () if kind is None else (kind,)
        return list(zip(self.all(operand), kinds, strict=True))

    def type(self, operand: str) -> Tensor:
        kind = self.state.types.get(self.id(operand))
        if not isinstance(kind, Tensor):
            raise Unsupported(f"its operand {operand} is no dense tensor")
        return kind

    def kind(self, number: int) -> Type | None:
        """The type of a value."""
        return self.state.types.get(number)

    def shape(self, number: int) -> tuple[int, ...]:
        """The sizes of a value that is a dense tensor."""
        kind = self.kind(number)
        return kind.shape if isinstance(kind, Tensor) else ()

    def numbers(self, operand: str) -> tuple[Any, ...] | None:
        """The numbers of an operand that is the same in every run; None for any other."""
        return self.state.numbers(self.id(operand))

    def constant(self, operand: str) -> tuple[Any, ...]:
        """The same where Paddle 2.6 has an attribute, and nothing else will do."""
        numbers = self.numbers(operand)
        if numbers is None:
            raise Unsupported(f"its operand {operand} is computed, where Paddle 2.6 takes a constant")
        return numbers

    def axes(self, operand: str) -> list[int]:
        """The integers of an operand that 2.6 has as an attribute."""
        numbers = self.constant(operand)
        if any(number != int(number) for number in numbers):
            raise Unsupported(f"its operand {operand} holds a number that is no integer")
        return [int(number) for number in numbers]

    # ------------------------------------------------------------------ attributes

    def attr(self, name: str, default: Attr | None = None) -> Any:
        """The value of an attribute; without a default, Unsupported is raised where it is missing."""
        self._taken.add(name)
        value = self.op.attrs.get(name, default)
        if value is None or isinstance(value, Opaque):
            raise Unsupported(f"its attribute {name} is {'missing' if value is None else f'a {value.kind}'}")
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        return int(self._typed(name, default, int, "an integer"))

    def real(self, name: str, default: float | None = None) -> float:
        """A number as it stands there; true is 1."""
        value = self.attr(name, default)
        if not isinstance(value, int | float):
            raise Unsupported(f"its attribute {name} is not a number")
        return int(value) if isinstance(value, int) else value

    def flag(self, name: str, default: bool | None = None) -> bool:
        return bool(self._typed(name, default, bool, "true or false"))

    def text(self, name: str, default: str | None = None) -> str:
        return str(self._typed(name, default, str, "a text"))

    def dtype(self, name: str = "dtype", default: DType | None = None) -> DType:
        value: DType = self._typed(name, default, DType, "a data type")
        return value

    def integers(self, name: str, default: list[Attr] | None = None) -> list[int]:
        """A list of integers; one integer is a list of one."""
        value = self.attr(name, default)
        found = value if isinstance(value, list) else [value]
        if not all(isinstance(item, int) for item in found):
            raise Unsupported(f"its attribute {name} holds something that is no integer")
        return [int(item) for item in found]

    def _typed(self, name: str, default: Attr | None, kinds: Any, what: str) -> Any:
        value = self.attr(name, default)
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise Unsupported(f"its attribute {name} is not {what}")
        return value

    def ignore(self, *names: str) -> None:
        """Attributes that make no difference in Paddle 2.6."""
        self._taken.update(names)

    def finish(self) -> None:
        """Raises Unsupported for an attribute that the rule did not take up."""
        for name in self.op.attrs:
            if name not in self._taken and name not in _NOTES:
                raise Unsupported(f"Paddle 2.6 has no attribute {name}")

    # ------------------------------------------------------------------ results

    def result(self, name: str) -> Value | None:
        """A result; None for an absent one."""
        if name not in self.result_names:
            raise Unsupported(f"it has no result {name}")
        index = self.result_names.index(name)
        if index >= len(self.op.results) or self.op.results[index].type is None:
            return None
        return self.op.results[index]

    def result_type(self, name: str) -> Tensor:
        value = self.result(name)
        if value is None or not isinstance(value.type, Tensor):
            raise Unsupported(f"its result {name} is absent, or no dense tensor")
        return value.type

    def out(self, name: str, like: Tensor | None = None) -> str:
        """The variable of a result; a new one of the type `like` where the file has no such result."""
        value = self.result(name)
        if value is None:
            return self.new_variable(like or Tensor("float32", ()))
        names = self.outs(name)
        if len(names) != 1:
            raise Unsupported(f"its result {name} is not one tensor")
        return names[0]

    def outs(self, name: str) -> list[str]:
        """The variables of a result, as many as its type has elements; none for an absent one."""
        value = self.result(name)
        if value is None or value.type is None:
            return []
        if value.id not in self.state.bound:
            if self._is_in_place(value):
                self.state.bound[value.id] = self.state.bound[self.op.operands[0]]
            elif isinstance(value.type, Vector):
                self.state.bound[value.id] = [self.new_variable(kind) for kind in value.type.elements]
            else:
                self.state.bound[value.id] = self.new_variable(value.type)
        return self.state.names_of(value.id)

    def _is_in_place(self, value: Value) -> bool:
        """True where the result must have the variable of the first operand: something sees the change.

        What is last used here, and belongs to this block, nobody sees any more.
        """
        if not result_is_operand(self.op) or value is not self.op.results[0]:
            return False
        number = self.op.operands[0]
        name = self.state.bound[number]
        seen = self.state.last_use[number] != self.op.number or number in self.state.parameters
        return isinstance(name, str) and (seen or name not in self.state.current.variables)

    def bind(self, name: str, variables: str | list[str]) -> None:
        """Say that a result is what these variables hold."""
        value = self.result(name)
        if value is not None:
            self.state.bound[value.id] = variables

    def new_variable(self, kind: Type) -> str:
        if self._stem is None:
            self._stem = self.state.names.stem(self.short)
        name = self.state.names.under(self._stem, self._count)
        self._count += 1
        self.state.declare(name, kind)
        return name

    # ------------------------------------------------------------------ ops

    def emit(
        self,
        op: str,
        inputs: Mapping[str, str | Sequence[str] | None],
        outputs: Mapping[str, str | Sequence[str] | None],
        **attrs: Any,
    ) -> OutOp:
        """Append an op of Paddle 2.6. Outputs that 2.6 needs and that are not given get variables of their
        own.
        """
        declared = legacy_ops()[op]
        out = OutOp(
            op,
            _lists(inputs),
            _lists(outputs),
            filled(op, declared, attrs, inputs),
            self.op.scope,
        )
        check_slots(op, declared, out.inputs)
        self._count_arguments(out)
        for slot in declared.outputs.values():
            if not slot.optional and not out.outputs.get(slot.name):
                out.outputs[slot.name] = [self.new_variable(Tensor("float32", (0,)))]
        self.state.current.ops.append(out)
        return out

    def _count_arguments(self, out: OutOp) -> None:
        """A vector stands in the file once, and is written out for each op that reads it."""
        self.state.arguments += sum(map(len, out.inputs.values()))
        if self.state.arguments > _MOST_ARGUMENTS:
            raise Unsupported(f"it and the ops before read more than {_MOST_ARGUMENTS} values")

    def new(
        self,
        op: str,
        inputs: Mapping[str, str | Sequence[str] | None],
        like: Tensor,
        slot: str = "Out",
        **attrs: Any,
    ) -> str:
        """Append an op with one output, a new variable of the type `like`; its name."""
        name = self.new_variable(like)
        self.emit(op, inputs, {slot: name}, **attrs)
        return name

    def cast(self, name: str, source: Tensor, dtype: str) -> str:
        """A variable with the same numbers in another dtype; itself where it has it."""
        if source.dtype == dtype:
            return name
        wanted = self.new_variable(Tensor(dtype, source.shape))
        self.emit_cast(name, source.dtype, wanted, dtype)
        return wanted

    def emit_cast(self, name: str, source: str, wanted: str, dtype: str) -> None:
        self.emit("cast", {"X": name}, {"Out": wanted}, in_dtype=DType(source), out_dtype=DType(dtype))

    def full(self, value: float, like: Tensor) -> str:
        """A variable that holds this number everywhere; all sizes are known."""
        return self.new(
            "fill_constant",
            {},
            like,
            shape=list(like.shape),
            dtype=DType(like.dtype),
            value=float(value),
            str_value=number_text(value),
        )

    def from_the_front(self, axis: int, operand: str = "x") -> int:
        """An axis of an operand, where one may be counted from the end, which Paddle 2.6 does not know."""
        return axis if axis >= 0 else axis + len(self.type(operand).shape)

    def sizes(self, operand: str, axes: range, scalar: bool = False) -> str:
        """An int32 variable of the sizes that some axes of an operand have in a run; `scalar`: one alone,
        without a dimension.
        """
        whole = self.new("shape", {"Input": self[operand]}, Tensor("int32", (len(self.type(operand).shape),)))
        attrs: dict[str, Any] = {"starts": [axes.start], "ends": [axes.stop], "infer_flags": [1]}
        some = Tensor("int32", () if scalar else (len(axes),))
        gone = [0] if scalar else []
        return self.new("slice", {"Input": whole}, some, axes=[0], decrease_axis=gone, **attrs)

    def emit_like(self, x: str, kind: Tensor, value: float, out: str, dtype: DType | None = None) -> None:
        """A variable that holds this number everywhere, in the shape of another; `kind` is its own type,
        `dtype` what the file says of it.
        """
        if math.isnan(value) or float(np.float32(value)) == value:
            self.emit("fill_any_like", {"X": x}, {"Out": out}, value=float(value), dtype=dtype)
            return
        # The attribute is float32.
        zeros = self.new("fill_any_like", {"X": x}, kind, value=0.0, dtype=dtype)
        number = self.full(value, Tensor(kind.dtype, (1,)))
        self.emit("elementwise_add", {"X": zeros, "Y": number}, {"Out": out})


def number_text(value: float) -> str:
    """A number as `fill_constant` reads it, without the loss of float32."""
    return str(value) if isinstance(value, int) else repr(float(value))


def _lists(slots: Mapping[str, str | Sequence[str] | None]) -> dict[str, list[str]]:
    return {
        slot: [names] if isinstance(names, str) else list(names)
        for slot, names in slots.items()
        if names is not None
    }
