"""Running saved models in paddle.inference, on inputs that are made up or given."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_models import PaddleModel, control_flow, two_feeds

import qcc
from qcc._paddle import paddle
from qcc.backends.engines import patience
from qcc.backends.predictor import Engine, PaddleExecutor, Predictor
from qcc.errors import GraphError, ModelFormatError, PaddleError
from qcc.failures import reason
from qcc.model import Runner

static = paddle.static


@pytest.fixture(scope="module")
def live() -> PaddleModel:
    return two_feeds()


@pytest.fixture(scope="module")
def folder(live: PaddleModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    live.save(folder / "net")
    return folder


@pytest.mark.parametrize(
    "engine",
    [
        None,
        Engine(optimize=False),
        Engine(threads=2),
        Engine(onednn=True),
        Engine(onednn=True, int8=True),
        Engine(int8=True, int8_ops=("conv2d", "fc")),
    ],
    ids=str,
)
def test_every_engine(engine: Engine | None, folder: Path, live: PaddleModel) -> None:
    predictor = Predictor.open(folder, engine)
    assert predictor.feeds == ("image", "extra")
    for seed in range(2):
        outputs = predictor.run(live.inputs(seed))
        for found, wanted in zip(outputs, live.run(live.inputs(seed)), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_several_blocks(tmp_path: Path) -> None:
    live = control_flow()
    predictor = Predictor.open(live.save(tmp_path / "net"), Engine())
    np.testing.assert_allclose(
        predictor.run(live.inputs())[0], live.run(live.inputs())[0], rtol=1e-4, atol=1e-5
    )


def test_wrong_inputs(folder: Path) -> None:
    with pytest.raises(GraphError, match=r"fed by \['image', 'extra'\], but the inputs are \['image'\]"):
        Predictor.open(folder).run({"image": np.zeros((1, 3, 6, 6), np.float32)})


@pytest.mark.parametrize("dtype", ["uint8", "float64", "object", "<U3"])
def test_elements_of_another_type(dtype: str, folder: Path, live: PaddleModel) -> None:
    """oneDNN gives numbers for images of uint8, and for nothing else."""
    inputs = live.inputs()
    given = {**inputs, "image": np.ones(inputs["image"].shape).astype(dtype)}
    files = folder / "net.pdmodel", folder / "net.pdiparams"
    predictor = Predictor(*files, Engine(onednn=True))
    for ask in (predictor.run, PaddleExecutor(*files).run, partial(predictor.times, warm_up=0, runs=1)):
        with pytest.raises(
            GraphError,
            match=rf"'image' is {dtype}, and the model is fed with float32: give it `.astype\('float32'\)`",
        ):
            ask(given)
    assert len(predictor.run(inputs)) == len(live.fetches)


def test_arrays_as_paddles_executor_takes_them(folder: Path, live: PaddleModel) -> None:
    """Lists, and arrays whose bytes are in another order."""
    inputs = live.inputs()
    given: Any = {"image": inputs["image"].tolist(), "extra": inputs["extra"].astype(">f4")}
    files = folder / "net.pdmodel", folder / "net.pdiparams"
    for runner in (Predictor(*files, Engine()), PaddleExecutor(*files)):
        for found, wanted in zip(runner.run(given), live.run(inputs), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(GraphError, match=r"'image' is a list of which numpy makes no array of float32: "):
        Predictor(*files, Engine()).run({**given, "image": [[1.0], [1.0, 2.0]]})


def test_paddles_reason_is_one_line(folder: Path) -> None:
    inputs = {"image": np.zeros((1, 7, 6, 6), np.float32), "extra": np.zeros((1, 5), np.float32)}
    with pytest.raises(
        PaddleError, match=r"cannot run .*net.pdmodel: \(InvalidArgument\).*\[op \w*conv2d\]"
    ) as caught:
        Predictor.open(folder, Engine()).run(inputs)
    assert "\n" not in str(caught.value)


def test_files_that_paddle_cannot_load(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "net.pdmodel").write_bytes((folder / "net.pdmodel").read_bytes())
    (tmp_path / "net.pdiparams").write_bytes(b"")
    with pytest.raises(PaddleError, match=r"cannot load .*net.pdmodel: "):
        Predictor(tmp_path / "net.pdmodel", tmp_path / "net.pdiparams", Engine())


def test_separate_parameters_are_refused(live: PaddleModel, tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="has a file per parameter"):
        Predictor.open(live.save_separate(tmp_path))


def test_a_crash_is_one_sentence_and_leaves_the_other_models(folder: Path, live: PaddleModel) -> None:
    crashing, other = (Predictor.open(folder, Engine()) for _ in range(2))
    os.kill(crashing._process._child, signal.SIGILL)
    with pytest.raises(
        PaddleError, match=r"paddle.inference \(default kernels\) was ended by SIGILL when .*net.pdmodel\."
    ):
        crashing.run(live.inputs())
    assert len(other.run(live.inputs())) == len(live.fetches)
    assert len(Predictor.open(folder, Engine()).run(live.inputs())) == len(live.fetches)


def test_an_import_that_fails_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qcc.backends.engines.paddle._server", None)
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(PaddleError, match=r"while it imported Paddle: .*ModuleNotFoundError"):
        Predictor.open(folder, Engine())


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fed with many steps, it does not come to an end."""
    return control_flow().save(tmp_path_factory.mktemp("endless") / "net")


def test_a_loop_without_an_end_is_one_sentence(endless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor.open(endless, Engine())
    monkeypatch.setattr(patience, "LOOK", 0.05)
    monkeypatch.setattr(patience, "BUSY", 2)
    child = predictor._process._child
    inputs = {"image": np.zeros((1, 3, 6, 6), np.float32), "steps": np.array([2**40])}
    for _ in range(2):
        with pytest.raises(
            PaddleError, match=r"hung and was ended after 0 hours .* when it was to run .*net\."
        ):
            predictor.run(inputs)
    assert not Path(f"/proc/{child}").exists()
    monkeypatch.undo()
    again = Predictor.open(endless, Engine())
    assert len(again.run({**inputs, "steps": np.array([1])})) == 1


def test_a_run_without_an_end_ends_with_the_program(endless: Path) -> None:
    """Whatever has ended that: no loop goes on where nobody sees it."""
    program = f"""
import os, signal, sys, threading
import numpy as np
from qcc.backends.engines import patience
from qcc.backends.predictor import Engine, Predictor
predictor = Predictor.open({str(endless)!r}, Engine())
inputs = {{"image": np.zeros((1, 3, 6, 6), np.float32), "steps": np.array([2**40])}}
threading.Thread(target=predictor.run, args=(inputs,), daemon=True).start()
child = predictor._process._child
while int(open(f"/proc/{{child}}/stat").read().rpartition(")")[2].split()[11]) < 50:
    pass
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    child = Path("/proc", done.stdout.strip())
    deadline = time.monotonic() + 20
    while child.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.exists()


def test_a_process_ends_with_its_model(folder: Path) -> None:
    predictor = Predictor.open(folder, Engine())
    child = predictor._process._child
    assert Path(f"/proc/{child}").exists()
    predictor.close()
    assert not Path(f"/proc/{child}").exists()


def test_seconds(folder: Path, live: PaddleModel) -> None:
    seconds = Predictor.open(folder, Engine()).seconds(live.inputs(), warm_up=1, runs=3)
    assert len(seconds) == 3
    assert min(seconds) > 0


def test_executor_runs_op_for_op(folder: Path, live: PaddleModel) -> None:
    """Paddle's own reading of the files: any variable may be fetched, and the weights are those saved."""
    model = qcc.load(folder)
    executor = PaddleExecutor(folder / "net.pdmodel", folder / "net.pdiparams")
    assert (executor.feeds, executor.fetches) == (model.feeds, model.fetches)
    assert executor.digests() == {name: zlib.crc32(array.data) for name, array in model.weights.items()}
    inner = next(op.output("Output").name for op in model.graph.ops if op.type == "conv2d")
    for found, wanted in zip(
        executor.run(live.inputs(), (inner, *model.fetches)),
        Runner(model).run(live.inputs(), (inner, *model.fetches)),
        strict=True,
    ):
        np.testing.assert_array_equal(found, wanted)


def test_onednn_does_not_chatter(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Predictor.open(folder, Engine(onednn=True, int8=True))
    captured = capfd.readouterr()
    assert "quantized" not in captured.out + captured.err


def test_reason_of_errors_without_words() -> None:
    assert reason(RuntimeError()) == "RuntimeError"
    assert reason(RuntimeError("one\ntwo")) == "one"
