"""The folder by which a file is tried on a device, tried with Paddle Lite's library for x86."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sysconfig
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from lite_commands import outcome, small
from lite_nets import project_detector

from qcc.backends.lite.export import lower
from qcc.backends.lite.file import read_naive_buffer
from qcc.backends.lite.selftest import passed, run_selftest, write_selftest
from qcc.backends.lite.selftest.manifest import HEADS, LAYERS, NAME, WHOLE, read_manifest
from qcc.errors import ModelFormatError, OutputError

SUPPORT = Path(__file__).parents[3] / "support"


@pytest.fixture(scope="module")
def int8_kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The self-test of a model whose convolutions run in int8 on x86."""
    folder = tmp_path_factory.mktemp("int8")
    model, _ = small()
    write_selftest(model, partial(lower, arch="x86", x86_int8=True), folder)
    return folder


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, int8_kernels: Path) -> Path:
    """The program for devices, built with the library of the wheel `paddlelite`."""
    compiler, wheel = shutil.which("g++"), importlib.util.find_spec("paddlelite")
    if compiler is None or wheel is None or wheel.origin is None:
        pytest.skip("there is no g++, or no wheel of Paddle Lite, whose library the program is linked with")
    built = tmp_path_factory.mktemp("built")
    # It loads under the name that it was linked under, and takes some names from Python.
    library, python = built / "liblite_pybind.so", sysconfig.get_config_var("LIBDIR")
    library.symlink_to(Path(wheel.origin).with_name("lite.so"))
    (built / "libs").symlink_to(Path(wheel.origin).with_name("libs"))
    command = [compiler, "-std=c++11", "-Wall", "-Wextra", "-Werror", int8_kernels / "selftest.cc"]
    command += ["-I", SUPPORT / "paddle_lite_api", "-o", built / "selftest", library]
    command += [f"-L{python}", f"-lpython{sysconfig.get_config_var('LDVERSION')}"]
    command += [f"-Wl,-rpath,{built}:{python},-rpath-link,{built / 'libs'}"]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return built / "selftest"


def test_a_right_device_passes(int8_kernels: Path) -> None:
    outcomes = run_selftest(int8_kernels)
    assert passed(outcomes)
    assert all(one.right for one in outcomes)
    assert {one.file for one in outcomes} == {WHOLE, LAYERS}
    assert {one.run for one in outcomes} == {0, 1, 2}


def test_layers_are_cut_where_integers_flow(int8_kernels: Path) -> None:
    ops = [op.type for op in read_naive_buffer(int8_kernels / LAYERS).ops]
    layers = next(file for file in read_manifest(int8_kernels) if file.name == LAYERS)
    integers = [array for _, array in layers.runs[0].inputs if array.dtype == np.int8]
    assert ops.count("feed") == 1 + len(integers) > 1
    assert [array.shape[0] for _, array in layers.runs[1].inputs] == [2] * ops.count("feed")
    assert all(len(np.unique(array)) > 5 for array in integers if array.size > 50)


def test_the_program_for_devices(int8_kernels: Path, program: Path, tmp_path: Path) -> None:
    ended = subprocess.run([program, int8_kernels], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, "PASSED"), ended.stdout + ended.stderr
    assert f"{LAYERS}: 9 of 9 outputs right, in 3 runs" in ended.stdout

    ended = subprocess.run([program, tmp_path], capture_output=True, text=True)
    assert ended.returncode == 2
    assert "selftest.txt is missing" in ended.stderr


def _damaged(folder: Path, to: Path, file: str) -> Path:
    """A self-test that expects another value of an output of a file, in its second run."""
    shutil.copytree(folder, to)
    lines = (to / NAME).read_text().splitlines()
    begin = lines.index(f"file\t{file}")
    run = [number for number, line in enumerate(lines) if line == "run" and number > begin][1]
    output = next(number for number in range(run, len(lines)) if lines[number].startswith("output"))
    fields = lines[output].split("\t")
    array = np.fromfile(to / fields[4], fields[2])
    (to / "other.bin").write_bytes((array + array.dtype.type(3)).tobytes())
    lines[output] = "\t".join([*fields[:4], "other.bin", *fields[5:]])
    (to / NAME).write_text("\n".join(lines) + "\n")
    return to


def test_what_a_wrong_layer_gives(int8_kernels: Path, program: Path, tmp_path: Path) -> None:
    folder = _damaged(int8_kernels, tmp_path / "wrong", LAYERS)
    outcomes = run_selftest(folder)
    (wrong,) = (one for one in outcomes if not one.right)
    assert not passed(outcomes)
    assert (wrong.file, wrong.run) == (LAYERS, 1)
    ended = subprocess.run([program, folder], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stdout.endswith("FAILED\n")
    assert f"{LAYERS}, run 2: WRONG {wrong.output}" in ended.stdout


def test_the_whole_may_be_off_where_each_layer_is_right(
    int8_kernels: Path, program: Path, tmp_path: Path
) -> None:
    folder = _damaged(int8_kernels, tmp_path / "ties", WHOLE)
    outcomes = run_selftest(folder)
    assert passed(outcomes)
    assert not all(one.right for one in outcomes)
    ended = subprocess.run([program, folder], capture_output=True, text=True)
    assert ended.returncode == 0
    assert f"{WHOLE}, run 2: WRONG" in ended.stdout


def test_a_detector_is_compared_in_front_of_its_nms(tmp_path: Path, program: Path) -> None:
    model, _ = project_detector()
    write_selftest(model, partial(lower, arch="x86"), tmp_path)
    whole, heads = read_manifest(tmp_path)
    assert (whole.name, heads.name) == (WHOLE, HEADS)
    assert np.isinf(whole.runs[0].outputs[0].limit.largest)
    assert len(heads.runs[0].outputs) == 3
    assert not any(np.isinf(one.limit.largest) for one in heads.runs[0].outputs)
    assert passed(run_selftest(tmp_path))
    assert subprocess.run([program, tmp_path]).returncode == 0


def test_the_command(saved: Path, tmp_path: Path) -> None:
    lines = outcome("export", saved, "-o", tmp_path / "x.nb", "--selftest", tmp_path / "selftest")
    assert "files of a self-test into" in lines
    names = {path.name for path in (tmp_path / "selftest").iterdir()}
    assert {WHOLE, LAYERS, NAME, "selftest.cc", "README.md", "0.bin"} <= names
    assert (tmp_path / "selftest" / WHOLE).read_bytes() == (tmp_path / "x.nb").read_bytes()


def test_the_command_on_a_sample_of_the_users_data(saved: Path, tmp_path: Path) -> None:
    """Of a frozen model, too, which has no scales to measure."""
    image = np.full((1, 4, 8, 8), 0.5, np.float32)
    np.save(tmp_path / "data.npy", image)
    folder = tmp_path / "selftest"
    data = ("--calibrate", tmp_path / "data.npy")
    outcome("export", saved, "-o", tmp_path / "x.nb", "--selftest", folder, *data)
    first = np.frombuffer((folder / "0.bin").read_bytes(), np.float32)
    assert np.array_equal(first, image.ravel())


@pytest.mark.parametrize(
    "text",
    ["", "something else\n", "qcc-selftest\t1\nfile\t../model.nb\n", "qcc-selftest\t1\nrun\ninput\tx\n"],
)
def test_what_is_no_selftest(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(ModelFormatError, match="selftest"):
        read_manifest(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    model, _ = small()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_selftest(model, partial(lower, arch="x86"), tmp_path / "file")
