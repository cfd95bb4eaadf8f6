"""Measures quantization without training beside paddleslim's, on networks and photos that anybody can fetch.

    make bench-ptq      measures all, writes docs/records/ptq.json and from it docs/ptq-bench.md

The networks are the three of PP-OCR, the photos pieces of real aerial photos with words written on them
(`tests/support/ocr_photos.py`). Each call is measured in a process of its own: processor seconds of all its
threads, and how far its memory rises above where it stood before. What comes out is run by Paddle's executor
on other photos and compared with the float network.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ocr_photos import NETWORKS
from outcome import Outcome

import qcc
from qcc._paddle import paddle
from qcc.calibrate.quantize import Effort
from qcc.model import Model, Runner
from qcc.train.data.cache import dataset
from qcc.train.evaluation.report import command_line, environment

ROOT = Path(__file__).resolve().parent.parent
RECORD, PAGE = ROOT / "docs" / "records" / "ptq.json", ROOT / "docs" / "ptq-bench.md"
FOLDERS = {
    "cls": "ch_ppocr_mobile_v2_cls_infer",
    "det": "ch_PP-OCRv4_det_infer",
    "rec": "ch_PP-OCRv4_rec_infer",
}
TITLES = {
    "cls": "PP-OCR classifier: same direction",
    "det": "PP-OCR detector: overlap of the maps",
    "rec": "PP-OCR recognizer: same character",
}
CALIBRATION, TEST = 32, {"cls": 300, "det": 24, "rec": 48}
QCC = ("qcc calibrated", "qcc accurate")
SLIM = tuple(
    f"paddleslim {algo}{corrected}"
    for algo in ("hist", "KL", "mse", "avg")
    for corrected in ("", ", bias correction")
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--child", nargs=2, metavar=("NETWORK", "TOOL"), help=argparse.SUPPRESS)
    arguments.add_argument("--render", action="store_true", help="only write the page")
    options = arguments.parse_args()
    outcome = Outcome(RECORD, PAGE, text)
    if options.child:
        print(json.dumps(measure(*options.child)))
    elif options.render:
        outcome.render()
    else:
        networks = [
            {"name": name, "tools": [in_a_child(name, tool) for tool in QCC + SLIM]} for name in FOLDERS
        ]
        outcome.store({"command": command_line(), "environment": environment(), "networks": networks})


def in_a_child(name: str, tool: str) -> dict[str, Any]:
    """Measure in a process of its own, which imports only what it needs."""
    command = [sys.executable, __file__, "--child", name, tool]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {"tool": tool, "failed": done.returncode}
    measured = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}, {tool}: {measured}", flush=True)
    return {"tool": tool, **measured}


def measure(name: str, tool: str) -> dict[str, float]:
    """What a tool takes, and how near to the float network its result is."""
    folder = dataset("pp-ocr") / FOLDERS[name]
    make, agreement = NETWORKS[name]
    model = qcc.load(folder)
    (feed,) = model.feeds
    photos = [{feed: make(number)} for number in range(CALIBRATION)]
    found: list[Model] = []
    quantize = _by_qcc if tool in QCC else _by_slim
    with tempfile.TemporaryDirectory(prefix="qcc-bench-") as out, _measured() as taken:
        found.append(quantize(tool, folder, model, photos, Path(out)))
    runners = Runner(model), Runner(found[0])
    scores, differences = [], []
    for number in range(1000, 1000 + TEST[name]):
        wanted, got = (runner.run({feed: make(number)})[0] for runner in runners)
        scores.append(agreement(got, wanted))
        differences.append(float(np.abs(got - wanted).mean()))
    return {**taken, "agreement": float(np.mean(scores)), "difference": float(np.mean(differences))}


def _by_qcc(tool: str, folder: Path, model: Model, photos: list[Any], out: Path) -> Model:
    effort: Effort = "accurate" if tool == "qcc accurate" else "calibrated"
    return qcc.quantize(model, photos, effort)


def _by_slim(tool: str, folder: Path, model: Model, photos: list[Any], out: Path) -> Model:
    from paddleslim.quant import quant_post_static

    algo, _, corrected = tool.removeprefix("paddleslim ").partition(", ")
    (feed,) = model.feeds
    paddle.enable_static()
    quant_post_static(
        paddle.static.Executor(paddle.CPUPlace()),
        str(folder),
        str(out),
        data_loader=_loader(feed, [photo[feed][0] for photo in photos]),
        model_filename="inference.pdmodel",
        params_filename="inference.pdiparams",
        batch_nums=len(photos),
        algo=algo,
        bias_correction=bool(corrected),
        onnx_format=False,
    )
    return qcc.load(out)


def _loader(feed: str, images: list[np.ndarray]) -> Any:
    """The one kind of data that paddleslim 2.6 takes."""

    class Images(paddle.io.Dataset):  # type: ignore[misc]
        def __getitem__(self, index: int) -> np.ndarray:
            return images[index]

        def __len__(self) -> int:
            return len(images)

    with paddle.static.program_guard(paddle.static.Program()):
        fed = paddle.static.data(feed, [-1, *images[0].shape])
    return paddle.io.DataLoader(
        Images(), feed_list=[fed], places=[paddle.CPUPlace()], batch_size=1, return_list=False
    )


@contextmanager
def _measured() -> Iterator[dict[str, float]]:
    """Seconds of wall clock and processor that the block takes, and MB that it needs above what there was."""
    taken: dict[str, float] = {}
    over = threading.Event()
    before = peak = _resident()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.005):
            peak = max(peak, _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield taken
    finally:
        taken.update(seconds=time.perf_counter() - wall, cpu=time.process_time() - cpu)
        over.set()
        watcher.join()
        taken["peak"] = (peak - before) / 1e6


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def text(record: dict[str, Any]) -> str:
    """The page."""
    lines = [
        "# Quantizing without training, beside paddleslim",
        "",
        f"`{record['command']}`, which anybody can run: 32 photos to calibrate on, others to compare on."
        f" Agreement is"
        " that with the float network, both run by Paddle's executor; difference is the mean of the outputs'"
        " differences. Processor seconds and memory are those of the call alone.",
        "",
    ]
    for network in record["networks"]:
        lines += [
            f"## {TITLES[network['name']]}",
            "",
            "| tool | agreement | difference | processor, s | memory, MB |",
            "|---|---|---|---|---|",
            *(_row(one) for one in network["tools"]),
            "",
        ]
    machine = record["environment"]
    lines.append(
        f"Measured on {machine.get('processor', 'one machine')}, one thread, Paddle 2.6.2, paddleslim 2.6.0."
    )
    return "\n".join(lines) + "\n"


def _row(one: dict[str, Any]) -> str:
    if "failed" in one:
        return f"| {one['tool']} | fails | | | |"
    numbers = f"{one['agreement']:.2%} | {one['difference']:.5f} | {one['cpu']:.1f} | {one['peak']:.0f}"
    return f"| {one['tool']} | {numbers} |"


if __name__ == "__main__":
    main()
