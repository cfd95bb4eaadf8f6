"""Bringing the state of an earlier run to all processes: only the first has to see its checkpoints."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, fields

import numpy as np

from qcc.train.checkpoint import Position, TrainingState
from qcc.train.parallel.group import Group
from qcc.train.weights import write_arrays


def shared_state(group: Group, state: TrainingState | None) -> TrainingState | None:
    """Process 0's state, in every process."""
    if group.size == 1:
        return state
    facts, arrays = b"null", io.BytesIO()
    if group.rank == 0 and state is not None:
        names = [entry.name for entry in fields(state) if entry.name not in ("arrays", "position")]
        content = {name: getattr(state, name) for name in names}
        facts = json.dumps(content | {"position": asdict(state.position)}).encode()
        write_arrays(arrays, state.arrays)
    content, data = json.loads(group.share(facts)), group.share(arrays.getvalue())
    if content is None:
        return None
    position = Position(**content.pop("position"))
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return TrainingState(
            arrays={name: archive[name] for name in archive.files}, position=position, **content
        )
