"""Many mutants of every reader's files: `make fuzz`.

Writes a record, docs/reliability.md from it, and each mutant that was not read or refused in a sentence as a
file, to become a regression case. A run that is ended early goes on where it was, and `--minutes` ends one.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]

from harness import SCRATCH, failures, mutant  # noqa: E402
from readers import Reader, readers  # noqa: E402
from record import ROOT, record, revision  # noqa: E402

# Mutants of one reader at a time: all readers have had as many when a run ends early.
_ROUND = 25


@click.command()
@click.option("--count", default=100_000, show_default=True, help="Mutants in all, the same for each reader.")
@click.option("--seed", default=3, show_default=True, help="Another seed gives other mutants.")
@click.option("--minutes", type=float, help="End after the round that is running then.")
@click.option("--found", default=ROOT / "build/fuzz", type=click.Path(path_type=Path), help="For failures.")
def main(count: int, seed: int, minutes: float | None, found: Path) -> None:
    """Read mutants, and tell of each that was not read or refused in a sentence."""
    began = time.monotonic()
    found.mkdir(parents=True, exist_ok=True)
    progress = found / f"progress-{seed}.json"
    done: dict[str, Any] = {"each": 0, "revisions": {}, "wrong": {}}
    if progress.exists():
        done = json.loads(progress.read_text())
    revisions = Counter(done["revisions"])
    now = revision()
    with tempfile.TemporaryDirectory(dir=SCRATCH) as name:
        known = readers(Path(name))
        each = count // len(known)
        while done["each"] < each and (minutes is None or time.monotonic() - began < 60 * minutes):
            end = min(each, done["each"] + _ROUND)
            for reader in known.values():
                wrong = _read(reader, seed, done["each"], end, found)
                done["wrong"].setdefault(reader.name, []).extend(wrong)
            revisions[now] += (end - done["each"]) * len(known)
            done.update(each=end, revisions=revisions)
            progress.write_text(json.dumps(done))
            click.echo(f"{end:,} of each after {time.monotonic() - began:.0f} s")
        rows = [_row(reader, seed, done) for reader in known.values()]
    record(
        "files",
        f"python tests/fuzz/long_run.py --count {done['each'] * len(rows)} --seed {seed}",
        revisions,
        {"readers": rows},
    )
    raise SystemExit(int(any(not failure["mended"] for row in rows for failure in row["failures"])))


def _read(reader: Reader, seed: int, begin: int, end: int, found: Path) -> list[dict[str, Any]]:
    wrong = []
    for failure in failures(reader, seed, end, begin):
        wrong.append({"number": failure.number, "what": failure.what})
        _, data = mutant(reader, seed, failure.number)
        (found / f"{reader.name}-{seed}-{failure.number}").write_bytes(data)
        click.echo(f"{reader.name} {failure.number}: {failure.what}\n")
    return wrong


def _row(reader: Reader, seed: int, done: dict[str, Any]) -> dict[str, Any]:
    """What a reader's mutants showed; those that failed are read once more, by the code of now."""
    wrong = done["wrong"].get(reader.name, [])
    for failure in wrong:
        number = failure["number"]
        failure["mended"] = not list(failures(reader, seed, number + 1, number))
    return {"reader": reader.name, "mutants": done["each"], "failures": wrong}


if __name__ == "__main__":
    main()
