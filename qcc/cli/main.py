"""The program `qcc`: finds the command, and turns what goes wrong into one sentence and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module

import click

import qcc
from qcc.cli.stdout import checked, discard, echo
from qcc.errors import PathError, QccError, QccWarning
from qcc.forked import want_copy
from qcc.interrupts import finished, started
from qcc.starting import INTERRUPTED_EXIT_CODE

# What people come for: the commands that do it, in the order in which they are used, each in a few words.
GROUPS = {
    "Prepare": {
        "train": "train a float network",
        "convert": "turn Paddle 3's and other layouts into .pdmodel + .pdiparams",
        "config": "explain configuration files",
        "doctor": "tell what this machine lacks",
    },
    "Quantize": {
        "quantize": "quantize a model from images, or in training",
        "freeze": "write a quantized model's float, int8 and QDQ forms",
        "apply": "run a pipeline of passes",
        "passes": "list and explain the passes",
    },
    "Look": {
        "analyze": "what quantizing each op costs, as a page",
        "compare": "two models layer by layer: where they come apart",
        "inspect": "what a model or .nb file is made of, what is quantized",
        "check": "what runs in int8 on a target, and what is refused there",
        "dump-graph": "draw a model, and what passes do to it",
        "eval": "accuracy of any form in Paddle, of a .nb file in Lite",
        "infer": "draw what a detector finds",
        "bench": "time, size and agreement of float and int8, side by side",
    },
    "Ship": {
        "export": "write the file that a device's runtime or an engine loads",
        "completion": "print the completion of commands for a shell",
    },
}

# One command a line, sorted: its name, and the module and click command behind it. A module is imported only
# when its command is run, and must not import Paddle before it is run: that takes a second.
COMMANDS = {
    "analyze": "qcc.cli.analyze:analyze",
    "apply": "qcc.cli.apply:apply",
    "bench": "qcc.cli.bench:bench",
    "check": "qcc.cli.check:check",
    "compare": "qcc.cli.compare:compare",
    "completion": "qcc.cli.completion:completion",
    "config": "qcc.cli.config:config",
    "convert": "qcc.cli.convert:convert",
    "doctor": "qcc.cli.doctor:doctor",
    "dump-graph": "qcc.cli.dump_graph:dump_graph",
    "eval": "qcc.cli.eval:evaluate",
    "export": "qcc.cli.export:export",
    "freeze": "qcc.cli.freeze:freeze",
    "infer": "qcc.cli.infer:infer",
    "inspect": "qcc.cli.inspect:inspect",
    "passes": "qcc.cli.passes:passes",
    "quantize": "qcc.cli.quantize:quantize",
    "train": "qcc.cli.train:train",
}


# What no program can help, wherever it happens; what can be seen beforehand, or tells more, is a QccError.
_EXHAUSTED = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),
}


class LazyGroup(click.Group):
    """A group of commands that imports a command's module when it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by what they are for, none of the lines cut off."""
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()), col_max=16)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            # click proposes the nearest of the commands that it knows, and it knows none before it is asked.
            raise click.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)


def _show_version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from qcc.doctor import paddle_version

    echo(f"qcc, version {qcc.__version__}")
    echo(f"Paddle, {paddle_version()}")
    ctx.exit()


# `run` takes `--debug` out of the arguments, wherever it stands; the option is here for the help text.
@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the versions of qcc and of Paddle, and exit.",
)
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
@click.pass_obj
def cli(arguments: Sequence[str] | None) -> None:
    """A quantization compiler for PaddlePaddle models: 8-bit weights and activations.

    \b
    qcc quantize MODEL --data PHOTOS -o OUT    without training, from a folder of images
    qcc bench MODEL OUT                        whether that is faster on this machine
    qcc COMMAND --help                         what a command takes

    MODEL is what Paddle saves for inference: a folder, a .pdmodel with its .pdiparams, a .json of Paddle 3,
    or `__model__`.
    """
    started()
    _check_place(arguments or ())


def _check_place(arguments: Sequence[str]) -> None:
    """Raise PathError where Paddle, which is imported later, would fail with words of its own."""
    try:
        os.getcwd()
    except OSError as error:
        raise PathError(
            f"the working folder cannot be used ({error.strerror}): change into one that is there."
        ) from error
    for word in arguments:
        if not word:
            raise PathError(
                "an argument is empty, as where a shell's variable is not set: say it, or leave it out."
            )
        try:
            word.encode()
        except UnicodeEncodeError:
            raise PathError(
                f"{word!r} is not UTF-8, in which Paddle takes paths: rename it, or give a link to it."
            ) from None


def main() -> None:
    """Run the command line and exit: 0 when all went well, 2 for a user's mistake, 130 when interrupted."""
    sys.stdout = checked(sys.stdout)
    want_copy()
    code = run(sys.argv[1:])
    finished()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; what is no `QccError` is a bug and gets through."""
    debug = "--debug" in arguments
    try:
        words = [word for word in arguments if word != "--debug"]
        # Commands find the arguments in `obj`, for when they have to be run again in further processes.
        with warnings.catch_warnings():
            # Commands print what `qcc.save` warns of, each in its own words.
            warnings.simplefilter("ignore", QccWarning)
            code = cli.main(words, "qcc", standalone_mode=False, obj=arguments)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        # Who was writing says what of it is there; click has made an Abort of it.
        told = str(error.__cause__ or error)
        echo(f"qcc: interrupted: {told}." if told else "qcc: interrupted", err=True)
        return INTERRUPTED_EXIT_CODE
    except BrokenPipeError:
        # The reader, such as `head`, has had enough.
        discard(sys.stdout.fileno())
        return 1
    except (QccError, OSError, MemoryError) as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        if debug:
            traceback.print_exc()
        for word in filter(None, words):  # names of several lines are shown in one
            sentence = sentence.replace(word, word.replace("\n", "\\n"))
        echo(f"qcc: error: {sentence}", err=True)
        return 2
    return code if isinstance(code, int) else 0


def _sentence(error: Exception) -> str | None:
    """What to tell of an error; None where it is a bug."""
    if isinstance(error, MemoryError):
        return "there is not enough memory."
    if not isinstance(error, OSError):
        return str(error)
    if error.errno not in _EXHAUSTED:
        return None
    about = "this machine refuses" if error.filename is None else f"{error.filename} cannot be used"
    return f"{about}: {error.strerror}."


if __name__ == "__main__":
    main()
