"""What the verbs about accounts share: arguments in their grammar, and passwords that no process list shows."""

import secrets
import sys
from collections.abc import Callable
from typing import Any, Final

import click

from cnr.domain.account import PASSWORD_LIMIT, parse_password

OUTPUT: Final = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print the answer."
)
PASSWORD_STDIN: Final = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


class Parsed(click.ParamType[str]):
    """An argument that `parse` understands; what that raises becomes the sentence."""

    def __init__(self, name: str, parse: Callable[[str], str]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return self._parse(str(value))


def new_password(*, from_stdin: bool) -> tuple[str, bool]:
    """A password for somebody, and whether it was made up here and has to be told.

    From standard input; asked for twice at a terminal; else a random one. Never an argument: those are seen by all.
    """
    if from_stdin:
        return parse_password(sys.stdin.readline(PASSWORD_LIMIT + 2).rstrip("\r\n")), False
    if sys.stdin.isatty():
        prompt = "Password (empty: make one up)"
        given = click.prompt(prompt, default="", show_default=False, hide_input=True, confirmation_prompt=True)
        if given:
            return parse_password(given), False
    return secrets.token_urlsafe(18), True


def shown_time(moment: str | None) -> str:
    """A moment of the API for people, to the minute; a dash for never."""
    return moment[:16].replace("T", " ") if moment else "-"
