"""Golden files: an input graph, commands, and the lines that their outputs must have.

::

    // RUN: qcc-opt -p "freeze"
    // What freeze does to a convolution.
    graph {for_test=true}
    ...
    // CHECK: y.accumulator = conv2d(Filter=w, Input=x.quantized)

A command reads the graph, runs the pipeline (none without `-p`), and prints the graph, which must parse
back to the same program; with `not` in front it must be refused, and what it prints is the name of the
error's type and its sentence. `--brief` leaves out the lines of variables that are no weights. A file may
hold several commands that differ in `--check-prefix`.

CHECK lines are those of LLVM's FileCheck and match whole lines; `{{...}}` holds a regular expression.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from filecheck.finput import FInput
from filecheck.matcher import Matcher
from filecheck.options import Options
from filecheck.parser import Parser, pattern_for_opts

import qcc
from qcc.errors import QccError
from qcc.ir.graph import Graph
from qcc.ir.text import parse_graph, print_graph
from qcc.ir.verify import verify
from qcc.model import Model

_RUN = re.compile(
    r"// RUN: (?P<refused>not )?qcc-opt(?: -p (?P<pipeline>'[^']*'|\"[^\"]*\"|\S+))?"
    r"(?P<brief> --brief)?(?: --check-prefix (?P<prefix>[A-Z0-9-]+))?"
)
# What every graph's text has, and what changes with Paddle.
_HEADER = "graph {"
_FOOTER = "op_versions {"


@dataclass(frozen=True)
class Command:
    """A RUN line: pipeline, whether it must be refused, what is printed, the word of its CHECK lines."""

    pipeline: str | None
    refused: bool
    brief: bool
    prefix: str

    @staticmethod
    def parse(line: str) -> Command:
        match = _RUN.fullmatch(line.rstrip())
        if match is None:
            raise ValueError(
                f"{line!r} is not RUN: [not] qcc-opt [-p PIPELINE] [--brief] [--check-prefix WORD]"
            )
        pipeline = match["pipeline"]
        # shlex takes off the quotes of the shell, and leaves those of the pipeline.
        words = None if pipeline is None else shlex.split(pipeline)[0]
        return Command(words, bool(match["refused"]), bool(match["brief"]), match["prefix"] or "CHECK")


@dataclass(frozen=True)
class Golden:
    """One golden file."""

    path: Path
    text: str
    commands: tuple[Command, ...]

    @staticmethod
    def read(path: Path) -> Golden:
        text = path.read_text(encoding="utf-8")
        lines = (line for line in text.splitlines() if line.startswith("// RUN:"))
        commands = tuple(map(Command.parse, lines))
        if not commands:
            raise ValueError(f"{path} has no RUN line")
        return Golden(path, text, commands)

    def output(self, command: Command) -> str:
        """What a command prints now."""
        try:
            graph = self._run(command)
        except QccError as error:
            if not command.refused:
                raise
            return f"{type(error).__name__}: {error}\n"
        assert not command.refused, f"{self.path}: {command} is not refused"
        text = print_graph(graph)
        again = parse_graph(text, graph.weights)
        assert again.to_proto().SerializeToString() == graph.to_proto().SerializeToString()
        if command.brief:
            text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("var "))
        return text

    def _run(self, command: Command) -> Graph:
        graph = parse_graph(self.text)
        verify(graph, scales=False)
        if command.pipeline is None:
            return graph
        return qcc.PassManager.parse(command.pipeline).run(Model(graph)).graph

    def check(self, command: Command, output: str) -> None:
        """Match an output with the CHECK lines.  Raises AssertionError with FileCheck's report."""
        report = io.StringIO()
        with contextlib.redirect_stderr(report):
            options = Options(str(self.path), check_prefixes=[command.prefix], match_full_lines=True)
            checks = Parser(options, io.StringIO(self.text), *pattern_for_opts(options))
            code = Matcher(options, FInput("output", output), checks).run()
        assert code == 0, f"{report.getvalue()}\nThe whole output:\n{output}"

    def updated(self, outputs: dict[Command, str]) -> str:
        """The file's text with CHECK lines that are the outputs."""
        prefixes = "|".join(command.prefix for command in self.commands)
        old = re.compile(rf"// ({prefixes})(-[A-Z]+)?:.*")
        kept = "\n".join(line for line in self.text.splitlines() if not old.fullmatch(line))
        parts = [kept.rstrip("\n")]
        for command, output in outputs.items():
            parts.append("\n".join(_checks(command.prefix, output)))
        return "\n\n".join(parts) + "\n"


def _checks(prefix: str, output: str) -> list[str]:
    """The output as CHECK lines: each follows the one before, where no empty line parts them."""
    checks: list[str] = []
    directive = prefix
    for line in output.partition(_FOOTER)[0].rstrip("\n").split("\n"):
        if line.startswith(_HEADER):
            continue
        if line:
            checks.append(f"// {directive}: {_escape(line)}")
        directive = f"{prefix}-NEXT" if line else prefix
    return checks


def _escape(line: str) -> str:
    """A line as a pattern of FileCheck."""
    return line.replace("{{", "{{[{][{]}}").replace("[[", "{{[[][[]}}")
