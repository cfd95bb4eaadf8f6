"""Builds the zoo: networks of other packages, with random weights, in the cache folder.

Usage: python bench/zoo/build.py [NAME...]

The packages pin old libraries, so they get an environment of their own, of CPython 3.10. What stands there
already is not built again; a network that does not build is listed with the reason, and the others are built.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence

from catalogue import HERE, NETWORKS, failure, home, is_built, names, python

REQUIREMENTS = HERE / "requirements.txt"
PACKAGES = HERE / "packages.txt"


def main(chosen: Sequence[str]) -> int:
    unknown = set(chosen) - set(names())
    if unknown:
        print(f"build: there is no network {min(unknown)!r}; networks.yml has them.", file=sys.stderr)
        return 2
    missing = [name for name in chosen or names() if not is_built(name)]
    if missing:
        make_environment()
        folder = home() / "networks"
        folder.mkdir(parents=True, exist_ok=True)
        for name in missing:
            (folder / f"{name}.failed").unlink(missing_ok=True)
        subprocess.run([python(), HERE / "grow.py", NETWORKS, folder, *missing], check=True)
    failed = [name for name in chosen or names() if failure(name)]
    for name in failed:
        print(f"build: {name} was not built: {failure(name)}")
    return 0


def make_environment() -> None:
    """Make the zoo's environment, anew when what it is made of has changed."""
    stamp = home() / "environment" / "stamp"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + PACKAGES.read_bytes()).hexdigest()
    if python().exists() and stamp.exists() and stamp.read_text() == wanted:
        return
    if sys.version_info[:2] != (3, 10):
        raise SystemExit("build: the packages of the zoo need CPython 3.10: make .venv with it.")
    shutil.rmtree(home() / "environment", ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", home() / "environment"], check=True)
    pip = [python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--requirement", REQUIREMENTS], check=True)
    # They ask for opencv with a desktop's libraries, visualdl, faiss and more, which building does not need.
    subprocess.run([*pip, "--no-deps", "--requirement", PACKAGES], check=True)
    stamp.write_text(wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
