"""The benchmark on tiny chains: that it works and what it records, never how long anything takes."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from qcc.ir.program import ProgramProto

BENCH = Path(__file__).parents[2] / "bench"
MODULES = ("chains", "measure", "page", "compile")


@pytest.fixture(scope="module")
def bench() -> Iterator[dict[str, ModuleType]]:
    """The benchmark's modules, which import each other as scripts do."""
    sys.path.insert(0, str(BENCH))
    yield {name: importlib.import_module(name) for name in MODULES}
    sys.path.remove(str(BENCH))
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture(scope="module")
def run(bench: dict[str, ModuleType], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A tiny run: its record and its page. All cases run in this process but one."""
    folder = tmp_path_factory.mktemp("bench")
    alone = bench["compile"].measure_alone

    def measure(case: str, program: Path, repeats: int) -> dict[str, Any]:
        where = alone if case == "memory_of_all" and program.stem == "inference-11" else here
        return where(case, program, repeats)

    def here(case: str, program: Path, _: int) -> dict[str, Any]:
        return bench["measure"].measure(case, program, 1)

    sizes = ["--layers", "3,5", "--target-layers", "4", "--paddle-layers", "3", "--rounds", "2", "--full"]
    outputs = ["--record", str(folder / "record.json"), "--page", str(folder / "page.md")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench["compile"], "measure_alone", measure)
        result = CliRunner().invoke(bench["compile"].main, [*sizes, *outputs], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    record = json.loads((folder / "record.json").read_text())
    return {"record": record, "page": (folder / "page.md").read_text(), "shown": result.stdout}


@pytest.mark.parametrize("training", [True, False])
def test_stretched_chain_is_what_paddle_builds(bench: dict[str, ModuleType], training: bool) -> None:
    chains = bench["chains"]
    built, stretched = chains.build(12, training), chains.stretch(12, training)
    for program in (built, stretched):
        for op in program.blocks[0].ops:
            # Lines of code, and a scope that Paddle counts up with every optimizer of a process.
            kept = [attr for attr in op.attrs if attr.name not in ("op_callstack", "op_namescope")]
            del op.attrs[:]
            op.attrs.extend(kept)
    assert stretched == built


def test_stretched_chain_has_the_ops_that_are_counted(bench: dict[str, ModuleType]) -> None:
    job = bench["compile"].Job
    for training in (True, False):
        program: ProgramProto = bench["chains"].stretch(7, training)
        assert len(program.blocks[0].ops) == job("training", training, 7).ops


@pytest.mark.slow
def test_record_says_what_ran_where(run: dict[str, Any]) -> None:
    record = run["record"]
    assert set(record["versions"]) == {"python", "paddlepaddle", "qcc", "numpy", "protobuf"}
    assert record["processor"]
    assert record["plan"] == {
        "layers": [3, 5],
        "target_layers": 4,
        "paddle_layers": [3],
        "rounds": 2,
        "full": True,
    }
    for key in ("command", "date", "cores", "memory_bytes", "garbage_collector", "threads"):
        assert record[key]
    assert len(record["load_average_at_start"]) == len(record["load_average_at_end"]) == 3


@pytest.mark.slow
def test_record_has_every_raw_number(run: dict[str, Any]) -> None:
    by_case: dict[str, list[dict[str, Any]]] = {}
    for entry in run["record"]["measured"]:
        assert entry["ops"] == (9 * entry["layers"] + 9 if entry["training"] else 3 * entry["layers"] + 2)
        by_case.setdefault(entry["case"], []).append(entry)
    for case in (
        "training",
        "inference",
        "whole_way",
        "as_called",
        "pipeline",
        "paddle_passes",
        "paddle_as_called",
    ):
        assert {entry["round"] for entry in by_case[case]} == {0, 1}
        for entry in by_case[case]:
            for section, numbers in (item for run in entry["runs"] for item in run.items()):
                assert numbers["cpu"] >= 0, section
                assert section == "verification" or numbers["wall"] > 0
    passes = {"transform", "freeze", "int8", "unpack", "qdq", "prune"}
    assert passes < set(by_case["inference"][0]["runs"][0])
    assert {entry["layers"] for entry in by_case["training"]} == {3, 4, 5}
    assert {entry["layers"] for entry in by_case["as_called"]} == {3, 4, 5}
    assert set(by_case["as_called"][0]["runs"][0]) == {"run", "load, to_program"}
    assert {entry["layers"] for entry in by_case["paddle_as_called"]} == {4}
    assert {entry["layers"] for entry in by_case["paddle_passes"] if entry["round"] == 0} == {3, 4}
    for case in ("memory_of_program", "memory_of_load", "memory_of_all"):
        assert len(by_case[case]) == 4
        assert all(entry["runs"][0]["peak"]["bytes"] > 1 << 20 for entry in by_case[case])


@pytest.mark.slow
def test_qcc_and_paddle_do_the_same_work(run: dict[str, Any]) -> None:
    counted = [entry["runs"][0] for entry in run["record"]["measured"] if entry["case"] == "same_ops"]
    assert len(counted) == 2
    for counts in counted:
        assert counts["qcc"] == counts["paddle"]
        assert counts["qcc"]["fake_quantize_moving_average_abs_max"] == 4


@pytest.mark.slow
def test_page_is_made_of_the_record(bench: dict[str, ModuleType], run: dict[str, Any]) -> None:
    assert run["page"] == bench["page"].render(run["record"])
    assert run["page"] in run["shown"]
    assert "| 3 layers, inference | 11 | freeze |" in run["page"]
    assert "| transform |" in run["page"]
    assert "Not measured in this run" not in run["page"]
    assert "nan" not in run["page"]


@pytest.mark.slow
def test_page_compares_what_users_call(bench: dict[str, ModuleType], run: dict[str, Any]) -> None:
    """By processor time, whatever the numbers are."""
    seconds = {("paddle_passes", "transform"): 620.0, ("as_called", "run"): 2.0}
    seconds |= {("as_called", "load, to_program"): 3.0, ("paddle_as_called", "load, to_program"): 4.0}
    measured = [
        {**entry, "runs": [_with_cpu(repetition, entry, seconds) for repetition in entry["runs"]]}
        for entry in run["record"]["measured"]
    ]
    page = bench["page"].render({**run["record"], "measured": measured})
    assert (
        "36 ops: copy, pass and verification, times faster than Paddle's pass alone | >= 300 | 310 | yes |"
        in page
    )
    assert "| load and to_program, 45 ops, times as long as Paddle's own | <= 1.5 | 0.75 | yes |" in page
    assert "| largest growth exponent of these two | <= 1.1 |" in page
    assert "| run | 2 s | 2 s |" in page


def _with_cpu(
    repetition: dict[str, dict[str, float]], entry: dict[str, Any], seconds: dict[tuple[str, str], float]
) -> dict[str, dict[str, float]]:
    return {
        section: {**numbers, "cpu": seconds.get((entry["case"], section), numbers.get("cpu", 0.0))}
        for section, numbers in repetition.items()
    }


@pytest.mark.slow
def test_page_of_an_older_record_lacks_what_users_call(
    bench: dict[str, ModuleType], run: dict[str, Any]
) -> None:
    older = [entry for entry in run["record"]["measured"] if "as_called" not in entry["case"]]
    page = bench["page"].render({**run["record"], "measured": older})
    assert "As users call it" not in page
    assert "PassManager.run" not in page


@pytest.mark.slow
def test_page_says_what_was_not_measured(bench: dict[str, ModuleType], run: dict[str, Any]) -> None:
    record = {**run["record"], "plan": {**run["record"]["plan"], "full": False}}
    assert "Not measured in this run: Paddle's passes on 4 layers" in bench["page"].render(record)


def test_growth_is_the_exponent(bench: dict[str, ModuleType]) -> None:
    growth = bench["page"].growth
    assert growth([(10, 3.0), (100, 30.0), (1000, 300.0)]) == pytest.approx(1)
    assert growth([(10, 1.0), (100, 100.0)]) == pytest.approx(2)


def test_sizes_that_make_no_sense_are_refused(bench: dict[str, ModuleType]) -> None:
    for sizes in ("2,5", "many"):
        result = CliRunner().invoke(bench["compile"].main, ["--layers", sizes])
        assert result.exit_code == 2


def test_page_in_the_repository_is_made_of_its_record(bench: dict[str, ModuleType]) -> None:
    docs = BENCH.parent / "docs"
    record = json.loads((docs / "records/compile-bench.json").read_text())
    assert (docs / "speed.md").read_text() == bench["page"].render(record)
