"""Which layers go back to float, by tables of made-up costs: no time is measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from qcc.calibrate.accurate.budget import fewest
from qcc.errors import EngineError
from qcc.interrupts import Stopped
from qcc.measure.tradeoff.groups import Floats, Group
from qcc.measure.tradeoff.search import Goal, Outcome, Search, Tried, Turns

TURNS = 8
NOTHING: Floats = frozenset()


@dataclass
class Table:
    """A clock: a run takes 10 and what each layer takes, (int8, float). What is in `refused` does not run."""

    costs: Mapping[str, tuple[float, float]]
    refused: Sequence[Floats] = ()
    asked: list[Floats] = field(default_factory=list)

    def seconds(self, floats: Floats) -> float:
        return 10 + sum(pair[layer in floats] for layer, pair in self.costs.items())

    def turns(self, candidates: Sequence[Floats]) -> list[Turns]:
        self.asked += candidates
        return [
            Turns(reason="it was killed")
            if floats in self.refused
            else Turns((self.seconds(floats),) * TURNS)
            for floats in candidates
        ]


@dataclass
class Errors:
    """A model is as good as 1 - the errors of the layers in int8."""

    of_layers: Mapping[str, float]
    wanted: float
    of_float: float = 1.0

    def value(self, floats: Floats) -> float:
        assert floats != frozenset(self.of_layers), "the float model's is known"
        return 1 - sum(error for layer, error in self.of_layers.items() if layer not in floats)

    def errors(self) -> Mapping[str, float]:
        return self.of_layers


def layers(count: int) -> list[str]:
    return [f"w{number:02d}" for number in range(count)]


def network(slow: Sequence[str], count: int = 16) -> Table:
    """Layers that take 1 in int8 and 2 in float; the slow ones 3 in int8."""
    return Table({layer: (3 if layer in slow else 1, 2) for layer in layers(count)})


def halves(names: Sequence[str]) -> list[Group]:
    middle = len(names) // 2
    return [Group("first", frozenset(names[:middle])), Group("second", frozenset(names[middle:]))]


def search(table: Table, goal: Goal, groups: Sequence[Group] | None = None, **options: object) -> Outcome:
    names = list(table.costs)
    return Search(names, halves(names) if groups is None else groups, table, goal, **options).run()  # type: ignore[arg-type]


def test_only_what_is_slow_goes_back_to_float() -> None:
    slow = ["w03", "w12"]
    outcome = search(network(slow), Goal(no_slower=True))
    assert outcome.chosen.floats == frozenset(slow)
    assert outcome.met
    assert not outcome.interrupted
    first, second, *_ = outcome.tried
    assert (first.what, first.ratio) == ("all layers float", 1.0)
    assert (second.what, second.floats) == ("all layers in int8", NOTHING)


def test_a_group_that_is_slow_goes_back_at_once() -> None:
    names = layers(16)
    depthwise = Group("depthwise", frozenset(names[1::2]))
    table = network(names[1::2])
    outcome = search(table, Goal(no_slower=True), [*halves(names), depthwise])
    assert outcome.chosen.floats == depthwise.layers
    assert "float: depthwise" in [one.what for one in outcome.tried]


def test_what_is_fast_stays_in_int8() -> None:
    outcome = search(network([]), Goal(no_slower=True))
    assert (outcome.chosen.floats, outcome.met) == (NOTHING, True)
    assert outcome.chosen.ratio == pytest.approx(26 / 42)


def test_where_float_is_faster_layers_go_to_int8_that_are_faster_there() -> None:
    names = layers(16)
    table = Table({layer: (3, 2) for layer in names} | {"w04": (1, 2), "w05": (1, 2), "w13": (1, 2)})
    outcome = search(table, Goal(no_slower=True))
    assert frozenset(names) - outcome.chosen.floats == {"w04", "w05", "w13"}
    assert outcome.met
    assert "int8: first" in [one.what for one in outcome.tried]
    errors = dict.fromkeys(names, 0.0) | {"w04": 0.2, "w05": 0.05}
    good = search(table, Goal(no_slower=True), quality=Errors(errors, 0.9))
    assert frozenset(names) - good.chosen.floats == {"w05", "w13"}
    assert good.met


def test_a_latency_that_float_alone_keeps() -> None:
    table = Table({layer: (3, 2) for layer in layers(8)})
    outcome = search(table, Goal(seconds=26))
    assert (outcome.met, outcome.chosen.floats) == (True, frozenset(table.costs))
    whole = search(table, Goal(seconds=34))
    assert (whole.met, whole.chosen.floats) == (True, NOTHING)


def test_in_the_end_the_float_model_is_taken() -> None:
    names = layers(8)
    table = Table({layer: (3, 2) for layer in names})
    outcome = search(table, Goal(no_slower=True))
    assert (outcome.chosen.floats, outcome.met) == (frozenset(names), True)


def test_islands_that_are_slow_only_when_they_are_cut_apart() -> None:
    """Every layer alone is slower in float; both together are faster."""

    class Islands(Table):
        def seconds(self, floats: Floats) -> float:
            cuts = len(floats & {"w00", "w01"}) == 1
            return super().seconds(floats) + 2 * cuts + 3 * (not floats & {"w00", "w01"})

    table = Islands({layer: (1, 2) for layer in layers(8)})
    pair = frozenset({"w00", "w01"})
    assert search(table, Goal(no_slower=True)).chosen.floats == pair


def test_noise_is_no_gain() -> None:
    """In float the layers are faster in half of the turns, and slower in the others."""

    class Noisy(Table):
        def turns(self, candidates: Sequence[Floats]) -> list[Turns]:
            moved = [0.1 * (-1) ** number for number in range(TURNS)]
            return [
                Turns(tuple(10 * (1 + by * bool(floats) - 0.01 * bool(floats)) for by in moved))
                for floats in candidates
            ]

    outcome = search(Noisy({layer: (1, 1) for layer in layers(4)}), Goal(seconds=5))
    assert outcome.chosen.floats in {one.floats for one in outcome.tried}
    assert not outcome.met
    slower, faster = (Tried("", NOTHING, tuple(times)) for times in ([10.0] * 4, [9.0, 11.0, 9.0, 11.0]))
    assert not faster.is_faster(slower)
    assert Tried("", NOTHING, (9.0,) * 4).is_faster(slower)


def test_a_latency_is_met_with_as_little_float_as_it_takes() -> None:
    slow = ["w03", "w12"]
    table = network(slow)
    limit = table.seconds(frozenset({"w03"})) + 0.5
    outcome = search(table, Goal(seconds=limit))
    assert outcome.met
    assert outcome.chosen.time <= limit
    assert len(outcome.chosen.floats) == 1


def test_a_latency_that_is_met_from_the_start_costs_one_measurement() -> None:
    table = network([])
    outcome = search(table, Goal(seconds=26))
    assert (outcome.met, outcome.chosen.floats) == (True, NOTHING)
    assert set(table.asked) == {NOTHING, frozenset(table.costs)}


def test_a_latency_that_cannot_be_met_gives_the_fastest() -> None:
    outcome = search(network(["w03"]), Goal(seconds=1))
    assert not outcome.met
    assert outcome.chosen.floats == frozenset({"w03"})


def test_no_more_is_timed_than_was_allowed() -> None:
    table = network([], 64)
    outcome = search(table, Goal(no_slower=True), most=10)
    assert len(outcome.tried) == 10
    assert outcome.met


def test_layers_that_cost_accuracy_stay_float_as_well() -> None:
    errors = {layer: 0.01 for layer in layers(8)} | {"w02": 0.3, "w05": 0.2}
    table = network(["w07"], 8)
    outcome = search(table, Goal(no_slower=True), quality=Errors(errors, 0.9))
    assert outcome.met
    assert outcome.chosen.floats == {"w02", "w05", "w07"}
    assert outcome.chosen.value == pytest.approx(0.95)
    timed = [one for one in outcome.tried if one.value is not None]
    assert len(timed) >= 3
    assert all(one.seconds for one in timed)


def test_what_costs_time_stays_in_int8_where_others_do() -> None:
    """The layer of the largest error alone would be enough, and too slow; two others are enough as well."""
    names = layers(8)
    errors = dict.fromkeys(names, 0.0) | {"w01": 0.5, "w02": 0.3, "w03": 0.3}
    table = Table({layer: (1, 2) for layer in names} | {"w01": (1, 9)})
    limit = table.seconds(frozenset({"w02", "w03"})) + 0.5
    outcome = search(table, Goal(seconds=limit), quality=Errors(errors, 0.5 - 1e-9))
    assert outcome.met
    assert outcome.chosen.floats == {"w02", "w03"}


def test_where_both_cannot_be_had_accuracy_is_kept_and_the_report_says_so() -> None:
    errors = dict.fromkeys(layers(8), 0.1)
    table = network([], 8)
    outcome = search(table, Goal(seconds=table.seconds(NOTHING) + 1.5), quality=Errors(errors, 0.75))
    assert not outcome.met
    assert outcome.chosen.value is not None
    assert outcome.chosen.value >= 0.75
    assert outcome.chosen.time == min(
        one.time for one in outcome.tried if one.value is not None and one.value >= 0.75
    )


def test_accuracy_that_only_the_float_model_has() -> None:
    errors = dict.fromkeys(layers(8), 0.1)
    outcome = search(network([], 8), Goal(no_slower=True), quality=Errors(errors, 1.0))
    assert (outcome.met, outcome.chosen.floats) == (True, frozenset(layers(8)))


def test_candidates_that_the_engine_refuses_are_told_and_left_alone() -> None:
    slow = ["w03"]
    table = network(slow)
    table.refused = [frozenset(layers(16)[:8])]
    outcome = search(table, Goal(no_slower=True))
    assert [one.reason for one in outcome.tried if one.reason] == ["it was killed"]
    assert outcome.met
    for nothing in (NOTHING, frozenset(layers(16))):
        table.refused = [nothing]
        with pytest.raises(EngineError, match=r"there is nothing to .*: all layers .*: it was killed"):
            search(table, Goal(no_slower=True))


def test_what_does_not_hold_when_it_is_timed_again_is_not_chosen() -> None:
    """The int8 model is fast in the search, and slower than float from then on."""

    class Moody(Table):
        def seconds(self, floats: Floats) -> float:
            again = self.asked[-2:] == [frozenset(self.costs), NOTHING] and len(self.asked) > 4
            return super().seconds(floats) + 99 * (again and not floats)

    table = Moody({layer: (1, 2) for layer in layers(4)})
    outcome = search(table, Goal(no_slower=True))
    assert outcome.chosen.floats
    assert outcome.chosen.ratio <= 1
    assert outcome.met


class Stopping:
    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, name: str) -> None:
        pass

    def progress(self, done: int, total: int) -> None:
        assert done <= total
        if done >= self.at:
            raise Stopped


@pytest.mark.parametrize("at", [2, 4, 8])
def test_stopped_it_gives_the_best_so_far(at: int) -> None:
    outcome = search(network(["w03"]), Goal(no_slower=True), listener=Stopping(at))
    assert outcome.interrupted
    assert outcome.met
    assert outcome.chosen in outcome.tried
    assert outcome.chosen.ratio == min(one.ratio for one in outcome.tried)


@pytest.mark.parametrize("guess", [1, 3, 9])
@pytest.mark.parametrize(("wanted", "found"), [(1, 1), (2, 2), (3, 3), (6, 6), (7, 7), (8, None)])
def test_the_fewest(wanted: int, found: int | None, guess: int) -> None:
    asked: list[int] = []

    def good(count: int) -> bool:
        asked.append(count)
        return count >= wanted

    assert fewest(good, 7, guess) == found
    assert len(asked) == len(set(asked)) <= 6


def test_agreement_is_told_of_each_candidate() -> None:
    outcome = search(network(["w03"]), Goal(no_slower=True), agreement=lambda floats: len(floats) / 100)
    assert {one.agreement for one in outcome.tried if not one.floats} == {0.0}
    assert all(one.agreement is not None for one in outcome.tried)
