from __future__ import annotations

import errno
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType

import click
import pytest
from lite_commands import small

import qcc
from qcc.cli.main import COMMANDS, GROUPS, run
from qcc.errors import ModelFormatError


@pytest.fixture
def failing_command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module behind the command `fail`, which raises the module's `error`."""
    module = ModuleType("failing")

    @click.command()
    def fail() -> None:
        raise module.error

    module.fail = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "failing", module)
    monkeypatch.setitem(COMMANDS, "fail", "failing:fail")
    return module


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


def test_every_command_is_there_and_says_what_it_does() -> None:
    assert list(COMMANDS) == sorted(COMMANDS)
    done = python(
        "from qcc.cli.main import run; import sys; run(['--help']); assert 'paddle' not in sys.modules"
    )
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


def test_every_command_stands_in_one_group_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    listed = [(name, words) for group in GROUPS.values() for name, words in group.items()]
    assert sorted(name for name, _ in listed) == sorted(COMMANDS)
    assert run(["--help"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert all(f"{name} {words}" in lines for name, words in listed)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert f"_QCC_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_commands_and_options_are_completed() -> None:
    command = [sys.executable, "-m", "qcc"]
    for words, number, wanted in (("qcc dump", "1", "dump-graph"), ("qcc export --self", "2", "--selftest")):
        asked = {"COMP_WORDS": words, "COMP_CWORD": number, "_QCC_COMPLETE": "bash_complete"}
        done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True)
        assert wanted in done.stdout, done.stderr


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: qcc {name} ")


@pytest.mark.parametrize(
    ("installed", "paddle"),
    [
        ({"paddlepaddle": "2.6.2"}, "version 2.6.2 (paddlepaddle, CPU build)"),
        ({"paddlepaddle-gpu": "3.0.0"}, "version 3.0.0 (paddlepaddle-gpu, GPU build)"),
        (
            {"paddlepaddle": "2.6.2", "paddlepaddle-gpu": "2.6.1"},
            "version 2.6.2 (paddlepaddle, CPU build) and version 2.6.1 (paddlepaddle-gpu, GPU build)",
        ),
        ({}, "not installed"),
    ],
)
def test_version(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    installed: dict[str, str],
    paddle: str,
) -> None:
    def version(package: str) -> str:
        if package not in installed:
            raise PackageNotFoundError(package)
        return installed[package]

    monkeypatch.setattr("qcc.doctor.version", version)
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"qcc, version {qcc.__version__}\nPaddle, {paddle}\n"


def test_version_imports_no_paddle() -> None:
    program = (
        "import sys; from qcc.cli.main import run; run(['--version']); assert 'paddle' not in sys.modules"
    )
    assert python(program).returncode == 0


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["docter"]) == 2
    assert "No such command 'docter'. Did you mean 'doctor'?" in capsys.readouterr().err


def test_unknown_option_before_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--nope", "doctor"]) == 2
    assert "No such option '--nope'" in capsys.readouterr().err


def test_users_mistake_is_one_sentence(
    failing_command: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    failing_command.error = ModelFormatError("m.pdmodel is cut short.")  # type: ignore[attr-defined]
    assert run(["fail"]) == 2
    assert capsys.readouterr().err == "qcc: error: m.pdmodel is cut short.\n"


@pytest.mark.parametrize("arguments", [["--debug", "fail"], ["fail", "--debug"]])
def test_debug_shows_the_traceback(
    failing_command: ModuleType, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    failing_command.error = ModelFormatError("m.pdmodel is cut short.")  # type: ignore[attr-defined]
    assert run(arguments) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert shown.endswith("qcc: error: m.pdmodel is cut short.\n")


def test_bug_keeps_its_traceback(failing_command: ModuleType) -> None:
    failing_command.error = KeyError("scale")  # type: ignore[attr-defined]
    with pytest.raises(KeyError, match="scale"):
        run(["fail"])


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.EMFILE, "Too many open files", "a.npy"), "a.npy cannot be used: Too many open files."),
        (OSError(errno.ENOSPC, "No space left on device"), "this machine refuses: No space left on device."),
        (MemoryError(), "there is not enough memory."),
    ],
)
def test_what_the_machine_refuses_is_one_sentence(
    failing_command: ModuleType, capsys: pytest.CaptureFixture[str], error: Exception, sentence: str
) -> None:
    failing_command.error = error  # type: ignore[attr-defined]
    assert run(["fail"]) == 2
    assert capsys.readouterr().err == f"qcc: error: {sentence}\n"


def test_other_errors_of_files_are_bugs(failing_command: ModuleType) -> None:
    failing_command.error = FileNotFoundError(errno.ENOENT, "No such file", "x")  # type: ignore[attr-defined]
    with pytest.raises(FileNotFoundError):
        run(["fail"])


def test_a_name_of_two_lines_is_told_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "two\nlines"]) == 2
    assert capsys.readouterr().err.startswith("qcc: error: two\\nlines: there is no such file")


@pytest.mark.parametrize(
    "words", [["export", "m", "-o", "{name}.nb"], ["quantize", "m", "--data", "random", "-o", "{name}"]]
)
def test_a_name_that_no_file_system_takes_is_one_sentence(
    words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    qcc.save(small()[0], Path("m"), check=False)

    assert run([word.format(name="x" * 300) for word in words]) == 2
    error = capsys.readouterr().err
    assert "cannot be used: File name too long." in error
    assert "Traceback" not in error


@pytest.mark.parametrize("words", [["inspect", ""], ["apply", "m", "-p", "prune", "-o", ""]])
def test_an_empty_argument_is_no_working_folder(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    assert capsys.readouterr().err.startswith("qcc: error: an argument is empty")


def test_streams_that_are_closed_are_no_files_that_are_written(tmp_path: Path) -> None:
    """Otherwise what a library prints on stderr goes into the second file that is opened."""
    program = (
        "import os; from qcc.starting import open_standard_streams; open_standard_streams();"
        f"os.chdir({str(tmp_path)!r}); number = os.open('file', os.O_WRONLY | os.O_CREAT);"
        "print(number, file=open('number', 'w'))"
    )
    subprocess.run(["/bin/sh", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, program], check=True)
    assert int((tmp_path / "number").read_text()) > 2


def test_no_file_descriptor_is_left() -> None:
    """Python itself needs one for each module that it imports."""
    places = [str(Path(qcc.__file__).parents[1]), *sys.path]
    program = f"import sys; sys.path[:] = {places!r}; from qcc.__main__ import main; main()"
    done = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -n 4 && exec "$0" -S -c "$1" inspect x', sys.executable, program],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (2, "qcc: error: this machine refuses: Too many open files.\n")


@pytest.mark.parametrize(
    ("words", "right"),
    [
        (["apply", "m", "-p", "prune", "-o", "FILE"], "is a file: name a folder, there or not.\n"),
        (["dump-graph", "m", "--dot", "FOLDER"], "is a folder: name a file.\n"),
    ],
)
def test_a_file_for_a_folder(
    words: list[str], right: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"FILE": tmp_path / "file", "FOLDER": tmp_path}
    places["FILE"].write_text("mine")
    assert run([str(places.get(word, word)) for word in words]) == 2
    assert capsys.readouterr().err.endswith(f"{places[words[-1]]}' {right}")


def test_interrupt(failing_command: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    failing_command.error = KeyboardInterrupt()  # type: ignore[attr-defined]
    assert run(["fail"]) == 130
    assert capsys.readouterr().err.endswith("qcc: interrupted\n")
    failing_command.error = KeyboardInterrupt("nothing was written")  # type: ignore[attr-defined]
    assert run(["fail"]) == 130
    assert capsys.readouterr().err.endswith("qcc: interrupted: nothing was written.\n")


@pytest.mark.parametrize("lines", [1, 100_000], ids=["in the buffer", "past the buffer"])
def test_reader_that_has_gone_away(lines: int) -> None:
    program = (
        "import sys, types, click; from qcc.cli.main import COMMANDS, run\n"
        f"print_much = click.Command('x', callback=lambda: click.echo('line\\n' * {lines}))\n"
        "sys.modules['much'] = types.SimpleNamespace(command=print_much)\n"
        "COMMANDS['much'] = 'much:command'\n"
        "sys.exit(run(['much']))\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_module_runs_as_the_program() -> None:
    done = subprocess.run([sys.executable, "-m", "qcc", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith(f"qcc, version {qcc.__version__}\nPaddle, version ")
