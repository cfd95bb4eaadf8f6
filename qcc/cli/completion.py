"""`qcc completion`: what completes commands and options in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what completes the commands and options of qcc in SHELL.

    \b
    qcc completion bash > ~/.local/share/bash-completion/completions/qcc
    qcc completion zsh > "${fpath[1]}/_qcc"
    qcc completion fish > ~/.config/fish/completions/qcc.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "qcc", "_QCC_COMPLETE").source())
