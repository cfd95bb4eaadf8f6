"""Files of others: only regular ones are opened, never a pipe or a device, and they are read with a bound."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

_LITTLE = 1 << 16


def open_input(path: Path) -> BufferedReader:
    """A regular file, or a link to one, for reading.

    Raises OSError, with a reason in `strerror`, when it cannot be opened or is something else, at once even
    for a pipe that nobody writes to.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        reason = os.strerror(errno.EISDIR) if stat.S_ISDIR(mode) else "it is no regular file"
        raise OSError(errno.EINVAL, reason, str(path))
    return os.fdopen(descriptor, "rb")


def why(error: Exception) -> str:
    """The reason that an error gives, without the number and the path that an OSError's text has."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def read_input(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.  Raises OSError as `open_input` does."""
    with open_input(path) as stream:
        # As much as the file says that it has, and a little for those of the system, which say 0.
        data = stream.read(min(max(os.fstat(stream.fileno()).st_size, _LITTLE), most) + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes", str(path))
    return data
