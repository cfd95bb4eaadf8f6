"""The pass manager: order, instruments, nesting, and what it says when a pass fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from qat_nets import convolutions

from qcc.errors import GraphError, OutputError, PassError, QccError, VerifyError
from qcc.ir.graph import Graph
from qcc.model import Model
from qcc.passes import Pass, PassManager, PassResult
from qcc.passes.instruments import Dump, Instrument, OpCount, Progress, Timing, Verification
from qcc.passes.prune import Prune


@dataclass(frozen=True)
class AddRelu(Pass):
    """Put a relu behind every fetch, under a new name."""

    name: ClassVar[str] = "add-relu"
    suffix: str = "relu"

    def apply(self, graph: Graph) -> PassResult:
        for fetch in graph.fetches:
            var = graph.var(fetch)
            graph.add_op("relu", {"X": var}, {"Out": graph.add_var_like(f"{fetch}.{self.suffix}", var)}, {})
        return PassResult(True, (f"added {self.suffix}",))


@dataclass(frozen=True)
class Nothing(Pass):
    """Do nothing."""

    name: ClassVar[str] = "nothing"

    def apply(self, graph: Graph) -> PassResult:
        return PassResult(False)


@dataclass(frozen=True)
class Fail(Pass):
    """Raise what it is told to."""

    name: ClassVar[str] = "fail"
    error: type[BaseException] = PassError

    def apply(self, graph: Graph) -> PassResult:
        raise self.error("Op(conv2d -> y) cannot be folded: it has no bias.")


@dataclass(frozen=True)
class Break(Pass):
    """Leave a reader without its producer."""

    name: ClassVar[str] = "break"

    def apply(self, graph: Graph) -> PassResult:
        graph.remove_op(graph.var("relu_0.tmp_0").producer)
        return PassResult(True)


@dataclass(frozen=True)
class Forget(Pass):
    """Return nothing."""

    name: ClassVar[str] = "forget"

    def apply(self, graph: Graph) -> PassResult:
        return None  # type: ignore[return-value]


@dataclass
class Log(Instrument):
    """Write down every call."""

    label: str
    calls: list[str] = field(default_factory=list)

    def start(self, graph: Graph, passes: Sequence[Pass]) -> None:
        self.calls.append(f"{self.label} start {len(passes)}")

    def before(self, step: Pass, graph: Graph) -> None:
        self.calls.append(f"{self.label} before {step.name}")

    def after(self, step: Pass, graph: Graph, result: PassResult) -> None:
        self.calls.append(f"{self.label} after {step.name} {result.modified}")

    def finish(self, graph: Graph) -> None:
        self.calls.append(f"{self.label} finish")


@pytest.fixture(scope="module")
def float_model() -> Model:
    return convolutions().test_model()


def manager(*passes: Pass) -> PassManager:
    return PassManager(passes)


# ---------------------------------------------------------------------- running


def test_passes_run_in_order_on_a_copy(float_model: Model) -> None:
    before = float_model.graph.to_proto().SerializeToString()
    result = manager(AddRelu("a"), AddRelu("b")).run(float_model)
    assert [op.output("Out").name for op in result.graph.ops[-2:]] == ["fc_0.tmp_1.a", "fc_0.tmp_1.b"]
    assert float_model.graph.to_proto().SerializeToString() == before
    assert result.provenance.pipelines == ("add-relu{suffix=a},add-relu{suffix=b}",)
    assert float_model.provenance.pipelines == ()


def test_the_result_says_whether_any_pass_modified_anything(float_model: Model) -> None:
    graph = float_model.copy().graph
    assert manager(Nothing(), Nothing()).apply(graph) == PassResult(False)
    assert manager(Nothing(), AddRelu()).apply(graph) == PassResult(True, ("added relu",))
    assert manager().apply(graph) == PassResult(False)


def test_a_manager_is_a_pass(float_model: Model) -> None:
    inner = manager(AddRelu("b"), AddRelu("c"))
    nested = manager(AddRelu("a"), inner)
    flat = manager(AddRelu("a"), *inner.passes)
    assert str(nested) == str(flat) == "add-relu{suffix=a},add-relu{suffix=b},add-relu{suffix=c}"
    programs = [each.run(float_model).graph.to_proto().SerializeToString() for each in (nested, flat)]
    assert programs[0] == programs[1]
    assert nested.apply(float_model.copy().graph).notes == ("added a", "added b", "added c")


def test_a_pipeline_in_one_run_or_in_several_makes_the_same_program() -> None:
    model = convolutions().test_model()
    steps = ["transform{weight_type=channel_wise_abs_max,activation_type=abs_max}", "freeze", "int8", "prune"]
    one = PassManager.parse(",".join(steps)).run(model)
    for step in steps:
        model = PassManager.parse(step).run(model)
    assert model.graph.to_proto() == one.graph.to_proto()
    assert model.weights.keys() == one.weights.keys()
    assert model.provenance.pipelines == tuple(PassManager.parse(step).__str__() for step in steps)


# ---------------------------------------------------------------------- failing


def test_a_failure_names_pass_op_reason_and_what_had_run(float_model: Model) -> None:
    before = float_model.graph.to_proto().SerializeToString()
    with pytest.raises(PassError) as raised:
        manager(Nothing(), AddRelu(), Fail(), Nothing()).run(float_model)
    assert str(raised.value) == (
        "pass 'fail' (3 of 4; already run: nothing, add-relu):"
        " Op(conv2d -> y) cannot be folded: it has no bias."
    )
    assert float_model.graph.to_proto().SerializeToString() == before
    with pytest.raises(PassError, match=r"^pass 'fail' \(1 of 1; already run: none\): Op"):
        manager(Fail()).run(float_model)


@pytest.mark.parametrize("error", [PassError, GraphError, OutputError, VerifyError])
def test_a_failure_keeps_its_type(error: type[QccError], float_model: Model) -> None:
    with pytest.raises(error, match="pass 'fail'") as raised:
        manager(Fail(error)).run(float_model)
    assert type(raised.value) is error


def test_a_bug_in_a_pass_of_qcc_is_no_users_mistake(
    float_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Prune, "apply", lambda self, graph: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        manager(Prune()).run(float_model)


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_a_bug_in_a_pass_of_another_package_is_told_as_its(
    error: type[BaseException], float_model: Model
) -> None:
    with pytest.raises(PassError) as raised:
        manager(Nothing(), Fail(error)).run(float_model)
    assert str(raised.value) == (
        "pass 'fail' (2 of 2; already run: nothing): apply() raised"
        f" {error.__name__}: Op(conv2d -> y) cannot be folded: it has no bias."
    )


def test_a_failure_in_a_nested_manager_names_both(float_model: Model) -> None:
    with pytest.raises(PassError) as raised:
        manager(Nothing(), manager(AddRelu(), Fail())).run(float_model)
    assert str(raised.value).startswith(
        "pass 'pipeline' (2 of 2; already run: nothing): pass 'fail' (2 of 2; already run: add-relu): Op("
    )


def test_a_broken_graph_is_the_fault_of_the_pass_that_broke_it(float_model: Model) -> None:
    with pytest.raises(VerifyError) as raised:
        manager(Nothing(), Break(), Nothing()).run(float_model)
    message = str(raised.value)
    assert message.startswith("pass 'break' (2 of 3; already run: nothing): Op(")
    assert message.endswith("reads 'relu_0.tmp_0', which no op produces and no feed provides.")


def test_what_a_user_broke_is_found_before_the_first_pass(float_model: Model) -> None:
    model = float_model.copy()
    model.weights["conv2d_0.w_0"] = np.zeros((2, 2), np.float32)
    with pytest.raises(
        VerifyError, match=r"^weight 'conv2d_0.w_0' is declared float32\[8, 3, 3, 3\] but its"
    ):
        PassManager.parse("transform").run(model)
    model = float_model.copy()
    del model.weights["conv2d_0.w_0"]
    with pytest.raises(VerifyError, match=r"reads weight 'conv2d_0.w_0', which has no value"):
        PassManager.parse("transform").run(model)
    model = float_model.copy()
    model.graph.remove_op(model.graph.var("relu_0.tmp_0").producer)
    with pytest.raises(VerifyError, match=r"^Op\(.*reads 'relu_0.tmp_0', which no op produces"):
        PassManager.parse("transform").run(model)


def test_a_pass_must_return_a_result(float_model: Model) -> None:
    with pytest.raises(
        PassError, match=r"pass 'forget' .*apply\(\) returned NoneType, where a PassResult is"
    ):
        manager(Forget()).run(float_model)


# ---------------------------------------------------------------------- instruments


def test_instruments_stand_around_the_passes_like_skins_of_an_onion(float_model: Model) -> None:
    calls: list[str] = []
    first, second = Log("1", calls), Log("2", calls)
    manager(Nothing(), AddRelu()).run(float_model, [first, second])
    assert calls == [
        *("1 start 2", "2 start 2"),
        *("1 before nothing", "2 before nothing", "2 after nothing False", "1 after nothing False"),
        *("1 before add-relu", "2 before add-relu", "2 after add-relu True", "1 after add-relu True"),
        *("1 finish", "2 finish"),
    ]


def test_a_failing_pass_has_no_after_and_no_finish(float_model: Model) -> None:
    log = Log("1")
    with pytest.raises(PassError):
        manager(Nothing(), Fail()).run(float_model, [log])
    assert log.calls == ["1 start 2", "1 before nothing", "1 after nothing False", "1 before fail"]


def test_without_instruments_nothing_is_verified(float_model: Model) -> None:
    broken = manager(Break()).run(float_model, [])
    with pytest.raises(VerifyError):
        manager(Nothing()).run(broken)


def test_nested_passes_are_verified_too(float_model: Model) -> None:
    with pytest.raises(VerifyError, match=r"pass 'pipeline' .*: pass 'break' \(1 of 2; already run: none\)"):
        manager(manager(Break(), Nothing())).run(float_model, [])


def test_verification_after_each_pass_empties_the_journal(float_model: Model) -> None:
    graph = float_model.copy().graph
    manager(AddRelu()).apply(graph, [])
    assert graph.changed
    manager(Nothing()).apply(graph, [Verification()])
    assert not graph.changed
    assert not graph.weights.changed


def test_timing_has_a_line_per_pass(float_model: Model) -> None:
    timing = Timing()
    manager(AddRelu("a"), Nothing(), manager(Nothing())).run(float_model, [timing])
    assert [name for name, _ in timing.seconds] == ["add-relu", "nothing", "pipeline"]
    assert all(seconds >= 0 for _, seconds in timing.seconds)


def test_op_count_tells_what_came_and_went() -> None:
    count = OpCount()
    pipeline = PassManager.parse("transform{activation_type=abs_max,op_types=[mul]},freeze,freeze")
    pipeline.run(convolutions().test_model(), [count])
    transform, freeze, again = count.changes
    assert transform.added == {"fake_quantize_abs_max": 2, "fake_dequantize_max_abs": 2}
    assert not transform.removed
    assert freeze.removed == {"fake_quantize_abs_max": 1, "fake_dequantize_max_abs": 2}
    assert freeze.added == {"fake_dequantize_max_abs": 1}
    assert freeze.changed == {"mul": 1}
    assert (again.added, again.removed, again.changed, again.result.modified) == ({}, {}, {}, False)


def test_dump_writes_a_numbered_file_per_pass(float_model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    dump = Dump(folder, lambda graph: f"{len(graph.ops)} ops\n")
    ops = len(float_model.graph.ops)
    for _ in range(2):  # a second run starts at 0 again
        manager(Nothing(), AddRelu()).run(float_model, [dump])
        files = {path.name: path.read_text() for path in folder.iterdir()}
        assert files == {
            "00-input.txt": f"{ops} ops\n",
            "01-nothing.txt": f"{ops} ops\n",
            "02-add-relu.txt": f"{ops + 1} ops\n",
        }


def test_dump_into_a_file_is_refused(float_model: Model, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="taken"):
        manager(Nothing()).run(float_model, [Dump(tmp_path / "taken", str)])


def test_progress_reports_each_pass_as_it_begins_and_ends(float_model: Model) -> None:
    reports: list[tuple[int, int, str]] = []
    progress = Progress(lambda done, total, name: reports.append((done, total, name)))
    manager(Nothing(), AddRelu()).run(float_model, [progress])
    assert reports == [(0, 2, "nothing"), (1, 2, "nothing"), (1, 2, "add-relu"), (2, 2, "add-relu")]
