"""Effort trained on the classifier of PP-OCR, which 8 bits hurt: class agreement before and after."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ocr_photos import NETWORKS
from rich.console import Console

import qcc
from qcc.calibrate.choose import choose
from qcc.calibrate.collect import Collector, numbered
from qcc.calibrate.data.batches import Batches
from qcc.calibrate.plan import make_plan
from qcc.interrupts import StopRequest
from qcc.model import Runner
from qcc.train.tasks.imitation import Samples
from qcc.train.unlabelled import Budget, train_unlabelled

CALIBRATION, TRAINING, TEST, STEPS = 32, 512, 300, 200


@pytest.mark.slow
def test_the_student_is_nearer_to_its_teacher_on_other_photos(
    pp_ocr_models: dict[str, Path], tmp_path: Path
) -> None:
    make, same = NETWORKS["cls"]
    make = cache(make)
    model = qcc.load(pp_ocr_models["cls"])
    (feed,) = model.feeds
    plan = make_plan(model)
    statistics = plan.statistics()
    collector = Collector(plan.folded, statistics)
    for batch in numbered({feed: make(number)} for number in range(CALIBRATION)):
        collector.run(batch, batch.read())
    calibrated = choose(plan, statistics, "mse").freeze()
    samples = Samples(Batches(range(TRAINING), lambda number: {feed: make(number)}), ["photos"])
    console = Console(file=io.StringIO())
    trained = train_unlabelled(plan, calibrated, samples, tmp_path, console, StopRequest(), Budget(STEPS))
    print(console.file.getvalue())  # type: ignore[attr-defined]
    print(*trained.told(), sep="\n")
    runners = {"calibrated": Runner(calibrated.model), "trained": Runner(trained.model)}
    teacher = Runner(model)
    scores: dict[str, list[float]] = {name: [] for name in runners}
    errors = dict.fromkeys(runners, 0.0)
    for number in range(100_000, 100_000 + TEST):
        photo = {feed: make(number)}
        (wanted,) = teacher.run(photo)
        for name, runner in runners.items():
            (found,) = runner.run(photo)
            scores[name].append(same(found, wanted))
            errors[name] += float(np.square(found - wanted).sum())
    agreement = {name: float(np.mean(found)) for name, found in scores.items()}
    print(f"class agreement on {TEST} other photos: {agreement}; squared errors: {errors}")
    assert trained.best is None or trained.best["snr"] >= trained.before["snr"]
    assert agreement["trained"] > agreement["calibrated"] - 0.02
