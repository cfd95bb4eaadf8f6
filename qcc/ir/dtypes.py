"""Paddle's data types beside numpy's: one table for graphs, weights and files."""

from __future__ import annotations

import numpy as np

from qcc._paddle import VarType
from qcc.errors import ModelFormatError

# (name in qcc's texts, Paddle's enumerator, numpy's dtype); bfloat16 has no numpy dtype and is
# carried as its 16 bits.
_ROWS = (
    ("bool", VarType.BOOL, np.bool_),
    ("uint8", VarType.UINT8, np.uint8),
    ("int8", VarType.INT8, np.int8),
    ("int16", VarType.INT16, np.int16),
    ("int32", VarType.INT32, np.int32),
    ("int64", VarType.INT64, np.int64),
    ("float16", VarType.FP16, np.float16),
    ("bfloat16", VarType.BF16, np.uint16),
    ("float32", VarType.FP32, np.float32),
    ("float64", VarType.FP64, np.float64),
    ("complex64", VarType.COMPLEX64, np.complex64),
    ("complex128", VarType.COMPLEX128, np.complex128),
)
_BY_NAME = {name: number for name, number, _ in _ROWS}
_NAME = {int(number): name for name, number, _ in _ROWS}
_NUMPY = {int(number): np.dtype(dtype) for _, number, dtype in _ROWS}


def dtype_name(number: int) -> str:
    """`VarType.FP32` -> "float32".  Raises ModelFormatError for a number that Paddle 2.6 lacks."""
    try:
        return _NAME[int(number)]
    except KeyError:
        raise ModelFormatError(f"data type number {int(number)} is not one of Paddle's.") from None


def dtype_number(name: str) -> VarType:
    """The inverse of `dtype_name`."""
    try:
        return _BY_NAME[name]
    except KeyError:
        known = ", ".join(_BY_NAME)
        raise ModelFormatError(f"data type {name!r} is not one of {known}.") from None


def numpy_dtype(number: int) -> np.dtype:
    """The numpy dtype in which qcc holds values of this Paddle type."""
    dtype_name(number)
    return _NUMPY[int(number)]
