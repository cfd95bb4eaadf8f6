"""`--no-slower` and `--max-latency MS` of `qcc quantize MODEL` and `qcc export`: how fast the result has to
be."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.exceptions import Exit

from qcc.cli.accurate import Told
from qcc.cli.stdout import echo
from qcc.cli.trained import TRAINED
from qcc.errors import ConfigError
from qcc.shown import counted, metric_value

if TYPE_CHECKING:
    import numpy as np

    from qcc.calibrate.report import Section
    from qcc.measure.tradeoff.clock import Form
    from qcc.measure.tradeoff.curve import Curve
    from qcc.measure.tradeoff.models import Models
    from qcc.measure.tradeoff.search import Outcome, Quality
    from qcc.model import Model

Command = TypeVar("Command", bound=Callable[..., object])

CURVE, DRAWING = "tradeoff.json", "tradeoff.svg"


@dataclass(frozen=True)
class WantedTime:
    """What the options say: never slower than the float model, and a latency in milliseconds."""

    no_slower: bool
    max_latency: float | None

    def __bool__(self) -> bool:
        return self.no_slower or self.max_latency is not None

    def check(self, target: str | None, effort: str | None, *, onnx: bool) -> str:
        """The engine that measures.  Raises ConfigError, TargetError or MissingDependencyError where nothing
        can be measured."""
        if self.max_latency is not None and not 0 < self.max_latency < math.inf:
            raise ConfigError(
                f"--max-latency {self.max_latency:g} is no time that a run could take: give milliseconds,"
                " more than 0."
            )
        if target is None:
            raise ConfigError(
                "--no-slower and --max-latency are about an engine: name it with --target, as onnxruntime,"
                " openvino, tensorrt, paddle-x86 or lite-x86."
            )
        if effort == TRAINED:
            raise ConfigError(
                "time budgets are kept by leaving layers float, which effort trained does not: give them with"
                " --effort calibrated or accurate, or to `qcc export`."
            )
        from qcc.measure.tradeoff.forms import engine_of

        return engine_of(target, onnx=onnx)


def time_budget_options(command: Command) -> Command:
    """The options of time budgets."""
    options = (
        click.option(
            "--no-slower",
            is_flag=True,
            help="Keep layers float that are slower in int8 on the target's engine, as measured on this"
            " machine; what is written is never slower than the float model, in the end that itself.",
        ),
        click.option(
            "--max-latency",
            type=float,
            metavar="MS",
            help="Keep layers float until a run takes at most so many milliseconds in the target's engine on"
            " this machine: of the processor, one thread, one sample.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True)
class Found:
    """What a search has come to, and the curve of all that it has tried."""

    outcome: Outcome
    curve: Curve

    @property
    def floats(self) -> frozenset[str]:
        """The layers that stay float."""
        return self.outcome.chosen.floats

    @property
    def is_float(self) -> bool:
        """Whether nothing is left in int8."""
        return len(self.floats) == len(self.curve.layers)

    def tell(self) -> None:
        """Print what was found."""
        for line in self.lines():
            echo(line)

    def lines(self) -> list[str]:
        """What is told."""
        outcome, chosen, curve = self.outcome, self.outcome.chosen, self.curve
        kept = [layer for layer in curve.layers if layer in self.floats]
        first = f"{'met' if outcome.met else 'NOT met, this is the best that was found'}: {self.told()}"
        if outcome.interrupted:
            first = f"interrupted after {counted(len(outcome.tried), 'candidate')}; {first}"
        lines = [first]
        if self.is_float:
            lines.append(f"no layer stays in int8: what is written for {curve.target} is the float model")
        else:
            stay = "stays" if len(kept) == 1 else "stay"
            lines.append(f"{len(kept) or 'none'} of {len(curve.layers)} layers {stay} float")
            lines += kept
        if chosen.agreement is not None and not self.is_float:
            lines.append(f"agreement with the float model: {chosen.agreement:.2%}")
        refused = [one for one in outcome.tried if one.reason is not None]
        return [*lines, *(f"not measured: {one.what}: {one.reason}" for one in refused)]

    def told(self) -> str:
        """How fast the model is, and how fast, and good, it has to be."""
        chosen, curve = self.outcome.chosen, self.curve
        words = [f"{chosen.time * 1000:.2f} ms of the processor, {chosen.ratio:.2f} of the float model's"]
        if curve.goal.seconds is not None:
            words.append(f"{curve.goal.seconds * 1000:g} ms are wanted")
        if curve.goal.no_slower:
            words.append("no slower is wanted")
        if chosen.value is not None:
            words.append(
                f"the other budget gives {metric_value(chosen.value)}, and"
                f" {metric_value(curve.wanted['wanted'])} is wanted"
            )
        return ", ".join(words)

    def notices(self) -> list[str]:
        """What a user must not overlook."""
        found = [] if self.outcome.met else [f"the budget was not met: {self.told()}"]
        if self.is_float:
            found.append(
                "nothing is quantized: the files hold the float model, which is the best that was found for"
                f" {self.curve.target} on this machine"
            )
        return found

    def section(self) -> Section:
        """What the report says."""
        from qcc.calibrate.report import Section

        record = self.curve.record()
        candidates = record.pop("candidates")
        content = {
            **record,
            "chosen": next(one for one in candidates if one["chosen"]),
            "curve": CURVE,
        }
        return Section(f"Time in {record['engine']}", self.lines(), "time_budget", content)

    def write(self, json_path: Path, svg_path: Path) -> None:
        """Write the curve and its drawing, each as one change.  Raises OutputError."""
        from qcc.files import write_json, write_text

        write_json(json_path, self.curve.record())
        write_text(svg_path, self.curve.drawing())

    def end(self, json_path: Path, svg_path: Path) -> None:
        """Tell where the curve and its drawing were written; end the command where the search was
        interrupted."""
        from qcc.starting import INTERRUPTED_EXIT_CODE

        echo(f"{json_path} and {svg_path.name} beside it have all that was timed.")
        if self.outcome.interrupted:
            echo("interrupted; this is the best so far, and the same command searches again.", err=True)
            raise Exit(INTERRUPTED_EXIT_CODE)


def search_in_time(
    wanted: WantedTime,
    models: Models,
    form: Form,
    *,
    target: str,
    engine: str,
    inputs: Mapping[str, np.ndarray],
    source: str,
    agreement: Callable[[Model], float] | None = None,
    quality: Callable[[Told], Quality] | None = None,
    also_wanted: dict[str, Any] | None = None,
) -> Found:
    """Search on the engine for the candidate that is wanted; interrupted, the best so far.

    Raises EngineError when the engine runs nothing of it.
    """
    from qcc.measure.tradeoff.clock import EngineClock
    from qcc.measure.tradeoff.curve import Curve
    from qcc.measure.tradeoff.groups import groups_of
    from qcc.measure.tradeoff.search import Goal, Search

    made = lru_cache(maxsize=8)(models.model)
    goal = Goal(wanted.no_slower, None if wanted.max_latency is None else wanted.max_latency / 1000)
    layers = tuple(models.layers)
    with ExitStack() as stack:
        told = Told(stack)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qcc-times-")))
        clock = stack.enter_context(EngineClock(made, form, frozenset(layers), inputs, scratch))
        asked = None if quality is None else quality(told)
        outcome = Search(
            layers,
            groups_of(models.graph, frozenset(layers)),
            clock,
            goal,
            asked,
            None if agreement is None else lambda floats: agreement(made(floats)),
            listener=told,
        ).run()
    limits = {} if asked is None else {"wanted": asked.wanted, "of_float": asked.of_float}
    return Found(
        outcome, Curve(outcome, layers, goal, engine, target, source, {**(also_wanted or {}), **limits})
    )
