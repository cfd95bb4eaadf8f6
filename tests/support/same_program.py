"""Are two programs the same graph up to the names of variables?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qcc._paddle import paddle
from qcc.ir.program import OpProto

# What says nothing about the computation: call stacks, the device, and what an optimizer notes about itself.
SILENT_ATTRS = frozenset({"op_callstack", "op_device", "op_namescope", "op_role_var"})
EMPTY = "@EMPTY@"


@dataclass(frozen=True)
class Value:
    """What a variable holds after its nth overwrite in the program."""

    name: str
    version: int


@dataclass(frozen=True)
class Line:
    """One op with the values that it reads and writes, by slot."""

    type: str
    attrs: tuple[tuple[str, str], ...]
    inputs: tuple[tuple[str, tuple[Value, ...]], ...]
    outputs: tuple[tuple[str, tuple[Value, ...]], ...]

    def __str__(self) -> str:
        def slots(pairs: Iterable[tuple[str, Sequence[Value]]]) -> str:
            return ", ".join(f"{slot}={[value.name for value in values]}" for slot, values in pairs)

        attrs = ", ".join(f"{name}={value}" for name, value in self.attrs)
        return f"{slots(self.outputs)} = {self.type}({slots(self.inputs)}) {{{attrs}}}"


class NotTheSameError(AssertionError):
    """The programs differ; the message shows the first op without a counterpart, and who is near."""


def lines(program: paddle.static.Program) -> list[Line]:
    """The ops of the main block in program order, without feed and fetch ops."""
    # Parsing gives ops the attributes for Paddle's own use, whoever made them.
    program = paddle.static.Program.parse_from_string(program.desc.serialize_to_string())
    written: dict[str, int] = {}
    found = []
    for op in program.global_block().ops:
        if op.type in ("feed", "fetch"):
            continue
        message = OpProto.FromString(op.desc.serialize_to_string())
        inputs = _slots(message.inputs, written)
        for slot in message.outputs:
            for name in slot.arguments:
                if name != EMPTY:
                    written[name] = written.get(name, 0) + 1
        found.append(Line(message.type, _attrs(message), inputs, _slots(message.outputs, written)))
    return found


def _slots(slots: Iterable[Any], written: Mapping[str, int]) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    return tuple(
        sorted(
            (slot.parameter, tuple(Value(name, written.get(name, 0)) for name in slot.arguments))
            for slot in slots
            # Backward ops declare what they leave out now by @EMPTY@, now by nothing.
            if any(name != EMPTY for name in slot.arguments)
        )
    )


def _attrs(message: OpProto) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((attr.name, _text(attr)) for attr in message.attrs if attr.name not in SILENT_ATTRS))


def _text(attr: Any) -> str:
    """All that the message says but the name, on one line."""
    return " ".join(line for line in str(attr).splitlines() if not line.startswith("name:"))


class Renaming:
    """A map of the values of one program to those of another, built along the way.

    It is one-to-one, but for the names `shared`: each stands for several variables of the other program.
    """

    def __init__(self, shared: Collection[str] = ()) -> None:
        self._there: dict[Value, Value] = {}
        self._back: dict[Value, Value] = {}
        self._shared = shared

    def __getitem__(self, value: Value) -> Value:
        return self._there[value]

    def name(self, name: str) -> str:
        """The counterpart of the last value of a variable."""
        last = max((value for value in self._there if value.name == name), key=lambda value: value.version)
        return self._there[last].name

    def fits(self, left: Value, right: Value) -> bool:
        """True when the two are bound to each other, or both free and alike."""
        if left.name in self._shared:
            return right not in self._back or self._back[right] == left
        if left in self._there or right in self._back:
            return self._there.get(left) == right
        return left.version == right.version

    def bind(self, left: Value, right: Value) -> None:
        self._there[left] = right
        self._back[right] = left


def same_graph(
    left: paddle.static.Program,
    right: paddle.static.Program,
    known: Iterable[str] = (),
    shared: Collection[str] = (),
) -> Renaming:
    """The renaming that turns one program into the other.

    `known` are names that mean the same in both (feeds and weights), `shared` those for which the
    second program has several. Raises NotTheSameError.
    """
    mine, theirs = lines(left), lines(right)
    renaming = Renaming(shared)
    for name in known:
        renaming.bind(Value(name, 0), Value(name, 0))
    waiting: dict[str, list[Line]] = {}
    for line in theirs:
        waiting.setdefault(line.type, []).append(line)
    for line in mine:
        candidates = waiting.get(line.type, [])
        match = next((other for other in candidates if _fits(line, other, renaming)), None)
        if match is None:
            raise NotTheSameError(_difference(line, candidates))
        candidates.remove(match)
        for (_, ours), (_, others) in zip(
            line.inputs + line.outputs, match.inputs + match.outputs, strict=True
        ):
            for value, other in zip(ours, others, strict=True):
                renaming.bind(value, other)
    left_over = [str(line) for lines_left in waiting.values() for line in lines_left]
    if left_over:
        raise NotTheSameError("only the second program has\n  " + "\n  ".join(left_over))
    _same_declarations(left, right, renaming)
    return renaming


def _fits(line: Line, other: Line, renaming: Renaming) -> bool:
    if line.attrs != other.attrs:
        return False
    for mine, theirs in ((line.inputs, other.inputs), (line.outputs, other.outputs)):
        if [(slot, len(values)) for slot, values in mine] != [(slot, len(values)) for slot, values in theirs]:
            return False
        pairs = zip(mine, theirs, strict=True)
        if not all(renaming.fits(*both) for (_, a), (_, b) in pairs for both in zip(a, b, strict=True)):
            return False
    return True


def _difference(line: Line, candidates: Sequence[Line]) -> str:
    shown = "\n  ".join(str(candidate) for candidate in candidates[:3]) or "none of that type"
    return f"only the first program has\n  {line}\nthe second one has\n  {shown}"


def _same_declarations(left: paddle.static.Program, right: paddle.static.Program, renaming: Renaming) -> None:
    ours, theirs = left.global_block(), right.global_block()
    for value, other in renaming._there.items():
        if value.name == EMPTY or not ours.has_var(value.name):
            continue
        mine, their = ours.var(value.name).desc, theirs.var(other.name).desc
        for what in ("type", "persistable", "dtype", "shape"):
            if what in ("dtype", "shape") and not hasattr(ours.var(value.name), "lod_level"):
                continue
            if getattr(mine, what)() != getattr(their, what)():
                raise NotTheSameError(
                    f"{what} of {value.name} is {getattr(mine, what)()},"
                    f" that of {other.name} is {getattr(their, what)()}"
                )
