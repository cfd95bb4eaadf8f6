"""What has to be settled before Paddle is imported, and what importing qcc leaves alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

GZIP = "assert gzip.decompress(gzip.compress(b'x' * 9999)) == b'x' * 9999"


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    flags = ("FLAGS_enable_pir_api", "GLOG_minloglevel")
    clean = {name: value for name, value in os.environ.items() if name not in flags}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, env=clean | environment)


@pytest.mark.parametrize("imports", ["qcc, paddle", "qcc._paddle"])
def test_gzip_works_after_paddle_in_a_fresh_process(imports: str) -> None:
    done = run(f"import {imports}, gzip; {GZIP}")
    assert done.returncode == 0, done.stderr


def test_import_sets_paddles_flags_unless_they_are_set() -> None:
    program = "import os, qcc; print(os.environ['FLAGS_enable_pir_api'], os.environ['GLOG_minloglevel'])"
    assert run(program).stdout == "0 2\n"
    assert run(program, GLOG_minloglevel="0").stdout == "0 0\n"


def test_flags_stay_as_they_are_where_paddle_was_first() -> None:
    program = (
        "import zlib, os, paddle, qcc\n"
        "assert not {'FLAGS_enable_pir_api', 'GLOG_minloglevel'} & set(os.environ)\n"
    )
    done = run(program)
    assert done.returncode == 0, done.stderr


def test_paddle_that_runs_with_its_new_ir_is_one_sentence() -> None:
    """As Paddle 3 does where it was imported first, without the flag."""
    program = (
        "import zlib, paddle\n"
        "paddle.set_flags({'FLAGS_enable_pir_api': True})\n"
        "import qcc\n"
        "try:\n"
        "    qcc.load('model')\n"
        "except qcc.errors.PaddleError as error:\n"
        "    print(paddle.__version__, error)\n"
    )
    version, _, sentence = run(program).stdout.partition(" ")
    assert sentence == (
        f"Paddle {version} runs with its new IR, and qcc works on the old one: import qcc before paddle,"
        " or set FLAGS_enable_pir_api=0 in the environment.\n"
    )
    set_by_hand = run("import qcc._paddle", FLAGS_enable_pir_api="1")
    assert set_by_hand.returncode == 1
    assert "PaddleError" in set_by_hand.stderr
    assert "take FLAGS_enable_pir_api out of the environment." in set_by_hand.stderr


def test_whole_compiler_is_imported_and_dygraph_stays() -> None:
    program = (
        "import pkgutil, importlib, qcc, paddle\n"
        "for module in pkgutil.walk_packages(qcc.__path__, 'qcc.'):\n"
        "    if module.name != 'qcc.__main__':\n"
        "        try:\n"
        "            importlib.import_module(module.name)\n"
        "        except ModuleNotFoundError as error:\n"
        "            assert error.name in ('onnx', 'onnxruntime', 'openvino', 'paddlelite', 'tensorrt')\n"
        "assert paddle.in_dynamic_mode()\n"
    )
    done = run(program)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("home", ["/dev/null", "/proc"])
def test_a_home_folder_that_cannot_be_written_is_one_sentence(home: str) -> None:
    done = run("from qcc.cli.main import run; import sys; sys.exit(run(['passes', 'prune']))", HOME=home)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("qcc: error: Paddle cannot be imported ([Errno ")
    assert done.stderr.endswith(f"'{home}/.cache'): set HOME to a folder that it can write to.\n")


def test_without_docstrings_a_command_runs_or_says_why() -> None:
    """Paddle 2.6 fills in docstrings as it is imported; Paddle 3 does not."""
    program = "from qcc.cli.main import run; import sys; sys.exit(run(['passes', 'prune']))"
    done = run(program, PYTHONOPTIMIZE="2")
    if done.returncode != 0:
        assert done.returncode == 2
        assert done.stderr.startswith("qcc: error: Paddle cannot be imported without docstrings (")
        assert done.stderr.endswith("): leave out -OO, and PYTHONOPTIMIZE=2.\n")
