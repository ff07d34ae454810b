"""The command `completion`, which is the same in each of our programs: click's own script for a shell."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


def completion(program: str) -> click.Command:
    """The command that prints the script which completes `program`."""

    @click.command("completion")
    @click.argument("shell", type=click.Choice(SHELLS))
    @click.pass_context
    def command(ctx: click.Context, shell: str) -> None:
        from click.shell_completion import get_completion_class  # noqa: PLC0415 - no other command needs it

        made = get_completion_class(shell)
        if made is None:  # not one that click knows any more
            raise click.BadParameter(f"expected one of {', '.join(SHELLS)}", param_hint="SHELL")
        variable = f"_{program}_complete".replace("-", "_").upper()
        click.echo(made(ctx.find_root().command, {}, program, variable).source())

    command.help = (
        f"Print the script that completes {program} in a shell.\n\n"
        f"For bash: {program} completion bash > /etc/bash_completion.d/{program}"
    )
    return command
