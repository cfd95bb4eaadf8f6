"""TensorBoard files of a training run, and of pictures."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qcc.errors import MissingDependencyError, OutputError


class Board:
    """Is told the records of a `Journal`, and writes every fractional number of them as a scalar, by the
    record's kind.

    Every record is on the disk when `write` returns; tensorboardX's own SummaryWriter writes behind, from
    another thread. Raises MissingDependencyError when tensorboardX cannot be imported.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboardX import event_file_writer
            from tensorboardX.proto import event_pb2, summary_pb2
        except ImportError as error:
            raise MissingDependencyError(
                f"TensorBoard files need the package tensorboardX ({error}): pip install tensorboardX."
            ) from error
        self._folder = folder
        self._files, self._events, self._summaries = event_file_writer, event_pb2, summary_pb2
        self._writer: Any = None

    def is_new(self) -> bool:
        """Whether the folder holds no TensorBoard file yet."""
        return not any(self._folder.glob("events*"))

    def rewind(self, step: int) -> None:
        """Begin a file; TensorBoard hides what others of the folder tell about steps after `step`."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writer = self._files.EventsWriter(str(self._folder / "events"), f".{os.getpid()}.{step}")
        except OSError as error:
            raise OutputError(f"{self._folder} cannot be written: {error}.") from error
        log = self._events.SessionLog(status=self._events.SessionLog.START)
        self._write(step + 1, session_log=log)

    def write(self, step: int, record: Mapping[str, Any]) -> None:
        values = [
            self._summaries.Summary.Value(tag=f"{record['kind']}/{name}", simple_value=value)
            for name, value in record.items()
            if isinstance(value, float)
        ]
        self._write(step, summary=self._summaries.Summary(value=values))

    def show(self, picture: Path) -> None:
        """Show a PNG file, as the image `bbox/NAME`."""
        data = picture.read_bytes()
        width, height = struct.unpack(">II", data[16:24])
        image = self._summaries.Summary.Image(
            width=width, height=height, colorspace=3, encoded_image_string=data
        )
        value = self._summaries.Summary.Value(tag=f"bbox/{picture.stem}", image=image)
        self._write(0, summary=self._summaries.Summary(value=[value]))

    def close(self) -> None:
        """Leave the file that `rewind` has begun, if it came to that."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, step: int, **content: Any) -> None:
        self._writer.write_event(self._events.Event(step=step, wall_time=time.time(), **content))
        self._writer.flush()


@contextmanager
def board_in(folder: Path | None) -> Iterator[Board | None]:
    """A board, where one is wanted, that is closed at the end of the block."""
    if folder is None:
        yield None
        return
    board = Board(folder)
    try:
        yield board
    finally:
        board.close()
