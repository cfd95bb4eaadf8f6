"""Calling code that somebody else has written, such as a metric."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qcc.errors import DataError, QccError
from qcc.failures import reason


@contextmanager
def code_of_users(what: str) -> Iterator[None]:
    """For a block that calls what somebody has given: what it raises is one sentence, a DataError. Errors of
    qcc stay what they are."""
    try:
        yield
    except QccError:
        raise
    # Whatever the code of somebody else may raise.
    except Exception as error:
        said = reason(error) if "\n" in str(error) else error
        raise DataError(f"{what} raised {type(error).__name__}: {said}".rstrip(".") + ".") from error
