"""The tensor stream: what Paddle writes is read, what was not written by it is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from paddle.base.proto import framework_pb2

from qcc._paddle import VarType, paddle
from qcc.errors import ModelFormatError
from qcc.ir.dtypes import dtype_name, dtype_number, numpy_dtype
from qcc.ir.tensor_stream import TensorReader, write_tensor

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")

# Each example writes its own file over the last one's.
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def write(path: Path, *tensors: tuple[np.ndarray, int]) -> bytes:
    with path.open("wb") as stream:
        for array, dtype in tensors:
            write_tensor(stream, array, dtype)
    return path.read_bytes()


def read(path: Path, *names: str) -> list[tuple[str, np.ndarray]]:
    found = []
    with TensorReader(path) as reader:
        for name in names:
            header = reader.header(name)
            found.append((dtype_name(header.dtype), reader.value(name, header)))
        reader.finish()
    return found


def arrays(dtype: str) -> st.SearchStrategy[np.ndarray]:
    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
    return hnp.arrays(numpy_dtype(int(dtype_number(dtype))), shapes)


@same_folder
@given(st.sampled_from(DTYPES).flatmap(lambda dtype: st.tuples(st.just(dtype), arrays(dtype))))
def test_round_trip(tmp_path: Path, case: tuple[str, np.ndarray]) -> None:
    dtype, array = case
    path = tmp_path / "stream"
    write(path, (array, int(dtype_number(dtype))), (array, int(dtype_number(dtype))))
    for name, value in read(path, "first", "second"):
        assert name == dtype
        assert value.dtype == array.dtype
        assert value.shape == array.shape
        assert value.tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64"])
def test_same_bytes_as_paddle(dtype: str, tmp_path: Path) -> None:
    static = paddle.static
    shapes = {"a": (2, 3), "b": (), "c": (4, 1, 2)}
    program, scope = static.Program(), static.Scope()
    rng = np.random.default_rng(0)
    values = {}
    for name, shape in shapes.items():
        values[name] = rng.integers(0, 2, shape).astype(dtype)
        program.global_block().create_var(name=name, shape=shape, dtype=dtype, persistable=True)
        scope.var(name).get_tensor().set(values[name], paddle.CPUPlace())
    with static.scope_guard(scope):
        static.save_vars(
            static.Executor(),
            str(tmp_path),
            main_program=program,
            predicate=lambda _: True,
            filename="paddle",
        )
    ours = write(tmp_path / "ours", *((values[name], int(dtype_number(dtype))) for name in sorted(shapes)))
    assert ours == (tmp_path / "paddle").read_bytes()
    for name, (_, value) in zip(sorted(shapes), read(tmp_path / "paddle", *sorted(shapes)), strict=True):
        np.testing.assert_array_equal(value, values[name])


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file of two tensors."""
    rng = np.random.default_rng(0)
    write(
        tmp_path / "weights",
        (rng.standard_normal((2, 3)).astype(np.float32), VarType.FP32),
        (np.arange(4), VarType.INT64),
    )
    return tmp_path / "weights"


def test_cut_off_anywhere(weights: Path) -> None:
    data = weights.read_bytes()
    for length in range(len(data)):
        weights.write_bytes(data[:length])
        with pytest.raises(ModelFormatError, match=r"weights: the value of variable '(one|two)'"):
            read(weights, "one", "two")


def test_something_follows(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(ModelFormatError, match="weights: 1 bytes follow the last variable"):
        read(weights, "one", "two")
    with pytest.raises(ModelFormatError, match="bytes follow the last variable"):
        read(weights, "one")


def test_flipped_bits_are_refused_or_show(weights: Path) -> None:
    """A changed bit of a header is an error or another shape or dtype; one of a value changes that value."""
    data = weights.read_bytes()
    original = read(weights, "one", "two")
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            weights.write_bytes(changed)
            try:
                found = read(weights, "one", "two")
            except ModelFormatError:
                continue
            assert [(name, a.shape, a.tobytes()) for name, a in found] != [
                (name, a.shape, a.tobytes()) for name, a in original
            ]


@same_folder
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "noise"
    path.write_bytes(data)
    with pytest.raises(ModelFormatError, match="noise"):
        read(path, "one")


@same_folder
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_any_description(tmp_path: Path, description: bytes, values: bytes) -> None:
    """Behind a good beginning, a description of any bytes is refused or fits the values after it."""
    path = tmp_path / "noise"
    path.write_bytes(struct.pack("<IQIi", 0, 0, 0, len(description)) + description + values)
    try:
        ((_, value),) = read(path, "one")
    except ModelFormatError:
        return
    assert value.nbytes == len(values)


def with_description(path: Path, values: bytes = b"", **fields: object) -> Path:
    proto = framework_pb2.VarType.TensorDesc(**fields)
    description = proto.SerializePartialToString()
    path.write_bytes(struct.pack("<IQIi", 0, 0, 0, len(description)) + description + values)
    return path


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"data_type": VarType.FP32, "dims": [1 << 60, 1 << 60]}, "needs .* bytes for shape"),
        ({"data_type": VarType.FP32, "dims": [1 << 40]}, "needs 4398046511104 bytes"),
        ({"data_type": VarType.FP32, "dims": [0, 1 << 62]}, "which no array has"),
        ({"data_type": VarType.FP32, "dims": [1] * 33}, "which no array has"),
        ({"data_type": VarType.FP32, "dims": [-1, 4]}, "negative size -1"),
        ({"data_type": VarType.RAW, "dims": [1]}, "is not one of Paddle's"),
        ({"dims": [1]}, "without a data type"),
    ],
)
def test_hostile_headers(fields: dict[str, object], complaint: str, tmp_path: Path) -> None:
    fields = {key: int(value) if key == "data_type" else value for key, value in fields.items()}
    with pytest.raises(ModelFormatError, match=complaint):
        read(with_description(tmp_path / "hostile", b"\0" * 8, **fields), "one")


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        (struct.pack("<IQIi", 1, 0, 0, 2), "starts with version 1"),
        (struct.pack("<IQIi", 0, 2, 0, 2), "has 2 LoD levels"),
        (struct.pack("<IQIi", 0, 0, 3, 2), "has tensor version 3"),
        (struct.pack("<IQIi", 0, 0, 0, -1), "a description of -1 bytes"),
        (struct.pack("<IQIi", 0, 0, 0, 1 << 30), "a description of 1073741824 bytes"),
    ],
)
def test_hostile_beginnings(head: bytes, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "hostile").write_bytes(head + b"\x08\x05")
    with pytest.raises(ModelFormatError, match=complaint):
        read(tmp_path / "hostile", "one")


def test_bytes_that_are_no_booleans(tmp_path: Path) -> None:
    path = with_description(tmp_path / "b", b"\x00\x02", data_type=int(VarType.BOOL), dims=[2])
    with pytest.raises(ModelFormatError, match="is boolean but holds the byte 2"):
        read(path, "one")


def test_values_are_not_shared_with_the_file(weights: Path) -> None:
    ((_, value), _) = read(weights, "one", "two")
    weights.write_bytes(b"")
    assert value.flags.aligned
    assert np.isfinite(value).all()
