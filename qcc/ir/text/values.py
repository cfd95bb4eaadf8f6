"""Values of weights as text: a digest, or the elements themselves where they are few."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from qcc.ir.dtypes import numpy_dtype
from qcc.ir.program import VarProto
from qcc.ir.text.attributes import float32_text, float64_text, parse_list, parse_number, parse_value
from qcc.ir.text.lexer import DIGEST, NAME, Lexer
from qcc.ir.text.variables import tensor_desc

INLINE_ELEMENTS = 8
"""A value of at most so many elements is written out."""

_DIGEST_DIGITS = 16
_INLINE_DTYPES = ("bool", "int8", "uint8", "int16", "int32", "int64", "float16", "float32", "float64")


def digest(array: np.ndarray) -> str:
    """Start of the SHA-256 of an array's elements, as bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:_DIGEST_DIGITS]


def declared_type(var: VarProto | None) -> tuple[np.dtype | None, tuple[int, ...]]:
    """The dtype and shape that a value of this variable has unless the text says otherwise."""
    tensor = None if var is None else tensor_desc(var)
    if tensor is None:
        return None, ()
    return numpy_dtype(tensor.data_type), tuple(tensor.dims)


def weight_text(array: np.ndarray, var: VarProto | None) -> str:
    """What stands after `=`; dtype and shape too where they are not the declared ones."""
    dtype, shape = declared_type(var)
    # A dtype equals None when it is numpy's default one.
    as_declared = dtype is not None and (dtype, shape) == (array.dtype, array.shape)
    prefix = "" if as_declared else f"{array.dtype}{list(array.shape)} "
    return prefix + (_inline_text(array) or f"sha256:{digest(array)}")


def _inline_text(array: np.ndarray) -> str | None:
    if array.size > INLINE_ELEMENTS or str(array.dtype) not in _INLINE_DTYPES or np.isnan(array).any():
        return None
    return f"[{', '.join(_element_text(element) for element in array.ravel())}]"


def _element_text(element: np.generic) -> str:
    value = element.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(element, np.float64):
        return float64_text(value)
    return float32_text(value) if isinstance(value, float) else str(value)


def parse_weight(
    lexer: Lexer, name: str, var: VarProto | None, given: Mapping[str, np.ndarray] | None
) -> np.ndarray | None:
    """The value after `=`; None for a digest when no weights are given.

    Besides what `weight_text` prints, a text written by hand may say `full(0.5)`, or
    `uniform(seed=1, low=-1.0, high=1.0)`: float64 draws of `numpy.random.default_rng(seed)`, cast.
    """
    dtype, shape = declared_type(var)
    if lexer.kind == NAME and lexer.value not in _GENERATORS:
        dtype, shape = _parse_explicit_type(lexer)
    start = lexer.start
    if lexer.kind == DIGEST:
        text = lexer.expect_kind(DIGEST, "a digest")
        return None if given is None else _given_value(lexer, start, text, name, given)
    if dtype is None or any(size < 0 for size in shape):
        raise lexer.wrong(
            f"a value needs a dtype and a shape, and weight '{name}' does not declare both", start
        )
    if lexer.at("["):
        return _parse_elements(lexer, dtype, shape)
    generator = _GENERATORS.get(lexer.value)
    if generator is None:
        raise lexer.unexpected("a value: [elements], sha256:digest, uniform(...) or full(...)")
    lexer.advance()
    try:
        return generator(lexer, dtype, shape)
    except OverflowError:
        raise lexer.wrong(f"the value does not fit {dtype}", start) from None


def _given_value(
    lexer: Lexer, start: int, text: str, name: str, given: Mapping[str, np.ndarray]
) -> np.ndarray:
    expected = text.removeprefix("sha256:")
    if name not in given:
        raise lexer.wrong(f"weight '{name}' is not among the weights given", start)
    array = np.asarray(given[name])
    if digest(array) != expected:
        raise lexer.wrong(
            f"weight '{name}' has the digest {expected} here, but the array given has {digest(array)}", start
        )
    return array


def _parse_explicit_type(lexer: Lexer) -> tuple[np.dtype, tuple[int, ...]]:
    start = lexer.start
    word = lexer.expect_kind(NAME, "a dtype")
    try:
        dtype = np.dtype(word)
    except TypeError:
        raise lexer.error("a dtype such as float32", f"'{word}'", start) from None
    return dtype, tuple(parse_list(lexer, lambda lexer: int(parse_number(lexer))))


def _parse_elements(lexer: Lexer, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    start = lexer.start
    elements = [value for _, value in parse_list(lexer, parse_value)]
    if len(elements) != int(np.prod(shape)):
        raise lexer.wrong(f"{len(elements)} elements do not fill the shape {list(shape)}", start)
    wanted = {"b": bool, "i": int, "u": int}.get(dtype.kind, float)
    try:
        if not all(type(element) in (wanted, int if wanted is float else wanted) for element in elements):
            raise ValueError
        return np.array(elements, dtype=object).astype(dtype).reshape(shape)
    except (ValueError, OverflowError, TypeError):
        raise lexer.wrong(f"the elements are not all values of {dtype}", start) from None


def _parse_uniform(lexer: Lexer, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    start = lexer.start
    options = {"seed": 0.0, "low": 0.0, "high": 1.0}

    def option(lexer: Lexer) -> None:
        at = lexer.start
        key = lexer.expect_kind(NAME, "seed, low or high")
        if key not in options:
            raise lexer.error("seed, low or high", f"'{key}'", at)
        lexer.expect("=")
        options[key] = parse_number(lexer)

    parse_list(lexer, option, "(", ")")
    if dtype.kind != "f" or options["seed"] < 0:
        raise lexer.wrong("uniform(...) makes values of float dtypes from a seed of at least 0", start)
    generator = np.random.default_rng(int(options["seed"]))
    return generator.uniform(options["low"], options["high"], shape).astype(dtype)


def _parse_full(lexer: Lexer, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    lexer.expect("(")
    value = parse_number(lexer)
    lexer.expect(")")
    return np.full(shape, value, dtype)


_GENERATORS = {"uniform": _parse_uniform, "full": _parse_full}
