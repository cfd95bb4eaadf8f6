"""Programs as older Paddles wrote them: without the attributes that these did not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paddle.base.layer_helper import LayerHelper
from saved_models import PaddleModel, build, static

import qcc
from qcc._paddle import MAJOR, core, paddle
from qcc.backends.onnx.translate import to_onnx
from qcc.backends.program_file import attr_value
from qcc.errors import ModelFormatError
from qcc.ir.program import AttrProto, OpProto, ProgramProto, drop_attr
from qcc.ir.text.usual import BOOKKEEPING

# What `paddle.fluid` called it.
_ANY = "AnyLayout"


def network() -> tuple[list[Any], list[Any]]:
    """Ops with attributes that came to be after Paddle 1.0."""
    image = static.data("image", [-1, 3, 8, 8])
    hidden = paddle.nn.functional.hardswish(static.nn.conv2d(image, 4, 3, padding=1))
    hidden = static.nn.conv2d(hidden, 4, 3, groups=4, use_cudnn=False)
    hidden = static.nn.conv2d_transpose(hidden, 4, filter_size=2, stride=2)
    hidden = paddle.nn.functional.max_pool2d(hidden, 2, ceil_mode=True)
    return [image], [paddle.nn.functional.softmax(hidden, axis=1)]


def age(op: OpProto) -> None:
    """Take off an op all that is at Paddle's default, and name layouts as it was done."""
    defaults = core.get_op_attrs_default_value(op.type.encode())
    kept = []
    for attr in op.attrs:
        if attr.name == "data_format":
            attr.s = _ANY
        if attr.name in BOOKKEEPING or attr.name not in defaults or attr_value(attr) != defaults[attr.name]:
            kept.append(AttrProto.FromString(attr.SerializeToString()))
    del op.attrs[:]
    op.attrs.extend(kept)


@pytest.fixture(scope="module")
def paddle_model() -> PaddleModel:
    return build(network)


@pytest.fixture(scope="module")
def old(paddle_model: PaddleModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = paddle_model.save_separate(tmp_path_factory.mktemp("old"))
    program = ProgramProto.FromString((folder / "__model__").read_bytes())
    program.version.version = 1_005_000
    program.ClearField("op_version_map")
    for op in program.blocks[0].ops:
        age(op)
    (folder / "__model__").write_bytes(program.SerializeToString())
    return folder


def test_what_is_left_out_is_stated_at_its_default(old: Path) -> None:
    model = qcc.load(old)

    ops = {op.type: op for op in model.graph.ops}
    laid_out = ("conv2d", "depthwise_conv2d", "conv2d_transpose", "pool2d")
    assert [ops[kind].attr("data_format") for kind in laid_out] == ["NCHW"] * 4
    assert ops["hard_swish"].attr("scale") == 6.0
    assert list(ops["depthwise_conv2d"].attr("strides")) == [1, 1]
    assert ops["conv2d"].attr("padding_algorithm") == "EXPLICIT"


def test_it_computes_the_same(old: Path, paddle_model: PaddleModel) -> None:
    inputs = paddle_model.inputs()

    np.testing.assert_array_equal(qcc.load(old).run(inputs)[0], paddle_model.run(inputs)[0])


def test_loaded_and_saved_again_it_is_the_same(old: Path, tmp_path: Path) -> None:
    qcc.save(qcc.load(old), tmp_path / "once")
    qcc.save(qcc.load(tmp_path / "once"), tmp_path / "twice")

    once, twice = (tmp_path / name / "model.pdmodel" for name in ("once", "twice"))
    assert once.read_bytes() == twice.read_bytes()


def test_what_translates_into_onnx_finds_the_attributes_that_it_reads(old: Path) -> None:
    pytest.importorskip("paddle2onnx")

    assert {node.op_type for node in to_onnx(qcc.load(old).graph, "int8").graph.node} >= {"Conv", "MaxPool"}


@pytest.mark.parametrize(
    ("kind", "attrs"), [("flatten", {"axis": 1}), ("squeeze", {"axes": [2, 3]}), ("unsqueeze", {"axes": [1]})]
)
def test_an_op_that_has_another_name_by_now_gets_it(kind: str, attrs: dict[str, Any], tmp_path: Path) -> None:
    def net() -> tuple[list[Any], list[Any]]:
        image = static.data("image", [-1, 3, 1, 1])
        hidden = static.nn.conv2d(image, 4, 1)
        helper = LayerHelper("moved")
        moved, shape = (helper.create_variable_for_type_inference("float32") for _ in range(2))
        outputs = {"Out": moved, "XShape": shape}
        helper.append_op(type=f"{kind}2", inputs={"X": hidden}, outputs=outputs, attrs=attrs)
        return [image], [paddle.nn.functional.relu(moved)]

    today = build(net)
    folder = today.save_separate(tmp_path)
    program = ProgramProto.FromString((folder / "__model__").read_bytes())
    (op,) = (op for op in program.blocks[0].ops if op.type == f"{kind}2")
    op.type = kind
    outputs = [type(slot).FromString(slot.SerializeToString()) for slot in op.outputs]
    del op.outputs[:]
    op.outputs.extend(slot for slot in outputs if slot.parameter == "Out")
    (folder / "__model__").write_bytes(program.SerializeToString())

    model = qcc.load(folder)

    inputs = today.inputs()
    np.testing.assert_array_equal(model.run(inputs)[0], today.run(inputs)[0])


def test_ops_of_passes_are_left_as_they_are(old: Path, tmp_path: Path) -> None:
    program = ProgramProto.FromString((old / "__model__").read_bytes())
    for op in program.blocks[0].ops:
        drop_attr(op, "op_role_var")
    for path in old.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "__model__").write_bytes(program.SerializeToString())

    conv = next(op for op in qcc.load(tmp_path).graph.ops if op.type == "conv2d")
    assert conv.attr("padding_algorithm") is None


def backwards() -> tuple[list[Any], list[Any]]:
    image = static.data("image", [-1, 3, 8, 8])
    hidden = static.nn.conv2d(image, 4, 3, padding=1)
    return [image], [hidden[:, ::-1], hidden[:, :, 6:0:-2, ::-3], hidden[:, :, 1:5:2, -2:-8:-1]]


def test_ends_of_slices_are_those_of_the_paddle_that_wrote_them(tmp_path: Path) -> None:
    """`x[::-1]` ends at -1 for Paddle 2, and far in front for Paddle 3."""
    image = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    model = build(backwards)
    folder = model.save_separate(tmp_path / "here")
    wanted = qcc.load(folder).run({"image": image})
    of_another_paddle(folder)
    assert wanted[0].shape == (2, 4, 8, 8)
    loaded = qcc.load(folder)
    # What is saved of it is not recounted once more.
    qcc.save(loaded, tmp_path / "again")
    for again in (loaded, qcc.load(tmp_path / "again")):
        for found, one in zip(again.run({"image": image}), wanted, strict=True):
            np.testing.assert_array_equal(found, one)


def of_another_paddle(folder: Path) -> None:
    """Write the program in a folder as the other Paddle, 2 or 3, does."""
    program = ProgramProto.FromString((folder / "__model__").read_bytes())
    here, there = (-1, -(2**31)) if MAJOR < 3 else (-(2**31), -1)
    program.version.version = 3_003_001 if MAJOR < 3 else 2_006_002
    for op in (op for block in program.blocks for op in block.ops if op.type == "strided_slice"):
        attrs = {attr.name: attr for attr in op.attrs}
        for place, (end, stride) in enumerate(zip(attrs["ends"].ints, attrs["strides"].ints, strict=True)):
            if stride < 0 and end == here:
                attrs["ends"].ints[place] = there
    (folder / "__model__").write_bytes(program.SerializeToString())


def backwards_in_a_branch() -> tuple[list[Any], list[Any]]:
    image = static.data("image", [2, 3, 8, 8])
    hidden = static.nn.conv2d(image, 4, 1)
    turned = static.nn.cond(paddle.mean(image) > 9, lambda: hidden * 2, lambda: hidden[:, :, ::-1] * 1)
    return [image], [hidden, turned]


def test_a_branch_slices_what_stands_outside_of_it(tmp_path: Path) -> None:
    folder = build(backwards_in_a_branch).save_separate(tmp_path)
    of_another_paddle(folder)
    image = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    hidden, turned = qcc.load(folder).run({"image": image})
    np.testing.assert_array_equal(turned, hidden[:, :, ::-1])


@pytest.mark.parametrize("by", ["ends", "strides"])
def test_ends_that_only_a_run_knows_cannot_be_counted_otherwise(by: str, tmp_path: Path) -> None:
    def net() -> tuple[list[Any], list[Any]]:
        image = static.data("image", [2, 3, 8, 8])
        given = {"ends": [-9], "strides": [-1], by: [paddle.shape(image)[0] * 0 - 1]}
        return [image], [paddle.strided_slice(static.nn.conv2d(image, 4, 1), [2], [7], **given)]

    folder = build(net).save_separate(tmp_path)
    of_another_paddle(folder)
    with pytest.raises(ModelFormatError, match="__model__: a strided_slice takes its strides, or the ends"):
        qcc.load(folder)


def test_numbers_of_a_slice_that_do_not_belong_together(tmp_path: Path) -> None:
    folder = build(backwards_in_a_branch).save_separate(tmp_path)
    of_another_paddle(folder)
    program = ProgramProto.FromString((folder / "__model__").read_bytes())
    (op,) = (op for block in program.blocks for op in block.ops if op.type == "strided_slice")
    next(attr for attr in op.attrs if attr.name == "axes").ints[:] = [7]
    (folder / "__model__").write_bytes(program.SerializeToString())
    with pytest.raises(ModelFormatError, match=r"a strided_slice of \[2, 4, 8, 8\] has the axes \[7\], the"):
        qcc.load(folder)
