"""The package as it is installed, for tools that derive a module's name from its path.

In the repository the folder `train/` stands beside `qcc/`; installed, it is `qcc.train`.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def lay_out(folder: Path) -> None:
    """Make `folder`/qcc: links to what the repository's `qcc/` holds, and a link `train`."""
    package = folder / "qcc"
    package.mkdir(parents=True)
    for entry in (ROOT / "qcc").iterdir():
        if entry.name != "__pycache__":
            (package / entry.name).symlink_to(entry)
    (package / "train").symlink_to(ROOT / "train")
