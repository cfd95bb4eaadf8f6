"""Walks through docs/bench.md and docs/accuracy.md as a reader would, and keeps what the commands have told.

    make bench-walks                all, into docs/records/ and docs/images/, and from these the pages
    python bench/walks.py hard_net  one of them

The commands run in a folder of their own, so that paths are those of the pages. The detector of text is that
of PP-OCRv4, and its pages are drawn (`tests/support/ocr_photos.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from browser import BROWSER, NO_BROWSER
from ocr_photos import NETWORKS

from qcc.analyze.page.frame import page, read_page
from qcc.files import write_json
from qcc.train.data.cache import dataset
from qcc.train.evaluation.report import command_line, environment
from qcc.train.parallel.launch import qcc_command

ROOT = Path(__file__).resolve().parent.parent
RECORDS, IMAGES = ROOT / "docs" / "records", ROOT / "docs" / "images"
DETECTOR, PAGES, TURNS = "ch_PP-OCRv4_det_infer", 16, 12
_SLOWER = 1


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("walks", nargs="*", metavar="NAME", help=f"{' or '.join(WALKS)}; all without")
    names = arguments.parse_args().walks
    if unknown := [name for name in names if name not in WALKS]:
        arguments.error(f"{unknown[0]} is none of {', '.join(WALKS)}.")
    for name in names or WALKS:
        with tempfile.TemporaryDirectory(prefix="qcc-walk-") as folder:
            found = WALKS[name](Path(folder))
        record = {"command": command_line(), "environment": environment(), **found}
        write_json(RECORDS / f"{name}.json", record)


def hard_net(folder: Path) -> dict[str, Any]:
    """The network that is hard to quantize."""
    walk = Walk(folder)
    data = ("--data", "hard/images")
    hard = (*data, "--without", "equalization")
    walk.example("hard_net.py", "hard")
    walk.qcc("quantize", "hard/model", *hard, "-o", "hard/out")
    walk.qcc("analyze", "hard/out", *data, "-o", "hard/report.html")
    walk.qcc("compare", "hard/model", "hard/out/float", *data)
    walk.qcc("quantize", "hard/model", *hard, "-o", "hard/skip", "--skip-vars", "conv2d_1.tmp_0")
    walk.qcc("quantize", "hard/model", *hard, "-o", "hard/abs_max", "--calibrator", "abs_max")
    walk.qcc("quantize", "hard/model", *data, "-o", "hard/balanced")
    models = ("hard/model", *(f"hard/{name}/float" for name in ("out", "abs_max", "skip", "balanced")))
    walk.example("hard_net.py", "hard", *models)
    draw(folder / "hard/report.html", ("summary", "signal"), IMAGES / "report.png", 860)
    draw(folder / "hard/report.html", ("ops", "network"), IMAGES / "report-ops.png", 1000)
    ops = json.loads((folder / "hard/report.json").read_text())["ops"]
    kept = ("op", "output", "sqnr_db", "channel_peaks", "effect")
    return {"steps": walk.steps, "ops": [{key: one[key] for key in kept} for one in ops]}


def bench(folder: Path) -> dict[str, Any]:
    """The detector of text in all engines."""
    walk = Walk(folder)
    (folder / "MODEL").symlink_to(dataset("pp-ocr") / DETECTOR)
    (folder / "PAGES").mkdir()
    make, _ = NETWORKS["det"]
    for number in range(PAGES):
        np.save(folder / f"PAGES/{number:02}.npy", make(number))
    walk.qcc("quantize", "MODEL", "--data", "PAGES", "-o", "OUT", "--target", "openvino")
    to_onnx = ("--target", "onnxruntime", "--calibrate", "PAGES", "-o", "OUT/det.onnx")
    walk.qcc("export", "OUT/float", *to_onnx)
    files = ("--json", "bench.json", "--plot", str(IMAGES / "bench.svg"))
    turns = ("--rounds", str(TURNS))
    walk.qcc("bench", "MODEL", "OUT", "--data", "PAGES", *turns, *files, fine=(0, _SLOWER))
    return {"steps": walk.steps, "bench": json.loads((folder / "bench.json").read_text())}


def draw(report: Path, parts: tuple[str, ...], image: Path, height: int) -> None:
    """Parts of a page as a browser shows them, where there is one."""
    if BROWSER is None:
        print(f"{NO_BROWSER}, so that {image.name} stays as it is.")
        return
    title, found = read_page(report)
    shown = report.with_name("shown.html")
    shown.write_text(page(title, {name: found[name] for name in parts}))
    command = [BROWSER, "--headless", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=2000"]
    if os.geteuid() == 0:
        command.append("--no-sandbox")  # the browser refuses root with one
    command += [f"--user-data-dir={report.with_name('profile')}", f"--window-size=1240,{height}"]
    subprocess.run([*command, f"--screenshot={image}", shown.as_uri()], capture_output=True, check=True)


class Walk:
    """Commands in a folder, and what they have told on standard output."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.steps: list[dict[str, Any]] = []

    def qcc(self, *words: str, fine: tuple[int, ...] = (0,)) -> None:
        self._run(" ".join(["qcc", *words]).replace(f"{IMAGES}/", ""), qcc_command(words), fine)

    def example(self, script: str, *words: str) -> None:
        shown = " ".join(["python", f"examples/{script}", *words])
        self._run(shown, [sys.executable, str(ROOT / "examples" / script), *words], (0,))

    def _run(self, shown: str, command: list[str], fine: tuple[int, ...]) -> None:
        print(f"$ {shown}", flush=True)
        done = subprocess.run(command, cwd=self._folder, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode not in fine:
            sys.exit(done.returncode)
        print(done.stdout)
        self.steps.append({"command": shown, "told": done.stdout.splitlines()})


WALKS: dict[str, Callable[[Path], dict[str, Any]]] = {"hard_net": hard_net, "bench": bench}


if __name__ == "__main__":
    main()
