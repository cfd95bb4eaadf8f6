"""A model as Paddle computes it op for op, and how far its outputs move by themselves."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from qcc.backends.agreement import MANY, ROUNDING, Distance, distances, furthest, last_bit, limits
from qcc.backends.engines.engine import Engine
from qcc.backends.engines.paddle import Died
from qcc.backends.heads import chosen_from, heads, is_chosen, parts, saturated, small_parts
from qcc.backends.predictor import PaddleExecutor
from qcc.backends.program_file import inference_program
from qcc.backends.samples import Feed, Sample, moved, off_by_a_step, samples
from qcc.backends.sizes import of_other_sizes, shown
from qcc.backends.steps import steps_of
from qcc.backends.telling import factor_of, moved_by_ties, noise, of_ties, scenes
from qcc.errors import GraphError, PaddleError
from qcc.ir.dtypes import numpy_dtype
from qcc.ir.graph import Graph
from qcc.model import Model
from qcc.numerics import max_int
from qcc.quantization import quantized_ops

_OPENED, _SIZES = ".opened", ".sizes"


@dataclass
class Reference:
    """What a model gives on one sample, by the variables that can be compared.

    `program` fetches these variables, and has the weights `params`. `movements` are how far they are off
    when nothing but the last bits of something change; `floor`, how far they may be off in any case;
    `engines`, those that have been run; `ties`, how far the outputs move when a few integers are off by one,
    and `many_ties`, when many are; `again`, the same on a sample of another size, where some of `feeds` are
    open.
    """

    graph: Graph
    program: Path
    params: Path | None
    sample: Sample
    names: tuple[str, ...]
    outputs: list[np.ndarray]
    executor: PaddleExecutor
    floor: float
    movements: list[list[Distance]] = field(default_factory=list)
    engines: set[Engine] = field(default_factory=set)
    ties: list[Distance] = field(default_factory=list)
    many_ties: list[Distance] = field(default_factory=list)
    feeds: Sequence[Feed] = ()
    again: Reference | None = None

    @property
    def sizes(self) -> str:
        """Those of the sample that are open, in words."""
        return shown(self.sample.inputs, self.feeds)

    def distances(self, found: Sequence[np.ndarray]) -> list[Distance]:
        return distances(found, self.outputs)

    def limits(self, *more: Sequence[Distance]) -> list[Distance]:
        """How far a right run may be off."""
        found = [
            furthest(limit, last_bit(output))
            for limit, output in zip(limits([*self.movements, *more], self.floor), self.outputs, strict=True)
        ]
        if not self.ties:
            return found
        return [furthest(limit, of_ties(tie)) for limit, tie in zip(found, self.ties, strict=True)]

    def see_ties(self) -> None:
        """Measure how far the outputs of a quantized model move when a few integers at its inputs are off by
        one, as an engine makes them that rounds a tie to the other side.

        In a deep network with random weights that moves them by a good part of their range, as much as any
        other tie does, and last bits alone may move no value over a tie in the one run and some in the next.
        """
        if not self.ties and any(True for _ in quantized_ops(self.graph)):
            inputs = self.sample.inputs
            found = self.executor.run(off_by_a_step(inputs, steps_of(self.graph, inputs)), self.names)
            self.ties.extend(self.distances(found))

    def moves_as_far(self, seen: Sequence[Distance]) -> bool:
        """Whether outputs are no further off than they move when many integers at the inputs are off by one:
        so far apart a network may come whose ops are each right, with ties in every layer. All that is
        computed of what a suppression gives, or another op that chooses, may be anything."""
        ties = self._many_ties()
        return all(
            one.within(furthest(limit, tie)) or self._scattered(place, one, tie)
            for place, (one, limit, tie) in enumerate(zip(seen, self.limits(), ties, strict=True))
            if not self._is_chosen(place, one)
        )

    def scatters(self, seen: Sequence[Distance]) -> bool:
        """Whether outputs are off as they may be, but for single elements of large ones: of an output of
        `MANY`, such as the map of a detector of text, these may be anything, as long as they are no more than
        move when many integers at the inputs are off by one."""
        ties = self._many_ties()
        return all(
            one.within(limit) or self._scattered(place, one, tie) or self._is_chosen(place, one)
            for place, (one, limit, tie) in enumerate(zip(seen, self.limits(), ties, strict=True))
        )

    def _is_chosen(self, place: int, seen: Distance) -> bool:
        return seen.sound and is_chosen(self.graph.var(self.names[place]))

    def _many_ties(self) -> list[Distance]:
        if not self.many_ties:
            found = moved_by_ties(self.graph, self.sample.inputs, self.executor, self.names, self.outputs)
            self.many_ties.extend(
                of_ties(one, factor_of(output.size)) for one, output in zip(found, self.outputs, strict=True)
            )
        return self.many_ties

    def _scattered(self, place: int, seen: Distance, tie: Distance) -> bool:
        wide = replace(tie, largest=np.inf)
        return self.outputs[place].size >= MANY and seen.sound and seen.within(wide)

    def beside(self, suffix: str) -> Path:
        """The place for another program on the same weights."""
        return self.program.with_name(self.program.name + suffix)

    def values(self, names: Sequence[str]) -> list[np.ndarray]:
        """The values of any variables."""
        return self.executor.run(self.sample.inputs, names)

    def bytes_of(self, names: Sequence[str]) -> list[int]:
        """How many bytes the values of variables take, which are not held for this all at once."""
        graph = self.graph.copy()
        shapes = [graph.add_var(f"{name}@shape", "int32", (-1,)) for name in names]
        for name, shape in zip(names, shapes, strict=True):
            graph.add_op("shape", {"Input": graph.var(name)}, {"Out": shape}, {"op_role": 0})
        program = self.beside(_SIZES)
        write_opened(graph, [shape.name for shape in shapes], program)
        found = PaddleExecutor(program, self.params).run(self.sample.inputs)
        widths = [numpy_dtype(graph.var(name).dtype).itemsize for name in names]
        return [
            int(np.prod(shape, dtype=np.int64)) * width for shape, width in zip(found, widths, strict=True)
        ]


def reference(
    model: Model,
    program: Path,
    params: Path | None,
    data: Mapping[str, np.ndarray] | None,
    *,
    feeds: Sequence[Feed] = (),
) -> Reference:
    """Run a model's files op for op on data, or, when that is None or says too little, on made-up inputs;
    where some of `feeds` have open sizes, on such of another size as well, if the model runs on one.

    Raises PaddleError when Paddle cannot read them, or has read other weights than the model's; GraphError
    with Paddle's reason when the model does not run on the inputs.
    """
    whole = (*heads(model.graph), *chosen_from(model.graph))
    names = tuple(dict.fromkeys((*whole, *(part for name in whole for part in parts(model.graph, name)))))
    opened = _opened(model, program, names)
    executor = PaddleExecutor(opened, params)
    _require_same_weights(model, executor)
    runs = [_first_run(samples(model, data), executor, names)]
    if data is not None and any(True for _ in quantized_ops(model.graph)):
        try:
            runs = [_telling(model.graph, runs[0], executor, names)]
        except PaddleError:
            executor = PaddleExecutor(opened, params)  # what was made up has ended the process
    if feeds:
        try:
            runs.append(_first_run(of_other_sizes(feeds, runs[0].sample), executor, names))
        except GraphError:
            pass  # it takes no other size
        except PaddleError:
            executor = PaddleExecutor(opened, params)  # the run at the other size has ended the process
    compared = _compared(model.graph, names, runs)
    if compared != names:
        names = compared
        opened = _opened(model, program, names)
        executor = PaddleExecutor(opened, params)
        runs = [_Run(run.sample, executor.run(run.sample.inputs, names)) for run in runs]
    floor = smallest_limit(model.graph)
    found = [
        Reference(model.graph, opened, params, run.sample, names, run.outputs, executor, floor, feeds=feeds)
        for run in runs
    ]
    for one in found:
        one.movements.append(one.distances(executor.run(moved(one.sample.inputs), names)))
    found[0].again = found[1] if len(found) > 1 else None
    return found[0]


def _compared(graph: Graph, names: tuple[str, ...], runs: Sequence[_Run]) -> tuple[str, ...]:
    """The same names without the parts of others that are not small beside these, and with what goes into
    sigmoids in the place of what says little behind them."""
    instead: dict[str, str] = {}
    small: set[str] = set(graph.fetches)
    for run in runs:
        instead |= saturated(graph, names, run.outputs)
        small |= small_parts(graph, dict(zip(names, run.outputs, strict=True)))
    large = {part for name in names for part in parts(graph, name)} - small
    return tuple(dict.fromkeys(instead.get(name, name) for name in names if name not in large))


def _telling(graph: Graph, run: _Run, executor: PaddleExecutor, names: tuple[str, ...]) -> _Run:
    """A run on data, or, where that does not tell right from wrong, the one that does best of it and some on
    made-up inputs."""
    least, best = _noise(graph, run, executor, names), run
    if least < 1:
        return run
    for scene in scenes(graph, run.sample):
        found = _Run(scene, executor.run(scene.inputs, names))
        its_noise = _noise(graph, found, executor, names)
        if its_noise < least:
            least, best = its_noise, found
    return best


def _noise(graph: Graph, run: _Run, executor: PaddleExecutor, names: tuple[str, ...]) -> float:
    inputs, compared = run.sample.inputs, _compared(graph, names, [run])
    outputs = run.outputs if compared == names else executor.run(inputs, compared)
    return noise(graph, compared, outputs, moved_by_ties(graph, inputs, executor, compared, outputs))


def _opened(model: Model, program: Path, names: tuple[str, ...]) -> Path:
    """A model's program; where others than its outputs are compared, one beside it that fetches these."""
    if names == model.fetches:
        return program
    opened = program.with_name(program.name + _OPENED)
    write_opened(model.graph, names, opened)
    return opened


def write_opened(graph: Graph, fetches: Sequence[str], path: Path) -> None:
    """Write a graph's program with other fetches."""
    opened = graph.copy()
    opened.fetches = tuple(fetches)
    path.write_bytes(inference_program(opened).SerializeToString(deterministic=True))


def smallest_limit(graph: Graph) -> float:
    """A limit that no measurement makes smaller.

    Float32 rounding; in a quantized model, one step of an activation: on a small network the runs that are
    measured may meet no value on a rounding boundary where another run meets one, and that moves an output
    by a step or so of what it is computed from. Where weights alone are quantized, activations are float32.
    """
    bits = [found.activation_bits for found in quantized_ops(graph)]
    return max(ROUNDING, 1 / max_int(min(bits))) if bits else ROUNDING


def _require_same_weights(model: Model, executor: PaddleExecutor) -> None:
    read = executor.digests()
    for name, array in model.weights.items():
        if name in read and read[name] != zlib.crc32(np.ascontiguousarray(array).data):
            raise PaddleError(f"Paddle reads another value of {name!r}.")


@dataclass(frozen=True)
class _Run:
    sample: Sample
    outputs: list[np.ndarray]


def _first_run(wanted: Iterable[Sample], executor: PaddleExecutor, names: Sequence[str]) -> _Run:
    """The first sample that the model takes.  Raises GraphError where it takes none, PaddleError where the
    process ends."""
    failed: list[tuple[Sample, str]] = []
    for sample in wanted:
        try:
            return _Run(sample, executor.run(sample.inputs, names))
        except PaddleError as error:
            if isinstance(error.__cause__, Died):
                raise
            failed.append((sample, str(error.__cause__)))
    raise GraphError(_refusal(failed))


def _refusal(failed: Sequence[tuple[Sample, str]]) -> str:
    if not failed:
        return "no size is open."
    sample, reason = failed[-1]
    shapes = ", ".join(f"{name}{list(array.shape)}" for name, array in sample.inputs.items())
    more = "" if len(failed) == 1 else " and other sizes"
    return f"the model does not run on {sample.source} ({shapes}{more}): {reason}"
