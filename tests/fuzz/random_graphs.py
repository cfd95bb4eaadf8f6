"""Ten thousand random graphs through passes and backends: `make test-random`.

Runs the tests that make their graphs at random in rounds, each with another seed, and writes into a record
how many graphs there were and what each pass did to them, and docs/reliability.md from it. A run that ended
early goes on where it was, and `--minutes` ends one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).parent))

from record import ROOT, record, revision

TESTS = (
    "tests/qcc/passes/test_properties.py",
    "tests/qcc/backends/lite/test_properties.py",
    "tests/qcc/ir/test_graph.py",
)
# `make test` times this: about 670 graphs.
_FACTOR = 2


@click.command()
@click.option("--rounds", default=15, show_default=True, help="Each of about 670 graphs.")
@click.option("--minutes", type=float, help="End after the round that is running then.")
@click.option("--found", default=ROOT / "build/fuzz", type=click.Path(path_type=Path), help="For failures.")
def main(rounds: int, minutes: float | None, found: Path) -> None:
    """Run the rounds, and tell of each test that failed."""
    began = time.monotonic()
    found.mkdir(parents=True, exist_ok=True)
    progress = found / "graphs.json"
    done: dict[str, Any] = json.loads(progress.read_text()) if progress.exists() else {"rounds": []}
    now = revision()
    while len(done["rounds"]) < rounds and (minutes is None or time.monotonic() - began < 60 * minutes):
        told = _round(len(done["rounds"]), found / "counts.json")
        done["rounds"].append({"revision": now, **told})
        progress.write_text(json.dumps(done))
        click.echo(f"round {len(done['rounds'])} after {time.monotonic() - began:.0f} s")
    passes: dict[str, Counter[str]] = {}
    revisions: Counter[str] = Counter()
    for one in done["rounds"]:
        revisions[one["revision"]] += one["graphs"]
        for step, told in one["passes"].items():
            passes.setdefault(step, Counter()).update(told)
    failed = [failure for one in done["rounds"] for failure in one["failures"]]
    record(
        "graphs",
        f"python tests/fuzz/random_graphs.py --rounds {len(done['rounds'])}",
        revisions,
        {"graphs": revisions.total(), "failures": failed, "passes": passes},
    )
    raise SystemExit(int(bool(failed)))


def _round(number: int, counts: Path) -> dict[str, Any]:
    counts.unlink(missing_ok=True)
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider"),
            *(f"--hypothesis-seed={number}", *TESTS),
        ],
        cwd=ROOT,
        env={**os.environ, "QCC_RANDOM": str(_FACTOR), "QCC_RANDOM_COUNTS": str(counts)},
        stdout=subprocess.PIPE,
        text=True,
    )
    failed = [line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if run.returncode:
        click.echo(run.stdout)
    if run.returncode and not failed:
        raise SystemExit(f"round {number} ended with {run.returncode}")
    return {**json.loads(counts.read_text()), "failures": failed}


if __name__ == "__main__":
    main()
