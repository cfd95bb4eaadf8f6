"""The programs of `one_op_programs.py` whose op the reader's table has, for tests/qcc/frontend/paddle3.

python tools/paddle3/stored_programs.py programs.jsonl tests/qcc/frontend/paddle3/one_op_programs.json.gz
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from qcc.frontend.paddle3.tables import rows


def main(programs: Path, target: Path) -> None:
    known = {row.legacy for row in rows().values()}
    kept: dict[str, list[Any]] = {}
    with programs.open(encoding="utf-8") as stream:
        for text in stream:
            line = json.loads(text)
            legacy = line.pop("legacy")
            if legacy in known and "program" in line:
                kept.setdefault(legacy, []).append(line | {"program": json.loads(line["program"])})
    for legacy, lines in kept.items():
        kept[legacy] = [line for line in lines if line["attr"] is None or _tells(line, lines)]
    content = json.dumps(dict(sorted(kept.items())), separators=(",", ":")).encode()
    target.write_bytes(gzip.compress(content, 9, mtime=0))


def _tells(line: dict[str, Any], lines: list[dict[str, Any]]) -> bool:
    """False where Paddle 3 leaves the attribute out: the program is that of the default."""
    defaults = [other for other in lines if other["attr"] is None and other["inputs"] == line["inputs"]]
    return all(other["program"] != line["program"] for other in defaults)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
