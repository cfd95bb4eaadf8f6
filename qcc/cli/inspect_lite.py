"""`qcc inspect` for a Paddle Lite file."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qcc.backends.lite.describe import Description, Tensor

Section = tuple[str, list[tuple[str, str]]]


def is_lite(model: Path) -> bool:
    """Whether a path is a Paddle Lite file."""
    try:
        if not model.is_file():
            return False
    except OSError:  # what is wrong with the name is said where it is opened
        return False
    from qcc.backends.lite.file import is_naive_buffer
    from qcc.frontend.suffixes import LITE_SUFFIX

    # A file that claims to be one and is damaged is told so; one under another name is recognized.
    return model.suffix == LITE_SUFFIX or is_naive_buffer(model)


def sections(path: Path) -> list[Section]:
    """What the file holds, as titles and rows.  Raises ModelFormatError when it is damaged."""
    return list(_sections(_described(path)))


def as_json(path: Path) -> str:
    """What the file holds, as JSON.  Raises ModelFormatError when it is damaged."""
    return json.dumps(dataclasses.asdict(_described(path)), indent=2)


def _described(path: Path) -> Description:
    from qcc.backends.lite.describe import describe
    from qcc.backends.lite.file import parse_naive_buffer
    from qcc.backends.lite.guarantees import promised_rows

    parsed = parse_naive_buffer(path)
    return describe(parsed.buffer, parsed.complaints, promised_rows(path))


def _sections(found: Description) -> Iterator[Section]:
    size = sum(tensor.size or 0 for tensor in found.params)
    yield (
        "Paddle Lite model",
        [
            ("written for", f"Paddle Lite {found.lite_version}"),
            ("ops", f"{len(found.ops)}, {len(found.int8_ops)} of them in int8"),
            ("parameters", f"{len(found.params)}, {size} bytes"),
        ],
    )
    for title, tensors in (("Feeds", found.feeds), ("Fetches", found.fetches)):
        yield title, [_row(tensor) for tensor in tensors]
    counts = Counter(op.kernel for op in found.ops)
    precisions = {op.kernel: op.precision for op in found.ops}
    yield "Kernels", [(name, f"{count}, {precisions[name]}") for name, count in sorted(counts.items())]
    yield (
        "Ops",
        [
            (
                op.kernel + (f" + {op.activation}" if op.activation else ""),
                f"{_list(op.inputs)} -> {_list(op.outputs)}",
            )
            for op in found.ops
        ],
    )
    yield "Parameters", [_row(tensor) for tensor in found.params]
    yield "Wrong", [("file", complaint) for complaint in found.complaints]


def _row(tensor: Tensor) -> tuple[str, str]:
    size = "" if tensor.size is None else f", {tensor.size} bytes"
    return tensor.name, f"{tensor.dtype}{list(tensor.shape)}{size}"


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names)
