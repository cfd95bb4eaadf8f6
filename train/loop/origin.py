"""What a folder of checkpoints was begun with, so that nothing else goes on with it."""

from __future__ import annotations

from typing import Any

from qcc.errors import CheckpointError
from qcc.files import write_json
from qcc.train.loop.checkpoint import CheckpointStore, read_json
from qcc.train.loop.differences import changed_settings

_FILE = "origin.json"


def check_origin(store: CheckpointStore, facts: dict[str, Any]) -> None:
    """Note in a folder without checkpoints what training starts from, as JSON data. The store is locked.

    Raises CheckpointError when there are checkpoints, and they are those of another training.
    """
    noted = store.root / _FILE
    if not store.started():
        write_json(noted, facts)
        return
    found = read_json(noted) if noted.exists() else {}
    if differences := changed_settings(found, facts):
        raise CheckpointError(
            f"{store.root} has the checkpoints of another training ({'; '.join(differences)}): give another"
            " folder, or remove this one to start anew."
        )
