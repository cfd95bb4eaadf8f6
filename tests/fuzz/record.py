"""The record of the long runs, docs/records/fuzz.json, and the page made from it, docs/reliability.md."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_FILES, _GRAPHS = 100_000, 10_000
"""What a whole run has."""
RECORD, PAGE = ROOT / "docs/records/fuzz.json", ROOT / "docs/reliability.md"


def revision() -> str:
    """Of the code that is run, as git names it."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude", "*"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return told.stdout.strip()


def record(part: str, command: str, revisions: Counter[str], content: dict[str, Any]) -> None:
    """Put what one run found, `files` or `graphs`, into the record, and make the page anew.

    `revisions` says how many of them each revision of the code was given."""
    known = json.loads(RECORD.read_text())
    today = datetime.now(timezone.utc).date().isoformat()
    known[part] = {"command": command, "date": today, "revisions": revisions, **content}
    RECORD.write_text(json.dumps(known, indent=1) + "\n")
    PAGE.write_text(page(known))


def page(known: dict[str, Any]) -> str:
    """The page of a record."""
    return "".join(
        told(known[part]) for part, told in (("files", _files), ("graphs", _graphs)) if part in known
    )


def _files(run: dict[str, Any]) -> str:
    total = sum(row["mutants"] for row in run["readers"])
    failed = [failure for row in run["readers"] for failure in row["failures"]]
    left = sum(not failure["mended"] for failure in failed)
    table = "\n".join(
        f"| {row['reader']} | {row['mutants']:,} | {len(row['failures'])} |" for row in run["readers"]
    )
    found = f"{len(failed)} were neither read nor refused in one sentence"
    if failed:
        found += f"; {left or 'none'} of these still {'are' if left > 1 else 'is'}"
    return f"""# Files that are damaged

```
make fuzz           # damages the files of every reader, and reads them
```

Of {total:,} damaged files, {found}.{_ended(total, _FILES)} Made by `make fuzz`
(`{run["command"]}`, {run["date"]}, {_revisions(run)}) from `docs/records/fuzz.json`.

| reader | damaged files | crashes, endless loops, tracebacks |
| --- | --- | --- |
{table}

A file is damaged in its bytes, or in one to three fields of what they mean: numbers, names, ops, variables,
slots, attributes, keys, entries. A program is then loaded, verified, printed, transformed, frozen and saved.
Each is read in a process with a limit of 3 GiB of memory and 20 seconds of processor time. `make test` reads
200 of each.
"""


def _graphs(run: dict[str, Any]) -> str:
    table = "\n".join(_row(step, told) for step, told in sorted(run["passes"].items()))
    return f"""
# Graphs that nobody has drawn

```
make test-random    # takes random graphs through passes and backends
```

{run["graphs"]:,} random graphs, {len(run["failures"]) or "no"} failures.{_ended(run["graphs"], _GRAPHS)}
Made by `make test-random`
(`{run["command"]}`, {run["date"]}, {_revisions(run)}).{run.get("note", "")}

Of each pass is tested on them: that it says truthfully whether it changed anything; that one that is refused
changes nothing; that the graph verifies afterwards; that running it again changes nothing; and that the
outputs stay as they were, bit for bit or up to ties, or, where it rounds otherwise, as large. That proves
little of a pass that finds nothing to do, so what each pass did is counted where passes are taken in any
order, and in the pipeline that exports to Paddle Lite. What is at 0 % here is tested by its cases in
`tests/golden/` and by the tests of forms alone:

| pass | runs | changed the graph | nothing to do | refused |
| --- | --- | --- | --- | --- |
{table}
"""


def _revisions(run: dict[str, Any]) -> str:
    """Of which revisions of the code a run is."""
    told: dict[str, int] = run["revisions"]
    if len(told) == 1:
        return f"revision {next(iter(told))}"
    return ", ".join(f"{count:,} by revision {name}" for name, count in told.items())


def _ended(done: int, whole: int) -> str:
    """That a run was ended before it was through, where it was."""
    return "" if done >= whole else f" A whole run has {whole:,}; this one was ended early."


def _row(step: str, told: dict[str, int]) -> str:
    runs = sum(told.values())
    shares = (f"{told.get(what, 0) / runs:.0%}" for what in ("changed it", "nothing to do", "refused"))
    return f"| {step} | {runs:,} | {' | '.join(shares)} |"
