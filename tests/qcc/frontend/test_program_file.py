"""Program files: what Paddle wrote is loaded unchanged, whatever else is refused, never a crash."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, static
from saved_models import PaddleModel, bare_branches, control_flow, two_feeds, without_call_stacks

import qcc
from qcc._paddle import paddle
from qcc.backends.program_file import inference_program
from qcc.errors import ModelFormatError, QccError
from qcc.ir.program import AttrType, ProgramProto
from qcc.ir.verify import verify

MODELS = {"two_feeds": two_feeds, "control_flow": control_flow, "bare_branches": bare_branches}


@pytest.fixture(scope="module")
def prefixes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: build().save(folder / name) for name, build in MODELS.items()}


@pytest.mark.parametrize("name", list(MODELS))
def test_loads_and_saves_to_the_same_bytes(name: str, prefixes: dict[str, Path]) -> None:
    wanted = without_call_stacks(prefixes[name].with_suffix(".pdmodel").read_bytes())
    model = qcc.load(prefixes[name])
    verify(model.graph)
    assert inference_program(model.graph).SerializeToString() == wanted.SerializeToString()
    assert inference_program(model.copy().graph).SerializeToString() == wanted.SerializeToString()


def test_branches_that_read_or_give_nothing_are_run(tmp_path: Path) -> None:
    """Paddle writes them with empty slots that its registry asks for."""
    paddle_model = bare_branches()
    model = qcc.load(paddle_model.save(tmp_path / "bare"))
    for mean in (-3.0, 3.0):
        feed = {"image": paddle_model.inputs()["image"] + np.float32(mean)}
        np.testing.assert_array_equal(model.run(feed)[0], paddle_model.run(feed)[0])


@pytest.mark.parametrize("name", ["det", "rec"])
def test_paddleocr_models_save_to_the_same_bytes(name: str, pp_ocr_models: dict[str, Path]) -> None:
    wanted = without_call_stacks((pp_ocr_models[name] / "inference.pdmodel").read_bytes())
    found = inference_program(qcc.load(pp_ocr_models[name]).graph)
    assert found.SerializeToString() == wanted.SerializeToString()
    assert wanted.version.version in (2004001, 2004002)


def test_paddleocr_classifier_saves_the_same_but_for_order(pp_ocr_models: dict[str, Path]) -> None:
    """Paddle 2.3 wrote variables and attributes in no order, and feed and fetch ops with fewer of them."""
    wanted = without_call_stacks((pp_ocr_models["cls"] / "inference.pdmodel").read_bytes())
    found = inference_program(qcc.load(pp_ocr_models["cls"]).graph)
    assert (found.version, found.op_version_map) == (wanted.version, wanted.op_version_map)
    ours, theirs = found.blocks[0], wanted.blocks[0]
    assert {v.name: v.SerializeToString() for v in ours.vars} == {
        v.name: v.SerializeToString() for v in theirs.vars
    }
    assert len(ours.ops) == len(theirs.ops)
    for a, b in zip(ours.ops, theirs.ops, strict=True):
        assert (a.type, list(a.inputs), list(a.outputs)) == (b.type, list(b.inputs), list(b.outputs))
        mine = {attr.name: attr for attr in a.attrs}
        their = {attr.name: attr for attr in b.attrs}
        if a.type in ("feed", "fetch"):
            assert mine["col"] == their["col"]
        else:
            assert mine == their


@pytest.mark.parametrize("name", list(MODELS))
def test_runs_like_paddle(name: str, prefixes: dict[str, Path]) -> None:
    paddle_model = MODELS[name]()
    model = qcc.load(prefixes[name])
    for seed in range(2):
        inputs = paddle_model.inputs(seed)
        for found, wanted in zip(model.run(inputs), paddle_model.run(inputs), strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("shape", [[-1, 4, 6, 6], [-1, 4, -1, -1]])
def test_sizes_that_paddle_computes_with_open_ones(shape: list[int], tmp_path: Path) -> None:
    """It multiplies -1 like any other size, and reads what comes out: [-1, 1, -2, -2], and [-4] for a norm's
    mean."""
    main, startup, scope = static.Program(), static.Program(), static.Scope()
    with static.scope_guard(scope), static.program_guard(main, startup):
        x = static.data("x", shape, "float32")
        y = F.pixel_shuffle(paddle.nn.InstanceNorm2D(4)(x), 2)
        executor = static.Executor()
        executor.run(startup)
        static.save_inference_model(str(tmp_path / "inference"), [x], [y], executor, program=main)
    live = qcc.from_program(main.clone(for_test=True), scope, ["x"], [y.name], for_test=True)
    image = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32)
    for model in (live, qcc.load(tmp_path)):
        assert min(size for var in model.graph.vars for size in var.shape) == -1
        assert model.run({"x": image})[0].shape == (2, 1, 12, 12)


def test_several_blocks_make_a_whole_again(prefixes: dict[str, Path]) -> None:
    model = qcc.load(prefixes["control_flow"])
    assert len(model.graph.shell.blocks) == 3
    assert model.to_program().num_blocks == 4
    pointers = [
        attr.block_idx
        for op in model.graph.to_proto().blocks[0].ops
        for attr in op.attrs
        if attr.type == AttrType.BLOCK
    ]
    assert pointers == [1, 2, 3]
    assert "inner" in model.weights


def test_order_of_feeds_and_fetches_is_that_of_their_columns(
    prefixes: dict[str, Path], tmp_path: Path
) -> None:
    def swap(program: ProgramProto) -> None:
        ops = [op for op in program.blocks[0].ops if op.type in ("feed", "fetch")]
        for op in ops:
            column = next(attr for attr in op.attrs if attr.name == "col")
            column.i = 1 - column.i

    model = qcc.load(changed(prefixes["two_feeds"], tmp_path, swap))
    assert model.feeds == ("extra", "image")
    assert model.fetches == tuple(reversed(two_feeds().saved_fetches))


def changed(prefix: Path, folder: Path, change: Callable[[ProgramProto], None]) -> Path:
    """A copy of a model whose program was edited."""
    program = ProgramProto.FromString(prefix.with_suffix(".pdmodel").read_bytes())
    change(program)
    (folder / "changed.pdmodel").write_bytes(program.SerializePartialToString())
    shutil.copy(prefix.with_suffix(".pdiparams"), folder / "changed.pdiparams")
    return folder / "changed"


def ops_of(program: ProgramProto, kind: str) -> list:  # type: ignore[type-arg]
    return [op for op in program.blocks[0].ops if op.type == kind]


def sub_block_of(program: ProgramProto) -> object:
    (loop,) = ops_of(program, "while")
    return next(attr for attr in loop.attrs if attr.type == AttrType.BLOCK)


def variable(program: ProgramProto, name: str):  # type: ignore[no-untyped-def]
    return next(var for var in program.blocks[0].vars if var.name == name)


def set_field(message: object, name: str, value: object) -> None:
    setattr(message, name, value)


def attribute(program: ProgramProto, op_type: str, name: str) -> Any:
    return next(attr for attr in ops_of(program, op_type)[0].attrs if attr.name == name)


CHANGES: dict[str, tuple[Callable[[ProgramProto], object], str]] = {
    "no blocks": (lambda p: p.ClearField("blocks"), "no blocks"),
    "no fetch": (
        lambda p: [p.blocks[0].ops.remove(op) for op in ops_of(p, "fetch")],
        "no fetch op, so it is not an inference program",
    ),
    "fetch column twice": (
        lambda p: p.blocks[0].ops.append(ops_of(p, "fetch")[0]),
        r"fetch op .* damaged or doubled",
    ),
    "feed columns with a hole": (
        lambda p: [set_field(ops_of(p, "feed")[0].attrs[0], "i", 7)],
        r"the feed ops have the columns \[0, 7\]",
    ),
    "fed twice": (
        lambda p: (
            ops_of(p, "feed")[0]
            .outputs[0]
            .arguments.__setitem__(0, ops_of(p, "feed")[1].outputs[0].arguments[0])
        ),
        "a variable is fed twice",
    ),
    "block index": (lambda p: set_field(p.blocks[1], "idx", 2), "it says that it is block 2"),
    "main block has a parent": (lambda p: set_field(p.blocks[0], "parent_idx", 0), "its parent is block 0"),
    "parent behind": (lambda p: set_field(p.blocks[1], "parent_idx", 3), "its parent is block 3"),
    "forward block": (lambda p: set_field(p.blocks[1], "forward_block_idx", 9), "forward block is block 9"),
    "sub-block out of range": (lambda p: set_field(sub_block_of(p), "block_idx", 9), "points to block 9"),
    "sub-block is the main block": (
        lambda p: set_field(sub_block_of(p), "block_idx", 0),
        "points to block 0",
    ),
    "sub-block of another": (
        lambda p: (set_field(p.blocks[3], "parent_idx", 2), set_field(sub_block_of(p), "block_idx", 3)),
        "points to block 3",
    ),
    "undeclared input": (
        lambda p: ops_of(p, "conv2d")[0].inputs[0].arguments.__setitem__(0, "nobody"),
        "reads 'nobody', which the program does not declare",
    ),
    "declared twice": (lambda p: p.blocks[0].vars.append(p.blocks[0].vars[0]), "is declared twice"),
    "negative size": (
        lambda p: variable(p, "inner").type.lod_tensor.tensor.dims.__setitem__(0, -5),
        r"'inner' has the shape \[-5",
    ),
    "no data type": (
        lambda p: variable(p, "inner").type.ClearField("lod_tensor"),
        "'inner' has no data type",
    ),
    "weight of another kind": (
        lambda p: (
            set_field(variable(p, "inner").type, "type", 8),
            variable(p, "inner").type.selected_rows.CopyFrom(variable(p, "inner").type.lod_tensor.tensor),
        ),
        "op conv2d has 'inner' in the slot .Filter., which is of kind SELECTED_ROWS",
    ),
    "empty name": (lambda p: set_field(variable(p, "inner"), "name", ""), "a variable has the name ''"),
    "no type": (lambda p: set_field(ops_of(p, "conv2d")[0], "type", ""), "an op has no type"),
    "missing fields": (lambda p: ops_of(p, "conv2d")[0].ClearField("type"), "required fields are missing"),
    "weight of another shape": (
        lambda p: variable(p, "inner").type.lod_tensor.tensor.dims.__setitem__(0, 5),
        r"changed.pdiparams: the value of variable 'inner' is float32\[4, 4, 3, 3\], but .* as float32\[5, 4",
    ),
    "weight of another dtype": (
        lambda p: set_field(variable(p, "inner").type.lod_tensor.tensor, "data_type", 6),
        r"'inner' is float32\[4, 4, 3, 3\], but .* as float64",
    ),
    "ten dimensions": (
        lambda p: variable(p, "inner").type.lod_tensor.tensor.dims.extend([1] * 6),
        "'inner' has the shape",
    ),
    "no required input": (
        lambda p: ops_of(p, "conv2d")[0].inputs[0].ClearField("arguments"),
        "op conv2d has no input 'Filter'",
    ),
    "an empty required input": (
        lambda p: ops_of(p, "conv2d")[0].inputs[0].arguments.__setitem__(0, "@EMPTY@"),
        "op conv2d has no input 'Filter'",
    ),
    "no input that the kernel reads": (
        lambda p: next(op for block in p.blocks for op in block.ops if op.type == "assign").ClearField(
            "inputs"
        ),
        "op assign has no input 'X'",
    ),
    "no required output": (
        lambda p: ops_of(p, "conv2d")[0].ClearField("outputs"),
        "op conv2d has no output 'Output'",
    ),
    "two inputs for one": (
        lambda p: ops_of(p, "conv2d")[0].inputs[0].arguments.append("inner"),
        "op conv2d has 2 variables in the slot 'Filter', which takes one",
    ),
    "a slot twice": (
        lambda p: ops_of(p, "conv2d")[0].inputs.append(ops_of(p, "conv2d")[0].inputs[0]),
        "op conv2d has a slot twice",
    ),
    "undeclared output": (
        lambda p: ops_of(p, "conv2d")[0].outputs[0].arguments.__setitem__(0, "nobody"),
        "op conv2d writes 'nobody', which the program does not declare",
    ),
    "an attribute of another type": (
        lambda p: (
            set_field(attribute(p, "conv2d", "groups"), "type", 2),
            set_field(attribute(p, "conv2d", "groups"), "s", "one"),
        ),
        "op conv2d has the attribute 'groups' of type STRING",
    ),
    "no groups": (
        lambda p: set_field(attribute(p, "conv2d", "groups"), "i", 0),
        r"op conv2d has the attribute 'groups' with the value \[0\]",
    ),
    "input that nobody makes": (
        lambda p: p.blocks[0].ops.remove(ops_of(p, "conv2d")[0]),
        "which no op produces and no feed provides",
    ),
}


@pytest.mark.parametrize("case", list(CHANGES))
def test_damage_is_named(case: str, prefixes: dict[str, Path], tmp_path: Path) -> None:
    change, complaint = CHANGES[case]
    path = changed(prefixes["control_flow"], tmp_path, lambda program: change(program) and None)
    with pytest.raises(ModelFormatError, match=complaint) as caught:
        qcc.load(path)
    assert "changed.pd" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\n", b"hello", b"\x80\x04.", b"\0" * 100], ids=repr)
def test_foreign_files(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "foreign.pdmodel").write_bytes(data)
    with pytest.raises(ModelFormatError, match=r"foreign.pdmodel is not a Paddle program"):
        qcc.load(tmp_path)


def test_names_that_are_no_text(prefixes: dict[str, Path], tmp_path: Path) -> None:
    prefix = changed(prefixes["two_feeds"], tmp_path, lambda program: None)
    path = prefix.with_suffix(".pdmodel")
    path.write_bytes(path.read_bytes().replace(b"conv2d_0.w_0", b"conv2d_0.w_\xff"))
    with pytest.raises(ModelFormatError, match="a name that is no text"):
        qcc.load(prefix)


def test_custom_ops_load(prefixes: dict[str, Path], tmp_path: Path) -> None:
    """An op that this Paddle does not know can be loaded and saved, though not run."""
    prefix = changed(
        prefixes["two_feeds"], tmp_path, lambda p: set_field(ops_of(p, "relu")[0], "type", "my_own_relu")
    )
    model = qcc.load(prefix)
    assert any(op.type == "my_own_relu" for op in model.graph.ops)
    assert any(op.type == "my_own_relu" for op in inference_program(model.graph).blocks[0].ops)


@pytest.mark.parametrize("name", list(MODELS))
def test_truncation(name: str, prefixes: dict[str, Path], tmp_path: Path) -> None:
    """Every cut is refused, but for those behind the last block, where only versions stand."""
    prefix = changed(prefixes[name], tmp_path, lambda program: None)
    path = prefix.with_suffix(".pdmodel")
    data = path.read_bytes()
    blocks = ProgramProto.FromString(data)
    blocks.ClearField("version")
    blocks.ClearField("op_version_map")
    end = blocks.ByteSize()
    for length in [*range(0, end, max(1, end // 150)), end - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ModelFormatError, match=r"changed.pdmodel"):
            qcc.load(prefix)


@pytest.mark.parametrize("name", list(MODELS))
def test_flipped_bytes_never_crash(name: str, prefixes: dict[str, Path], tmp_path: Path) -> None:
    """Either one sentence, or a graph that is whole, though it may be another one; and nothing else."""
    prefix = changed(prefixes[name], tmp_path, lambda program: None)
    path = prefix.with_suffix(".pdmodel")
    data = path.read_bytes()
    source = qcc.load(prefix).provenance.source
    rng = random.Random(name)
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 1, 4))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            model = qcc.load(prefix)
        except QccError as error:
            assert str(error).count("\n") == 0  # noqa: PT017 - the rest of the loop wants the models
            continue
        verify(model.graph, scales=False)
        assert model.copy().graph.to_proto() == model.graph.to_proto()
        assert damaged == data or model.provenance.source != source


def test_paddle_model_fixture_runs(prefixes: dict[str, Path]) -> None:
    """The loop and the branches do something: other numbers for other step counts."""
    paddle_model: PaddleModel = control_flow()
    inputs = paddle_model.inputs()
    once = paddle_model.run({**inputs, "steps": np.array([1], np.int64)})
    assert not np.array_equal(once[0], paddle_model.run(inputs)[0])
