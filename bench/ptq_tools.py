"""The tools that quantize without training: what each makes of a network, and what that takes."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import venv
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from taken import measured

import qcc
from qcc._paddle import paddle
from qcc.backends.engines.openvino import OpenVino
from qcc.backends.onnx.boxes import SUPPRESSIONS
from qcc.calibrate.data.batches import Batch
from qcc.errors import QccWarning
from qcc.ir.framework import ProgramProto
from qcc.model import Model
from qcc.passes.frozen import frozen_ops
from qcc.train import quantize_unlabelled
from qcc.train.evaluation.evaluate import ModelRunner
from qcc.train.parallel.group import ALONE
from qcc.train.tasks.task import Run

ROOT = Path(__file__).resolve().parent.parent
NNCF = "3.4.0"
TRAINED_STEPS = 100
IN_OPENVINO = ", in OpenVINO"
NNCF_BY_DEFAULT = "nncf"
LAYERS_BY_NNCF = f"nncf, boxes made in float{IN_OPENVINO}"
CALIBRATED, TRAINED = "qcc calibrated", "qcc trained"
CORRECTED = ", bias correction"
SLIM = tuple(
    f"paddleslim {algo}{corrected}" for corrected in ("", CORRECTED) for algo in ("hist", "KL", "mse", "avg")
)
ADAROUND = "paddleslim adaround"
TOOLS = (
    "float",
    CALIBRATED,
    *SLIM,
    f"float{IN_OPENVINO}",
    f"{CALIBRATED}{IN_OPENVINO}",
    f"{NNCF_BY_DEFAULT}{IN_OPENVINO}",
    LAYERS_BY_NNCF,
    "qcc accurate",
    TRAINED,
    ADAROUND,
)


@dataclass(frozen=True)
class Job:
    """What is to be quantized: `model`, which stands in `folder`, too, with the `batches`; `out`: an empty
    folder."""

    folder: Path
    model: Model
    batches: Sequence[Batch]
    out: Path


@dataclass(frozen=True)
class Made:
    """`run` of what a tool has made, its number of layers in `int8`, and what the call has `taken`."""

    run: Run
    int8: int
    taken: dict[str, float]


@contextmanager
def made(tool: str, job: Job) -> Iterator[Made]:
    """What a tool makes of a network, ready to run in the block."""
    if tool.endswith(IN_OPENVINO):
        path, taken = _for_openvino(tool.removesuffix(IN_OPENVINO), job)
        with OpenVino(path) as engine:
            yield Made(engine.run, sum(engine.int8.values()), taken)
        return
    model, taken = _by_slim(tool, job) if tool in (*SLIM, ADAROUND) else _by_qcc(tool, job)
    yield Made(runner(model), len(list(frozen_ops(model.graph))), taken)


def runner(model: Model) -> Run:
    """A model in Paddle's executor."""
    return ModelRunner(model, ALONE.device).run


def versions() -> dict[str, str]:
    """What the tools' numbers depend on."""
    return {name: version(name) for name in ("paddleslim", "openvino")} | {"nncf": NNCF}


def _by_qcc(tool: str, job: Job, target: str | None = None) -> tuple[Model, dict[str, float]]:
    if tool == "float":
        return job.model, {}
    # Imported before it is measured, as the other tools are.
    quantize = qcc.quantize
    with warnings.catch_warnings(), measured() as taken:
        warnings.simplefilter("ignore", QccWarning)
        if tool == TRAINED:
            found = quantize_unlabelled(job.model, job.batches, job.out, steps=TRAINED_STEPS).model
        elif tool == "qcc accurate":
            found = quantize(job.model, job.batches, "accurate", target=target)
        else:
            found = quantize(job.model, job.batches, target=target)
    return found, taken


def _by_slim(tool: str, job: Job) -> tuple[Model, dict[str, float]]:
    """paddleslim's own defaults, but for the algorithm and the form that `qcc.load` reads."""
    from paddleslim.quant import quant_post_static

    logging.disable(logging.INFO)
    algo, _, corrected = tool.removeprefix("paddleslim ").partition(", ")
    chosen = {"round_type": algo} if tool == ADAROUND else {"algo": algo, "bias_correction": bool(corrected)}
    paddle.enable_static()
    loader = _loader(job.model, job.batches)
    with measured() as taken:
        quant_post_static(
            paddle.static.Executor(paddle.CPUPlace()),
            str(job.folder),
            str(job.out),
            data_loader=loader,
            model_filename="inference.pdmodel",
            params_filename="inference.pdiparams",
            batch_nums=len(job.batches),
            onnx_format=False,
            **chosen,
        )
    return qcc.load(job.out), taken


def _loader(model: Model, batches: Sequence[Batch]) -> Any:
    """The one kind of data that paddleslim 2.6 takes: it puts samples together itself."""

    class Images(paddle.io.Dataset):  # type: ignore[misc]
        def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
            return tuple(batches[index][name][0] for name in model.feeds)

        def __len__(self) -> int:
            return len(batches)

    with paddle.static.program_guard(paddle.static.Program()):
        fed = [
            paddle.static.data(name, [-1, *batches[0][name].shape[1:]], str(batches[0][name].dtype))
            for name in model.feeds
        ]
    return paddle.io.DataLoader(
        Images(), feed_list=fed, places=[paddle.CPUPlace()], batch_size=1, return_list=False
    )


def _for_openvino(tool: str, job: Job) -> tuple[Path, dict[str, float]]:
    """A file for OpenVINO, which reads Paddle's models itself, but for the op `mul`."""
    if tool != CALIBRATED:
        readable = qcc.PassManager.parse("mul-to-matmul").run(job.model)
        qcc.save(readable, job.out / "float", check=False)
        path = job.out / "float" / "model.pdmodel"
        _one_by_one(path, job.model)
        return (
            (path, {})
            if tool == "float"
            else _by_nncf(path, job, [] if tool == NNCF_BY_DEFAULT else ["left"])
        )
    frozen, taken = _by_qcc(tool, job, "openvino")
    qcc.save(frozen, job.out, target="openvino", check=False)
    path = job.out / "model.pdmodel"
    _one_by_one(path, job.model)
    return path, taken


def _one_by_one(program: Path, model: Model) -> None:
    """Let the file of a detector take one image at a time, as the ONNX files do that qcc makes: OpenVINO
    computes boxes wrongly in int8 while the batch is open."""
    if not any(op.type in SUPPRESSIONS for op in model.graph.ops):
        return
    content = ProgramProto.FromString(program.read_bytes())
    for var in content.blocks[0].vars:
        if var.name in model.feeds:
            var.type.lod_tensor.tensor.dims[0] = 1
    program.write_bytes(content.SerializeToString())


def _by_nncf(model: Path, job: Job, left: list[str]) -> tuple[Path, dict[str, float]]:
    data, out = job.out / "data.npz", job.out / "model.xml"
    numbered = enumerate(job.batches)
    np.savez(data, **{f"{number} {name}": batch[name] for number, batch in numbered for name in batch})
    words = [str(_nncf_python()), str(ROOT / "bench" / "ptq_nncf.py")]
    words += [str(model), str(data), str(out), *left]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    taken: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return out, taken


def _nncf_python() -> Path:
    """NNCF wants other versions of numpy and others than Paddle: an environment of its own, made once."""
    folder = ROOT / "build" / "nncf"
    python, stamp = folder / "bin" / "python", folder / "made"
    if not stamp.exists():
        venv.create(folder, clear=True, with_pip=True)
        wanted = [f"nncf=={NNCF}", f"openvino=={version('openvino')}"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], stdout=sys.stderr, check=True)
        stamp.touch()
    return python
