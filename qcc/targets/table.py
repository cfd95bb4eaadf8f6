"""Tables of what an engine on a kind of processor does with the ops of a model: data, one row a fact.

A table is a YAML file. A package adds one by the entry-point group `qcc.targets`, whose value is a function
that returns the file's path:

    [project.entry-points."qcc.targets"]
    my-board = "my_package.targets:path"
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Set
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qcc.errors import TargetError
from qcc.given_code import code_of_users

GROUP = "qcc.targets"
WITHOUT_VNNI, WITH_VNNI = "without VNNI", "+vnni"
"""Faults of processors that add products of bytes in 16 bits; what ends the name of a target for others."""
_COMMA = re.compile(r",(?![^{]*\})")  # between the passes of a pipeline, not between a pass's options
_LITE = re.compile("lite(-arm|-x86)?")  # which has tables of another kind, in `lite.py`
_OWN = ("paddle_x86.yaml", "openvino.yaml", "onnxruntime.yaml", "tensorrt.yaml")

Runs = Literal["int8", "float", "refused"]
Words = Annotated[str, Field(min_length=1)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Fact(_Row):
    """What the engine does with quantized ops of a type.

    `when`: a condition by its name (`qcc.backends.deploy.conditions`); the first fact of an op's type whose
    condition holds counts. `keep`: whether the weight stays in integers in the file where the op computes in
    float. `case`: the test that shows it.
    """

    op: Words
    runs: Runs
    when: str = "always"
    keep: bool = False
    why: str = ""
    remedy: str = ""
    case: Words


class Fault(_Row):
    """What the engine gets wrong, and what is written, or set, instead; `step`: the pass of the pipeline that
    writes it, or, where the pipeline has that pass twice, the pass with its options."""

    what: Words
    ops: tuple[str, ...]
    processors: Words
    instead: Words
    step: str = ""
    case: Words


class Option(_Row):
    """What an application must set, in Python and in C++; `{ops}` stands for the ops that may run in int8."""

    python: Words
    cpp: Words
    why: Words
    processors: str = "all"


class OnnxForm(_Row):
    """The ONNX file of a target.

    `pipeline` brings a frozen graph into QDQ form as this engine wants it; its steps `quantize-outputs` get
    the scales that were measured. `signed`: how activations are stored that may be negative, as uint8 with
    zero point 128 or as int8 with zero point 0.
    `gemm`: products of matrices and their biases are written as Gemm, with integers of 32 bits for the bias.
    `checked_in`: what runs the file before it appears, besides ONNX Runtime without optimizations. `faults`:
    what the engine gets wrong in ONNX files alone.
    """

    pipeline: Words
    signed: Literal["uint8", "int8"]
    gemm: bool = False
    checked_in: Literal["onnxruntime", "openvino", "tensorrt", "nothing"]
    options: tuple[Option, ...]
    faults: tuple[Fault, ...] = ()


class Target(_Row):
    """An engine on a kind of processor.

    `pipeline` brings a frozen graph into the form for it, behind the passes that take the quantization off
    ops that compute in float. `checked_in`: what runs a written form before it appears, or "onnx" where the
    engine reads no model of Paddle, but the file that `onnx` describes. `int8_ops`: in Paddle Inference, the
    ops that may run in int8. `halves`: ops whose weights lose their last bit where activations are signed,
    on processors without VNNI. `vnni`: what is written is for processors with VNNI alone. `fuses_factors`:
    a product with a factor per channel takes next to no time behind an activation.
    """

    name: Words
    engine: Words
    processor: Words
    checked_in: Literal["paddle", "openvino", "onnx"] = "paddle"
    int8_ops: tuple[str, ...] = ()
    halves: tuple[str, ...] = ()
    vnni: bool = False
    fuses_factors: bool = False
    pipeline: Words
    facts: tuple[Fact, ...]
    faults: tuple[Fault, ...]
    options: tuple[Option, ...] = ()
    onnx: OnnxForm | None = None

    def with_vnni(self) -> Target:
        """The table for processors with VNNI: without the faults of others, and what is done for them.

        Raises TargetError where that is nothing.
        """
        if self.vnni:
            return self
        if not self.has_vnni_form:
            raise TargetError(f"{self.name} is the same for all processors: leave out VNNI.")
        return self._for_vnni().model_copy(update={"name": self.name + WITH_VNNI, "vnni": True})

    @property
    def has_vnni_form(self) -> bool:
        """Whether processors with VNNI have a table of their own beside this one."""
        return not self.vnni and self._for_vnni() != self

    def _for_vnni(self) -> Target:
        onnx = self.onnx
        if onnx is not None:
            # What the engine gets wrong in any form of a model is mended in ONNX files, too.
            spared = _spared((*self.faults, *onnx.faults))
            changed = {"faults": _kept(onnx.faults), "pipeline": _without(onnx.pipeline, spared)}
            onnx = onnx.model_copy(update=changed)
        pipeline = _without(self.pipeline, _spared(self.faults))
        return self.model_copy(
            update={"pipeline": pipeline, "faults": _kept(self.faults), "halves": (), "onnx": onnx}
        )

    def facts_about(self, op_type: str) -> tuple[Fact, ...]:
        """The facts of an op's type, in the order in which they count."""
        return tuple(fact for fact in self.facts if fact.op == op_type)


def _kept(faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """The faults that processors with VNNI have, too."""
    return tuple(fault for fault in faults if fault.processors != WITHOUT_VNNI)


def _spared(faults: tuple[Fault, ...]) -> set[str]:
    """The steps that stand for faults of other processors alone."""
    return {fault.step for fault in faults} - {fault.step for fault in _kept(faults)}


def _without(pipeline: str, steps: Set[str]) -> str:
    return ",".join(one for one in _COMMA.split(pipeline) if not steps & {_named(one), one.strip()})


def _named(step: str) -> str:
    return step.partition("{")[0].strip()


@cache
def known_targets() -> Mapping[str, Target]:
    """All tables by name.  Raises TargetError for one that is not as it should be, or a name given twice."""
    known: dict[str, Target] = {}
    tables = [(file, own_target(file)) for file in _OWN]
    tables += [(entry.value, _parse(entry.value, _text(entry))) for entry in entry_points(group=GROUP)]
    for place, target in tables:
        if target.name in known:
            raise TargetError(f"{place}: there is a target {target.name!r} already; give another name.")
        known[target.name] = target
    return known


def find_target(name: str, others: tuple[str, ...] = ()) -> Target:
    """A table by its name; with "+vnni" behind that, the one for processors with VNNI.

    Raises TargetError with the nearest known name; `others` are names that mean something without a table.
    """
    known, asked = known_targets(), name
    if name not in known:
        name = name.removesuffix(WITH_VNNI)
    if name not in known:
        if _LITE.fullmatch(name) and not others:
            raise TargetError(
                f"what {name} loads is one file, which `qcc export MODEL --target {name} -o OUT.nb` writes."
            )
        names = (*others, *known)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}."
        raise TargetError(f"there is no target {asked!r}; {hint}")
    return known[name] if asked == name else known[name].with_vnni()


def own_target(file: str) -> Target:
    """One of the tables that stand beside this module."""
    return _parse(file, files("qcc.targets").joinpath(file).read_text(encoding="utf-8"))


def _check_steps(place: str, target: Target) -> None:
    """Raise TargetError for a fault whose step is in no pipeline."""
    pipelines = (target.pipeline, "" if target.onnx is None else target.onnx.pipeline)
    written = [step.strip() for pipeline in pipelines for step in _COMMA.split(pipeline)]
    steps = {*written, *map(_named, written)}
    for fault in (*target.faults, *(() if target.onnx is None else target.onnx.faults)):
        if fault.step and fault.step not in steps:
            raise TargetError(f"{place}: faults: the step {fault.step!r} is in no pipeline of the table.")


def _text(entry: EntryPoint) -> str:
    given = f"the target {entry.name!r} of {entry.value}"
    with code_of_users(f"{given}, asked for the path of its table,", TargetError):
        try:
            path = entry.load()()
        except (ImportError, AttributeError) as error:
            raise TargetError(f"{given} cannot be imported: {error}.") from error
    if not isinstance(path, str | Path):
        raise TargetError(f"{given} gave a {type(path).__name__}, where the path of its table is wanted.")
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TargetError(f"{given} cannot be read: {error}.") from error


def _parse(place: str, text: str) -> Target:
    try:
        target = Target.model_validate(yaml.safe_load(text))
        _check_steps(place, target)
        return target
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = place if mark is None else f"{place}, line {mark.line + 1} of the table,"
        raise TargetError(f"{where} is no YAML: {getattr(error, 'problem', None) or error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole table"
        raise TargetError(f"{place}: {where}: {first['msg']}.") from error
