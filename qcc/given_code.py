"""Calling code that somebody else has written, such as a metric."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qcc.errors import DataError, QccError
from qcc.failures import reason

_MOST_LINES = 4


@contextmanager
def code_of_users(what: str, kind: type[QccError] = DataError) -> Iterator[None]:
    """For a block that calls what somebody has given: what it raises is one sentence, an error of this kind.
    Errors of qcc stay what they are."""
    try:
        yield
    except QccError:
        raise
    # Whatever the code of somebody else may raise. Where it calls sys.exit(0), nothing has gone well.
    except (Exception, SystemExit) as error:
        raise kind(f"{what} raised {type(error).__name__}: {_said(error)}".rstrip(".: ") + ".") from error


def _said(error: BaseException) -> str:
    """What an error says, in one line; of Paddle's, which hold a trace, the one that tells."""
    lines = str(error).splitlines()
    return reason(error) if len(lines) > _MOST_LINES else " ".join(line.strip() for line in lines)
