"""Many mutants of every reader's files: `make fuzz`.

Writes a record, docs/reliability.md from it, and each mutant that was not read or refused in a sentence as a
file, to become a regression case.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests" / "support")]

from harness import failures, mutant  # noqa: E402
from readers import readers  # noqa: E402

RECORD, PAGE = ROOT / "docs/records/fuzz.json", ROOT / "docs/reliability.md"


@click.command()
@click.option("--count", default=100_000, show_default=True, help="Mutants in all, the same for each reader.")
@click.option("--seed", default=2, show_default=True, help="Another seed gives other mutants.")
@click.option("--found", default=ROOT / "build/fuzz", type=click.Path(path_type=Path), help="For failures.")
def main(count: int, seed: int, found: Path) -> None:
    """Read mutants, and tell of each that was not read or refused in a sentence."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        known = readers(Path(name))
        for reader in known.values():
            began, wrong = time.monotonic(), []
            for failure in failures(reader, seed, count // len(known)):
                wrong.append({"number": failure.number, "what": failure.what})
                _, data = mutant(reader, seed, failure.number)
                found.mkdir(parents=True, exist_ok=True)
                (found / f"{reader.name}-{seed}-{failure.number}").write_bytes(data)
                click.echo(f"{reader.name} {failure.number}: {failure.what}\n")
            rows.append({"reader": reader.name, "mutants": count // len(known), "failures": wrong})
            click.echo(f"{reader.name}: {len(wrong)} failures in {time.monotonic() - began:.0f} s")
    record = {
        "command": f"python tests/fuzz/long_run.py --count {count} --seed {seed}",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "readers": rows,
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(page(record))
    raise SystemExit(int(any(row["failures"] for row in rows)))


def page(record: dict[str, Any]) -> str:
    """The page of a record."""
    total = sum(row["mutants"] for row in record["readers"])
    failed = sum(len(row["failures"]) for row in record["readers"])
    table = "\n".join(
        f"| {row['reader']} | {row['mutants']:,} | {len(row['failures'])} |" for row in record["readers"]
    )
    return f"""# Files that are damaged

```
make fuzz           # damages the files of every reader, and reads them
```

Of {total:,} damaged files, {failed} were neither read nor refused in one sentence. Made by `make fuzz`
(`{record["command"]}`, {record["date"]}) from `docs/records/fuzz.json`.

| reader | damaged files | crashes, endless loops, tracebacks |
| --- | --- | --- |
{table}

A file is damaged in its bytes, or in one to three fields of what they mean: numbers, names, ops, variables,
slots, attributes, keys, entries. A program is then loaded, verified, printed, transformed, frozen and saved.
Each is read in a process with a limit of 3 GiB of memory and 20 seconds of processor time. `make test` reads
200 of each.
"""


if __name__ == "__main__":
    main()
