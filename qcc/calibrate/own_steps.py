"""Which channels an engine rounds in steps of their own, in front of activations, by what was measured."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qcc.calibrate.choose import MUCH
from qcc.calibrate.equalization import MOST_OCTAVES, from_the_middle
from qcc.calibrate.observers import mse
from qcc.calibrate.plan import Plan
from qcc.calibrate.statistics import Statistics
from qcc.passes.channel_steps import ChannelSteps, Written, in_front_of_activations
from qcc.passes.entries import as_entries


def own_steps(plan: Plan, statistics: Statistics) -> dict[str, np.ndarray]:
    """The octaves of the pass `channel-steps`, by variable: of what the target rounds behind convolutions,
    in front of activations, and one scale does not fit."""
    if not plan.between:
        return {}
    found: dict[str, np.ndarray] = {}
    for one in in_front_of_activations(plan.folded.graph):
        bits = plan.between.get(one.var.name)
        if bits is not None and _is_coarse(statistics, one, bits):
            octaves = _octaves(statistics, one)
            if octaves.any():
                found[one.var.name] = octaves
    return found


def with_steps(octaves: Mapping[str, np.ndarray]) -> ChannelSteps:
    """The pass that divides channels by these octaves."""
    return ChannelSteps(octaves=as_entries(octaves))


def _is_coarse(statistics: Statistics, found: Written, bits: int) -> bool:
    """Whether one scale causes a large error, relative to what the activation gives, as far as that is
    known."""
    seen = statistics.seen(found.var.name)
    if not seen.histogram.peak:
        return False
    name = found.activation.output("Out").name
    behind = statistics.seen(name) if name in statistics.names else seen
    error = seen.matter.square_errors(np.array([mse(seen, bits)]), bits)[0]
    return bool(error > MUCH**2 * behind.matter.squares())


def _octaves(statistics: Statistics, found: Written) -> np.ndarray:
    """How far each channel is from the middle one."""
    channels = statistics.channels(found.var.name)
    if channels is None or not channels.largest.any():
        return np.zeros(found.channels, np.int64)
    known = channels.largest > 0
    octaves = from_the_middle(np.log2(channels.largest[known]), known)
    # Only differences count.
    return octaves - max(int(octaves.max()) - MOST_OCTAVES, 0)
