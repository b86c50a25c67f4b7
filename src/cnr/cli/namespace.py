"""`cnr namespace`: the rules of a namespace or a repository, at a registry or on a store."""

from collections.abc import Callable
from typing import Any, Final, TypeVar, get_args

import click
import msgspec

from cnr.cli.administration import at, place_options
from cnr.cli.output import emit, table
from cnr.domain.errors import BadInput
from cnr.domain.names import parse_repository
from cnr.domain.policy import IMMUTABILITIES, VISIBILITIES
from cnr.domain.rulebook import RULES, Deleting, RuleChanges, Rules, Writing
from cnr.settings import types

Command = TypeVar("Command", bound=Callable[..., Any])
_OUTPUT = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print the rules."
)


class Path(click.ParamType[str]):
    """NS or NS/NAME."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Raises InvalidName, which the command line turns into a sentence."""
        return parse_repository(str(value))


class Age(click.ParamType[int | str]):
    """A number of seconds, also as `12h` or `30d`, or `never`."""

    name = "age"
    _units: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises click.BadParameter."""
        text = str(value).lower()
        unit = self._units.get(text[-1:], 0) if text[:-1].isdigit() else 0
        try:
            found = types.seconds_or_never(text[:-1] if unit else text)
            return "never" if found is None else found * (unit or 1)
        except ValueError:
            self.fail(f"{value!r}: use a number of seconds, 12h, 30d or never", param, ctx)


class Limit(click.ParamType[int | str]):
    """A number of things or bytes, as `parse` reads it, or `off`."""

    name = "limit"

    def __init__(self, parse: Callable[[str], int | None]) -> None:
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises click.BadParameter."""
        try:
            found = self._parse(str(value))
        except ValueError as exc:
            self.fail(f"{value!r}: {exc}", param, ctx)
        return "off" if found is None else found


class RoleOf(click.ParamType[tuple[str, str]]):
    """A channel or pattern, and the least role that may move it: `stable:maintainer`, `*:writer`."""

    name = "rule"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises click.BadParameter."""
        pattern, colon, role = str(value).partition(":")
        if not colon or role not in get_args(Writing):
            self.fail(f"{value!r}: use CHANNEL:ROLE, the role being {', '.join(get_args(Writing))}", param, ctx)
        return pattern, role


def _role(deed: str, roles: Any) -> Callable[[Command], Command]:
    """The option that says who does something."""
    return click.option(f"--{deed}-role", type=click.Choice(get_args(roles)), help=f"The least role that may {deed}.")


@click.group("namespace")
def command() -> None:
    """Show and set the rules of a namespace or a repository.

    A rule that a repository lacks is that of its namespace, and else the server's setting. Repositories without a
    namespace are library/NAME.
    """


@command.command("show")
@click.argument("path", metavar="NS[/NAME]", type=Path())
@_OUTPUT
@place_options
def show(path: Any, output: str, **flags: Any) -> None:
    """Show the rules, and which of them are set for exactly this namespace or repository."""
    found = at(flags, lambda desk: desk.rulebook.rules(path))
    emit(output, msgspec.to_builtins(found), lambda: _text(found))


@command.command("set")
@click.argument("path", metavar="NS[/NAME]", type=Path())
@click.option("--immutability", type=click.Choice(IMMUTABILITIES), help="What may change after a push.")
@click.option("--force/--no-force", default=None, help="Whether a push may replace a release with force.")
@click.option(
    "--untagged-after",
    metavar="AGE",
    type=Age(),
    help="Collect what clients pushed and no tag names after so many seconds (or 12h, 30d); never: keep it.",
)
@click.option("--visibility", type=click.Choice(VISIBILITIES), help="Who may pull: anybody, or who has a right to.")
@_role("push", Writing)
@_role("force", Writing)
@_role("yank", Writing)
@_role("delete", Deleting)
@click.option(
    "--channel",
    "channels",
    metavar="CHANNEL:ROLE",
    type=RoleOf(),
    multiple=True,
    help="The least role that may move a channel, or those whose names begin so (rc*:writer); may be repeated.",
)
@click.option("--format", "formats", metavar="FORMAT", multiple=True, help="A format that may be pushed; repeatable.")
@click.option(
    "--max-tags", metavar="NUMBER", type=Limit(types.count_or_off), help="Most tags at this path and below it, or off."
)
@click.option(
    "--max-bytes", metavar="SIZE", type=Limit(types.size_or_off), help="Most bytes at this path and below it, or off."
)
@click.option(
    "--unset",
    type=click.Choice([field.replace("_", "-") for field in RULES]),
    multiple=True,
    help="Take a rule back; may be repeated.",
)
@_OUTPUT
@place_options
def set_rules(
    path: Any,
    unset: tuple[str, ...],
    output: str,
    channels: tuple[tuple[str, str], ...],
    formats: tuple[str, ...],
    **flags: Any,
) -> None:
    """Set rules. Servers on the store keep them from the next push on.

    \b
    releases  a release is replaced by force only
    strict    nor by that; a deleted release comes back as it was or not at all
    none      any tag may be moved over OCI
    """
    given = {field: flags.pop(field, None) for field in RULES}
    given |= {"channels": dict(channels) or None, "formats": list(formats) or None}
    wanted = {field: value for field, value in given.items() if value is not None}
    taken = {field.replace("-", "_"): None for field in unset}
    if both := wanted.keys() & taken.keys():
        raise click.UsageError(f"--unset {min(both).replace('_', '-')} contradicts the value that is given for it")
    if not wanted and not taken:
        raise click.UsageError("there is nothing to set: give a rule, or --unset (see --help)")
    try:
        changes = msgspec.convert(wanted | taken, RuleChanges).values()
    except BadInput as exc:
        raise click.UsageError(exc.message) from None
    found = at(flags, lambda desk: desk.rulebook.set_rules(path, changes))
    emit(output, msgspec.to_builtins(found), lambda: _text(found))


def _text(rules: Rules) -> str:
    rows = [
        [
            field.replace("_", "-"),
            _shown(field, getattr(rules, field), rules),
            "set here" if field in rules.set else "from above",
        ]
        for field in RULES
    ]
    return table(["RULE", rules.path, ""], rows)


def _shown(field: str, value: Any, rules: Rules) -> str:
    match field, value:
        case "force", bool():
            return "allowed" if value else "not allowed"
        case "untagged_after", _:
            return "never" if value is None else f"{value} s"
        case "channels", dict():
            return " ".join(f"{pattern}:{role}" for pattern, role in value.items()) or "-"
        case "formats", _:
            return "all" if value is None else " ".join(value) or "none"
        case "max_tags" | "max_bytes", _:
            used = rules.used_tags if field == "max_tags" else rules.used_bytes
            return f"{'any' if value is None else f'{value:,}'} ({used:,} used)"
    return str(value)
