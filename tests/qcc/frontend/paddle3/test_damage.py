"""Programs of Paddle 3.3.1 with random damage: read, or refused in a sentence, and never anything else."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from paddle3_cases import cases
from paddle3_programs import HERE

from qcc.errors import ModelFormatError
from qcc.frontend.paddle3 import convert
from qcc.frontend.paddle3.read import parse

JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 2, 7, 1 << 31, 1 << 62, 1 << 63, -(1 << 63), 1.5, -0.5, "", "x", "float32",
    [], [0], [1, 2, 3], {}, {"%": 1}, {"#": "0.a_i32", "D": 1}, {"#": "0.a_f64", "VD": "NAN"}, {"#": "NULL"},
    {"#": "1.a_dtype", "D": "float8_e4m3fn"}, {"#": "0.t_vec", "D": []}, {"#": "1.a_intarray", "D": [-5, 3]},
    [{"#": "0.a_str", "D": "q"}],
]  # fmt: skip


def places(thing: Any) -> Iterator[tuple[Any, Any]]:
    """Everything inside a program, as a container with a key or an index."""
    keys: Any = thing if isinstance(thing, dict) else range(len(thing)) if isinstance(thing, list) else ()
    for key in keys:
        yield thing, key
        yield from places(thing[key])


def damaged(program: Any, rng: random.Random) -> Any:
    program = copy.deepcopy(program)
    found = list(places(program["program"]))
    container, key = rng.choice(found)
    other, other_key = rng.choice(found)
    how = rng.random()
    if how < 0.6:
        container[key] = copy.deepcopy(rng.choice(JUNK))
    elif how < 0.75:
        del container[key]
    elif how < 0.9 or isinstance(container, dict):
        container[key] = copy.deepcopy(other[other_key])
    else:
        container.insert(key, copy.deepcopy(container[key]))
    return program


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_refused_in_a_sentence(seed: int) -> None:
    rng = random.Random(seed)
    programs = [stored["program"] for stored in cases("functions").values()]
    programs += [
        cases("networks")[name]["program"] for name in ("control_3", "recurrent", "ptq_8", "switched")
    ]
    messages = []
    for _ in range(150):
        program = damaged(rng.choice(programs), rng)
        try:
            convert(parse(json.dumps(program).encode(), HERE), HERE, lambda name: np.zeros(1))
        except ModelFormatError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert not [message for message in messages if "\n" in message]
