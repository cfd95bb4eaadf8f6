"""The whole way of a network, as one would type it, for the scripts beside this."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

import qcc
from qcc.backends.engines.onnxruntime import onnxruntime_missing
from qcc.backends.engines.openvino import openvino_missing
from qcc.backends.lite.runtime import runtime_missing
from qcc.train.config import ClassifierConfig, DetectorConfig, load_config, load_slim
from qcc.train.evaluation.compare import FormResult, compare_forms
from qcc.train.evaluation.report import run_record
from qcc.train.parallel.launch import qcc_command
from qcc.train.programs.weights import float_model, load_weights
from qcc.train.tasks.build import build_task

_MISSING = {"Lite": runtime_missing, "ONNX Runtime": onnxruntime_missing, "OpenVINO": openvino_missing}


@dataclass
class Flow:
    """`config` and `slim`: files; `overrides`: KEY=VALUE; `folder` takes the saved forms; `runtimes`: those
    for which files are written, and that run them."""

    config: Path
    slim: Path
    folder: Path
    console: Console
    overrides: Sequence[str] = ()
    runtimes: Sequence[str] = ("Lite",)
    commands: list[str] = field(default_factory=list)

    def qcc(self, *arguments: str | int | Path) -> None:
        """Show and run one qcc command; ends the program when it fails."""
        words = [str(argument) for argument in arguments]
        self.commands.append(shlex.join(["qcc", *words]))
        self.console.print(f"\n$ {self.commands[-1]}", style="bold", highlight=False, soft_wrap=True)
        done = subprocess.run(qcc_command(words), check=False)
        if done.returncode != 0:
            sys.exit(done.returncode)

    def run(self) -> dict[str, Any]:
        """Quantize, freeze the best epoch, compare all forms; returns the record of the run."""
        checkpoints = load_slim(self.slim).compressor.checkpoint_path
        overrides = [word for override in self.overrides for word in ("-o", override)]
        self.qcc("quantize", "-c", self.config, "-s", self.slim, *overrides)
        scheme = json.loads((checkpoints / "0" / "scheme.json").read_text())
        self._freeze(checkpoints, dynamic=scheme["activation_quantize_type"] == "abs_max")
        summary = json.loads((checkpoints / "metrics.json").read_text())
        config = load_config(self.config, self.overrides)
        results = self._compare(config, checkpoints / str(summary["best"]["epoch"]) / "eval_model")
        record = run_record(
            config.model_dump(mode="json", by_alias=True),
            {
                "commands": self.commands,
                "scheme": scheme,
                "epochs": summary["epochs"],
                "best_epoch": summary["best"]["epoch"],
                "forms": [result.record() for result in results],
            },
        )
        self.results = results
        return record

    def _freeze(self, checkpoints: Path, dynamic: bool) -> None:
        """A dynamic network is frozen twice: as it is, and with fixed scales, which runtimes want."""
        best = ("freeze", "--checkpoint", checkpoints, "--epoch", "best")
        if dynamic:
            self.qcc(*best, "--save", self.folder / "dynamic")
            self.qcc(*best, "--calibrate", self.config, "--save", self.folder)
        else:
            self.qcc(*best, "--save", self.folder)

    def _compare(self, config: ClassifierConfig | DetectorConfig, transformed: Path) -> list[FormResult]:
        task = build_task(config)
        weights = config.pretrain_weights
        assert weights is not None
        qcc.save(float_model(task.network(), load_weights(weights), weights), self.folder / "original")
        folders = form_folders(self.folder, transformed)
        files = {form: self.export(form, folders[form]) for form in ("float", "frozen")}
        self.console.print("\nEvaluating every form on all test images, and timing them:")
        return compare_forms(folders, task, self.console, files)

    def export(self, form: str, model: Path) -> dict[str, Path]:
        """The files of a form for each runtime that is installed."""
        files = {}
        for name in self.runtimes:
            missing = _MISSING[name]()
            if missing is not None:
                self.console.print(f"\nNothing is measured in {name}: {missing}")
                continue
            files[name] = runtime_file(self.folder, form, name)
            arch = ("--arch", "x86") if name == "Lite" else ()
            # ONNX Runtime wants scales that no training has observed.
            more = ("--calibrate", self.config) if (form, name) == ("frozen", "ONNX Runtime") else ()
            self.qcc("export", model, "--target", _target(name), *arch, *more, "-o", files[name])
        return files


def runtime_file(folder: Path, form: str, runtime: str) -> Path:
    """Where the file of a form for another runtime is."""
    return folder / (f"{form}.nb" if runtime == "Lite" else f"{form}-{_target(runtime)}.onnx")


def _target(runtime: str) -> str:
    return runtime.replace(" ", "").lower()


def form_folders(saved: Path, transformed: Path) -> dict[str, Path]:
    """Where each form of a run is. "dynamic": frozen, with activation scales measured in each run."""
    folders = {
        "float": saved / "original",
        "transformed": transformed,
        "dynamic": saved / "dynamic" / "float",
        "frozen": saved / "float",
        "int8": saved / "int8",
        "qdq": saved / "qdq",
    }
    return {form: folder for form, folder in folders.items() if folder.exists()}
