"""The kernel table, and the choice from it."""

from __future__ import annotations

import importlib.util
import mmap
import re
from pathlib import Path
from typing import Any

import pytest
from lite_case import build_model, floats, static

from qcc._paddle import paddle
from qcc.backends.lite.passes.kernels import LiteKernels
from qcc.errors import PassError
from qcc.passes.manager import PassManager
from qcc.targets.lite import ARCHS, alternatives, find_kernel, kernel_table, kernels_for, pick_kernel


def test_table() -> None:
    kernels = [kernel for found in kernel_table().values() for kernel in found]
    assert len(kernels) == 650
    assert len({kernel.identifier for kernel in kernels}) == len(kernels)
    assert {kernel.target for kernel in kernels} == {"arm", "x86", "host"}


@pytest.mark.parametrize(
    ("op_type", "arch", "inputs", "outputs", "identifier"),
    [
        (
            "conv2d",
            "arm",
            {"Input": ["float"], "Filter": ["float"]},
            {"Output": ["float"]},
            "conv2d/def/4/1/1",
        ),
        (
            "conv2d",
            "arm",
            {"Input": ["int8"], "Filter": ["int8"], "Bias": ["float"]},
            {"Output": ["int8"]},
            "conv2d/int8_out/4/2/1",
        ),
        ("fc", "arm", {"Input": ["int8"], "W": ["int8"]}, {"Out": ["float"]}, "fc/fp32out/4/2/1"),
        ("fc", "x86", {"Input": ["int8"], "W": ["int8"]}, {"Out": ["float"]}, "fc/fp32_out/2/2/1"),
        ("concat", "arm", {"X": ["int64", "int64"]}, {"Out": ["int64"]}, "concat/def/4/4/1"),
        ("concat", "x86", {"X": ["int64", "int64"]}, {"Out": ["int64"]}, "concat/int64/2/1/1"),
        ("hard_sigmoid", "x86", {"X": ["float"]}, {"Out": ["float"]}, "hard_sigmoid/def/1/1/1"),
        ("scale", "arm", {"X": ["int32"]}, {"Out": ["int32"]}, "scale/int32/4/1/1"),
        ("slice", "arm", {"Input": ["float"]}, {"Out": ["float"]}, "slice/def/4/1/1"),
    ],
)
def test_pick(op_type, arch, inputs, outputs, identifier) -> None:  # type: ignore[no-untyped-def]
    kernel = pick_kernel(op_type, arch, inputs, outputs)
    assert kernel is not None
    assert kernel.identifier == identifier
    assert find_kernel(identifier) == kernel


def test_nothing_fits() -> None:
    assert pick_kernel("relu", "arm", {"X": ["int64"]}, {"Out": ["int64"]}) is None
    assert pick_kernel("no_such_op", "arm", {}, {}) is None
    assert find_kernel("relu/other/4/1/1") is None
    assert find_kernel("") is None


def test_alternatives() -> None:
    assert alternatives("softsign", "arm") == "there is one on x86"
    assert alternatives("expand_as_v2", "x86") == "the nearest op with one is expand_v2"
    assert alternatives("relu", "x86") == "its kernels take X float"
    assert alternatives("quux", "x86") == "no op with a kernel is like it"


def test_own_kernels_before_those_for_any_cpu() -> None:
    for arch in ARCHS:
        for op_type in kernel_table():
            targets = [kernel.target for kernel in kernels_for(op_type, arch)]
            assert targets == sorted(targets, key=lambda target: target == "host")


@pytest.mark.lite
def test_the_library_has_every_kernel() -> None:
    """The library exports a function per registration, by which a program pulls the kernel in."""
    spec = importlib.util.find_spec("paddlelite")
    assert spec is not None
    assert spec.origin is not None
    spelled = {
        "arm": "kARM",
        "x86": "kX86",
        "host": "kHost",
        "float": "kFloat",
        "int8": "kInt8",
        "int32": "kInt32",
        "int64": "kInt64",
        "any": "kAny",
        "fp16": "kFP16",
        "nchw": "kNCHW",
    }
    with Path(spec.origin).with_name("lite.so").open("rb") as stream:
        library = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        symbols = {match[1].decode() for match in re.finditer(rb"_Z\d+touch_(\w+)v\0", library)}
        library.close()
    missing = [
        kernel.identifier
        for found in kernel_table().values()
        for kernel in found
        if kernel.op
        + "".join(spelled[part] for part in (kernel.target, kernel.precision, kernel.layout))
        + kernel.alias
        not in symbols
    ]
    assert missing == []


def test_a_branch_is_named() -> None:
    def branching(x: Any) -> Any:
        return static.nn.cond(paddle.mean(x) > 0, lambda: x * 2, lambda: x + 1)

    model = build_model(branching, (floats(2, 3),))
    with pytest.raises(PassError, match=r"Op\(conditional_block -> .*\) has a block of its own, a loop or a"):
        PassManager((LiteKernels(),)).run(model)
