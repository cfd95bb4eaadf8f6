"""Text files, and lists in them: one entry a line."""

from __future__ import annotations

from pathlib import Path

from qcc.errors import DataError, QccError
from qcc.inputs import read_input

_LARGEST = 1 << 30


def read_text(path: Path, most: int, error_type: type[QccError], purpose: str = "") -> str:
    """The text of a UTF-8 file of at most `most` bytes; a byte order mark is left out.

    Raises an error of this type: for a missing file with `purpose`, as in "it lists the images".
    """
    try:
        return read_input(path, most).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise error_type(f"{path} does not exist{purpose and f'; {purpose}'}.") from error
    except OSError as error:
        raise error_type(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise error_type(f"{path} is no text in UTF-8{_hint(error.object)}.") from error


def read_lines(path: Path, purpose: str) -> list[tuple[str, str]]:
    """The lines of a UTF-8 file that hold something, each with its place, "FILE, line N".

    A byte order mark is left out, and lines may end as on Windows. Raises DataError: for a missing file with
    `purpose`, as in "it lists the images".
    """
    text = read_text(path, _LARGEST, DataError, purpose)
    if "\0" in text:
        raise DataError(f"{path} is no text: it holds a NUL.")
    lines = enumerate(text.splitlines(), 1)
    return [(f"{path}, line {number}", line.strip()) for number, line in lines if line.strip()]


def _hint(data: bytes) -> str:
    for encoding in ("gbk", "utf-16"):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return f"; it can be read as {encoding.upper()}, so `iconv -f {encoding} -t utf-8` makes it one"
    return ""
