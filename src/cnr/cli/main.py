"""The `cnr` command: verbs are found in a table and imported when used, failures become one sentence and a code."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from cnr import __version__
from cnr.cli.failures import Interrupted, ReaderGone, exit_code, sentence

VERBS: dict[str, tuple[str, str]] = {
    "push": ("push", "Publish a directory or an archive."),
    "pull": ("pull", "Download a package."),
    "show": ("show", "Show a package's releases."),
    "list": ("list", "List packages."),
    "search": ("search", "Search packages by name, description and keywords."),
    "channel": ("channel", "Show and change channels."),
    "delete": ("delete", "Delete a release."),
    "yank": ("yank", "Take a release out of ranges and search."),
    "inspect": ("inspect", "Look into a package."),
    "copy": ("copy", "Copy packages and images between registries."),
    "tag": ("tag", "Show, set and delete tags."),
    "manifest": ("manifest", "Show, push and delete manifests."),
    "referrers": ("referrers", "Show signatures and whatever else refers to a manifest."),
    "login": ("login", "Log in to a registry."),
    "logout": ("logout", "Forget the login to a registry."),
    "version": ("version", "Show the versions of client and server."),
    "serve": ("serve", "Run a registry."),
    "import": ("import_", "Take over the packages of an old server."),
    "export": ("export", "Write a registry's packages as a backup."),
    "namespace": ("namespace", "Show and set the rules of a namespace or a repository."),
    "user": ("user", "Make and change users."),
    "group": ("group", "Make and change groups of users."),
    "grant": ("grant", "Give users and groups roles in namespaces and repositories."),
    "token": ("token", "Make and end robot tokens."),
    "audit": ("audit", "Look up changes, logins and denials."),
    "storage": ("storage", "Look after a store: check it, collect garbage, move it, raise its format."),
    "completion": ("completion", "Print the completion script of a shell."),
}
"""Verb: module in cnr.cli with a click command `command`, and a line of help that does not need the module."""

ALIASES = {"delete-package": "delete", "run-server": "serve"}
"""What the old command called them."""


class Verbs(click.Group):
    """A group whose commands are imported when they are called, so that a client verb never loads the server."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [verb for verb, (module, _) in VERBS.items() if find_spec(f"cnr.cli.{module}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = ALIASES.get(cmd_name, cmd_name)
        if verb not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"cnr.cli.{VERBS[verb][0]}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the verb. What click would answer with an exit code of its own leaves as an exception of ours."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderGone from None
        except KeyboardInterrupt:
            raise Interrupted from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, VERBS[verb][1]) for verb in self.list_commands(ctx)])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cnr")
def cli() -> None:
    """Publish, find and pull Kubernetes applications.

    A package is HOST[:PORT]/namespace/name, with :channel, @release, @range or @sha256:digest behind it.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code. Never raises, but for CNR_DEBUG, which asks for tracebacks."""
    for stream in (sys.stdout, sys.stderr):
        _tolerate(stream)
    try:
        result = cli.main(args=arguments, prog_name="cnr", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except BrokenPipeError:
        return _report(ReaderGone())
    except Exception as exc:
        if os.environ.get("CNR_DEBUG") and not isinstance(exc, ReaderGone | Interrupted):
            raise
        return _report(exc)


def _report(exc: Exception) -> int:
    if isinstance(exc, ReaderGone):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        click.echo(f"cnr: {sentence(exc)}", err=True)
    return exit_code(exc)


def _tolerate(stream: Any) -> None:
    """A terminal that cannot show a character gets it escaped, instead of an error."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
