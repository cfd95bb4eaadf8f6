"""The textual form of pipelines: what parses, what it prints as, and what is refused with which sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcc.errors import PipelineError
from qcc.ir.graph import Graph
from qcc.passes import Pass, PassManager, PassResult, registry
from qcc.passes.freeze import Freeze
from qcc.passes.int8 import Int8
from qcc.passes.pipeline import PassSpec, format_pass, format_value, parse_specs
from qcc.passes.prune import Prune
from qcc.passes.quantizable import OP_TYPES
from qcc.passes.transform import Transform

# ---------------------------------------------------------------------- parsing and printing


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", [PassSpec("a", {})]),
        ("a{}", [PassSpec("a", {})]),
        (" a { } , b ", [PassSpec("a", {}), PassSpec("b", {})]),
        ("a{x=1}", [PassSpec("a", {"x": 1})]),
        ("a{x=-1,y=+2}", [PassSpec("a", {"x": -1, "y": 2})]),
        ("a{x=1.5,y=.5,z=2.,u=1e-3,v=-1E+2}", [PassSpec("a", dict(x=1.5, y=0.5, z=2.0, u=1e-3, v=-100.0))]),
        ("a{x=true,y=false,z=none}", [PassSpec("a", {"x": True, "y": False, "z": None})]),
        ('a{x="true",y="1",z=""}', [PassSpec("a", {"x": "true", "y": "1", "z": ""})]),
        ("a{x=[]}", [PassSpec("a", {"x": []})]),
        ("a{x=[1,b,[c,none]]}", [PassSpec("a", {"x": [1, "b", ["c", None]]})]),
        ("a{x=conv2d_0.w_0,y=*.w_?,z=a/b@c}", [PassSpec("a", dict(x="conv2d_0.w_0", y="*.w_?", z="a/b@c"))]),
        (r'a{x="b, {c}=[d] \"e\" \\f"}', [PassSpec("a", {"x": r'b, {c}=[d] "e" \f'})]),
        ("a\n{\n x = 1 ,\n y = 2 }\n", [PassSpec("a", {"x": 1, "y": 2})]),
        ("1e5x,2.b", [PassSpec("1e5x", {}), PassSpec("2.b", {})]),
        ("lite-calib{x=v1.2-rc}", [PassSpec("lite-calib", {"x": "v1.2-rc"})]),
    ],
)
def test_what_parses(text: str, expected: list[PassSpec]) -> None:
    specs = parse_specs(text)
    assert specs == expected
    for spec, wanted in zip(specs, expected, strict=True):
        for name, value in spec.options.items():
            assert type(value) is type(wanted.options[name])


@pytest.mark.parametrize(
    ("text", "column", "wanted", "found"),
    [
        ("", 1, "the name of a pass", "the end"),
        ("   ", 4, "the name of a pass", "the end"),
        (",a", 1, "the name of a pass", "',a'"),
        ("a,", 3, "the name of a pass", "the end"),
        ("a,,b", 3, "the name of a pass", "',b'"),
        ("{x=1}", 1, "the name of a pass", "'{x=1}'"),
        ('"a"', 1, "the name of a pass", "'\"a\"'"),
        ("a b", 3, "',' or the end of the pipeline", "'b'"),
        ("a}", 2, "',' or the end of the pipeline", "'}'"),
        ("a{x=1}b", 7, "',' or the end of the pipeline", "'b'"),
        ("a{", 3, "the name of an option", "the end"),
        ("a{=1}", 3, "the name of an option", "'=1}'"),
        ("a{x=1,}", 7, "the name of an option", "'}'"),
        ("a{x}", 4, "'='", "'}'"),
        ("a{x 1}", 5, "'='", "'1}'"),
        ("a{x=}", 5, "a value", "'}'"),
        ("a{x=", 5, "a value", "the end"),
        ("a{x=1", 6, "',' or '}'", "the end"),
        ("a{x=1 y=2}", 7, "',' or '}'", "'y=2}'"),
        ("a{x=[1}", 7, "',' or ']'", "'}'"),
        ("a{x=[1,]}", 8, "a value", "']}'"),
        ("a{x=[1 2]}", 8, "',' or ']'", "'2]}'"),
        ('a{x="b', 5, "a value", "'\"b'"),
        (r'a{x="b\"', 5, "a value", "'\"b\\\\\"'"),
        ("a{x=1}{y=2}", 7, "',' or the end of the pipeline", "'{y=2}'"),
        ("a{x=b" + "c" * 20 + " d}", 27, "',' or '}'", "'d}'"),
    ],
)
def test_what_does_not_parse(text: str, column: int, wanted: str, found: str) -> None:
    with pytest.raises(PipelineError) as raised:
        PassManager.parse(text)
    assert str(raised.value) == f"pipeline {text!r}, column {column}: expected {wanted}, found {found}."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tranform", "there is no pass 'tranform'; did you mean 'transform'?"),
        (
            "xyzzy",
            "there is no pass 'xyzzy'; `qcc passes` lists those that there are.",
        ),
        ("freeze{bias=true,bias=true}", "pass 'freeze' is given option 'bias' twice."),
        (
            "freeze{bias_corection=true}",
            "pass 'freeze' has no option 'bias_corection'; did you mean 'bias_correction'?",
        ),
        ("freeze{x=1}", "pass 'freeze' has no option 'x'; it has weight_type, bias_correction."),
        ("prune{x=1}", "pass 'prune' has no option 'x'; it has none."),
        ("transform{weight_bits=1}", "pass 'transform', option weight_bits: Input should be greater than"),
        ("transform{weight_bits=17}", "pass 'transform', option weight_bits: Input should be less than"),
        (
            "transform{weight_bits=8.5}",
            "pass 'transform', option weight_bits: Input should be a valid integer",
        ),
        ("transform{weight_bits=many}", "not 'many'."),
        (
            "transform{weight_type=lsq}",
            "pass 'transform', option weight_type: Input should be 'abs_max', 'ch",
        ),
        (
            "transform{activation_type=channel_wise_abs_max}",
            "option activation_type: Input should be 'abs_max'",
        ),
        ("transform{moving_rate=1}", "option moving_rate: Input should be less than 1, not 1."),
        ("transform{moving_rate=0}", "option moving_rate: Input should be greater than 0, not 0."),
        ("transform{window_size=0}", "option window_size: Input should be greater than or equal to 1"),
        ("transform{keep_first=-1}", "option keep_first: Input should be greater than or equal to 0"),
        ("transform{op_types=conv2d}", "pass 'transform', option op_types: Input should be a valid tuple"),
        (
            "transform{op_types=[conv2d,relu]}",
            "option op_types.1: Input should be 'conv2d', 'depthwise_conv2d'",
        ),
        ("transform{skip_vars=[1]}", "option skip_vars.0: Input should be a valid string, not 1."),
        (
            "freeze{weight_type=range_abs_max}",
            "option weight_type: Input should be 'abs_max' or 'channel_wise",
        ),
        ("freeze{bias_correction=2}", "option bias_correction: Input should be a valid boolean"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(PipelineError, match=re.escape(message)):
        PassManager.parse(text)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("transform", "transform"),
        ("transform{weight_type=abs_max}", "transform"),
        ("transform { weight_bits = 4 } , freeze", "transform{weight_bits=4},freeze"),
        ("freeze{weight_type=none,bias_correction=1}", "freeze{bias_correction=true}"),
        ("transform{skip_pattern=[]}", "transform{skip_pattern=[]}"),
        ("transform{moving_rate=9e-1}", "transform"),
        ("transform{moving_rate=.5}", "transform{moving_rate=0.5}"),
        (
            'transform{skip_vars=["a b",none-such,"none","1"]}',
            'transform{skip_vars=["a b",none-such,"none","1"]}',
        ),
        (
            "transform{weight_type=channel_wise_abs_max,activation_type=abs_max},freeze,int8,prune",
            "transform{weight_type=channel_wise_abs_max,activation_type=abs_max},freeze,int8,prune",
        ),
    ],
)
def test_printing_leaves_defaults_out_and_parses_back(text: str, printed: str) -> None:
    manager = PassManager.parse(text)
    assert str(manager) == printed
    assert PassManager.parse(printed) == manager


WEIGHT_TYPES = ["abs_max", "channel_wise_abs_max", "range_abs_max", "moving_average_abs_max"]
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["true", "none", "1", "-1.5e3", "", " ", '"', "\\", "\n", "a{b}"]
)
NAMES = st.lists(TEXTS, max_size=3).map(tuple)
TRANSFORMS = st.builds(
    Transform,
    weight_type=st.sampled_from(WEIGHT_TYPES),
    activation_type=st.sampled_from(["abs_max", "range_abs_max", "moving_average_abs_max"]),
    weight_bits=st.integers(2, 16),
    activation_bits=st.integers(2, 16),
    window_size=st.integers(1, 10**9),
    moving_rate=st.floats(0, 1, exclude_min=True, exclude_max=True),
    op_types=st.lists(st.sampled_from(OP_TYPES)).map(tuple),
    skip_pattern=NAMES,
    skip_op_types=st.lists(st.sampled_from(OP_TYPES)).map(tuple),
    skip_vars=NAMES,
    keep_first=st.integers(0, 10),
    keep_last=st.integers(0, 10),
)
FREEZES = st.builds(
    Freeze, weight_type=st.sampled_from([None, *WEIGHT_TYPES[:2]]), bias_correction=st.booleans()
)
PASSES = TRANSFORMS | FREEZES | st.sampled_from([Int8(), Prune()])


@given(st.lists(PASSES, min_size=1, max_size=4))
def test_any_pipeline_prints_as_text_that_parses_back_to_it(passes: list[Pass]) -> None:
    manager = PassManager(tuple(passes))
    assert PassManager.parse(str(manager)) == manager


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
        lambda values: st.lists(values, max_size=3),
        max_leaves=5,
    )
)
def test_any_value_is_read_as_it_was_written(value: object) -> None:
    (spec,) = parse_specs(f"a{{x={format_value(value)}}}")
    assert spec.options["x"] == value
    assert type(spec.options["x"]) is type(value)


@given(st.text(alphabet='ab1.-{}[]=," \\\n', max_size=20))
def test_any_text_parses_or_is_refused_with_a_sentence(text: str) -> None:
    try:
        assert parse_specs(text)
    except PipelineError as error:
        sentence = str(error)
    else:
        sentence = "."
    assert sentence.endswith(".")


# ---------------------------------------------------------------------- the registry


@dataclass(frozen=True)
class Fold(Pass):
    """Somebody else's pass."""

    name: ClassVar[str] = "fold"
    ratio: float = 0.5

    def apply(self, graph: Graph) -> PassResult:
        return PassResult(False)


@dataclass(frozen=True)
class Refuse(Pass):
    """Somebody else's pass, which refuses all of its options."""

    name: ClassVar[str] = "refuse"
    error: int = 0

    def __post_init__(self) -> None:
        raise (ValueError("no"), KeyError("never"))[self.error]

    def apply(self, graph: Graph) -> PassResult:
        return PassResult(False)


class Bare(Pass):
    """Somebody else's pass, without `@dataclass`."""

    name: ClassVar[str] = "bare"

    def apply(self, graph: Graph) -> PassResult:
        return PassResult(False)


class NoPass:
    pass


class Giver:
    """A distribution as far as the registry looks at it."""

    def __init__(self, name: str) -> None:
        self.name = name


def offer(monkeypatch: pytest.MonkeyPatch, *offers: tuple[str, str, str]) -> None:
    """Install packages: (package, name of the pass, attribute of this module)."""
    entries = []
    for package, name, attribute in offers:
        entry = EntryPoint(name, f"{__name__}:{attribute}", registry.GROUP)
        vars(entry)["dist"] = Giver(package)
        entries.append(entry)
    monkeypatch.setattr(registry, "entry_points", lambda group: entries if group == registry.GROUP else [])
    monkeypatch.setattr(registry, "import_module", lambda module: __import__("sys").modules[module])
    monkeypatch.setattr(registry, "known_passes", registry.known_passes.__wrapped__)


def test_a_pass_of_another_package_is_a_pass_like_any(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("folders", "fold", "Fold"))
    manager = PassManager.parse("fold{ratio=0.25},prune")
    assert manager.passes == (Fold(0.25), Prune())
    assert str(manager) == "fold{ratio=0.25},prune"
    assert format_pass(Fold()) == "fold"
    with pytest.raises(PipelineError, match="there is no pass 'flod'; did you mean 'fold'"):
        PassManager.parse("flod")


def test_two_packages_with_one_name_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("folders", "fold", "Fold"), ("benders", "fold", "Fold"))
    with pytest.raises(PipelineError) as raised:
        PassManager.parse("fold")
    assert str(raised.value) == (
        "pass 'fold' is offered by folders as well as by benders; uninstall one of them."
    )


def test_a_package_cannot_take_a_built_in_name(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("folders", "freeze", "Fold"))
    with pytest.raises(PipelineError, match="pass 'freeze' is offered by qcc as well as by folders"):
        PassManager.parse("prune")


def test_what_is_registered_must_be_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("folders", "fold", "NoPass"))
    with pytest.raises(PipelineError, match=r":NoPass, registered as pass 'fold', is not a subclass of Pass"):
        PassManager.parse("fold")


def test_what_is_registered_must_have_the_name_under_which_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("folders", "bend", "Fold"))
    with pytest.raises(PipelineError, match=r":Fold, registered as pass 'bend', has another name, or none,"):
        PassManager.parse("bend")


def test_what_is_registered_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("folders", "fold", "Gone"))
    with pytest.raises(PipelineError, match=r"pass 'fold' of the package folders cannot be imported: .*Gone"):
        PassManager.parse("fold")


def test_what_is_registered_must_be_a_dataclass(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("folders", "bare", "Bare"))
    with pytest.raises(PipelineError, match=r":Bare, registered as pass 'bare', is not a dataclass"):
        PassManager.parse("bare")


def test_what_a_module_of_another_package_raises_is_told_as_its(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("folders", "fold", "Fold"))
    monkeypatch.setattr(registry, "import_module", lambda module: 1 // 0)
    with pytest.raises(PipelineError) as raised:
        PassManager.parse("fold")
    assert str(raised.value) == (
        "pass 'fold' of the package folders, while it is imported, raised ZeroDivisionError: integer"
        " division or modulo by zero."
    )


def test_what_a_pass_of_another_package_raises_of_its_options_is_told_as_its(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offer(monkeypatch, ("folders", "refuse", "Refuse"))
    with pytest.raises(PipelineError, match="pass 'refuse', its options: Value error, no, not"):
        PassManager.parse("refuse{error=0}")
    with pytest.raises(PipelineError, match="pass 'refuse', while it is made, raised KeyError: 'never'"):
        PassManager.parse("refuse{error=1}")
