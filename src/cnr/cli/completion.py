"""`cnr completion`: the script that makes a shell complete cnr's commands and options."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    For bash, put `source <(cnr completion bash)` into ~/.bashrc.
    """
    completion = get_completion_class(shell)
    if completion is None:
        raise click.ClickException(f"there is no completion for {shell}")
    click.echo(completion(ctx.find_root().command, {}, "cnr", "_CNR_COMPLETE").source())
