"""`cnr namespace`: the rules of a namespace or a repository. Works on the store itself, beside a running server."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import click
from msgspec.structs import replace

from cnr.cli.output import emit, table
from cnr.cli.store_options import STORE, load, store_options, with_registry
from cnr.domain.names import parse_repository
from cnr.domain.policy import IMMUTABILITIES, UNLIMITED, VISIBILITIES
from cnr.registry.registry import Registry
from cnr.settings import types
from cnr.store.records import PolicyRecord

_QUOTAS: Final = ("max_tags", "max_bytes")
_FIELDS: Final = ("immutability", "force", "untagged_after", "visibility", *_QUOTAS)
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


@click.group("namespace")
def command() -> None:
    """Show and set the rules of a namespace or a repository.

    A rule that a repository lacks is that of its namespace, and else the server's setting. Repositories without a
    namespace are library/NAME.
    """


@command.command("show")
@click.argument("path", metavar="NS[/NAME]", type=Path())
@_OUTPUT
@store_options(*STORE)
def show(path: str, output: str, **flags: str | None) -> None:
    """Show the rules, and which of them are set for exactly this namespace or repository."""

    async def work(registry: Registry) -> dict[str, Any]:
        return await _rules(registry, path)

    found = with_registry(load(flags), work)
    emit(output, found, lambda: _text(found))


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
@click.option(
    "--max-tags", metavar="NUMBER", type=Limit(types.count_or_off), help="Most tags at this path and below it, or off."
)
@click.option(
    "--max-bytes", metavar="SIZE", type=Limit(types.size_or_off), help="Most bytes at this path and below it, or off."
)
@click.option(
    "--unset",
    type=click.Choice([field.replace("_", "-") for field in _FIELDS]),
    multiple=True,
    help="Take a rule back; may be repeated.",
)
@_OUTPUT
@store_options(*STORE)
def set_rules(
    path: str,
    immutability: Any,
    force: bool | None,
    untagged_after: Any,
    visibility: Any,
    max_tags: Any,
    max_bytes: Any,
    unset: tuple[str, ...],
    output: str,
    **flags: str | None,
) -> None:
    """Set rules. Servers on the store keep them from the next push on.

    \b
    releases  a release is replaced by force only
    strict    nor by that; a deleted release comes back as it was or not at all
    none      any tag may be moved over OCI
    """
    given = {
        "immutability": immutability,
        "force": force,
        "untagged_after": untagged_after,
        "visibility": visibility,
        "max_tags": max_tags,
        "max_bytes": max_bytes,
    }
    wanted = {field: value for field, value in given.items() if value is not None}
    taken = {field.replace("-", "_"): None for field in unset}
    if both := wanted.keys() & taken.keys():
        raise click.UsageError(f"--unset {min(both).replace('_', '-')} contradicts the value that is given for it")
    if not wanted and not taken:
        raise click.UsageError(
            "there is nothing to set: give --immutability, --force, --untagged-after, --visibility, --max-tags,"
            " --max-bytes or --unset"
        )

    async def work(registry: Registry) -> dict[str, Any]:
        def change(before: PolicyRecord) -> PolicyRecord:
            return replace(before, **wanted, **taken)

        await registry.policies.change(path, change)
        return await _rules(registry, path)

    found = with_registry(load(flags), work)
    emit(output, found, lambda: _text(found))


async def _rules(registry: Registry, path: str) -> dict[str, Any]:
    """As JSON; `untagged_after` in seconds, null for never; a quota is null where there is none for exactly this path.

    `set` are those of exactly this path. `used` is what the quotas count, at this path and below it.
    """
    policy, own = await registry.policies.at(path), await registry.policies.own(path)
    quota = (await registry.policies.quotas(path)).get(path, UNLIMITED)
    used = await registry.catalog.use(path)
    after = policy.untagged_after
    return {
        "path": path,
        "immutability": policy.immutability,
        "force": policy.may_force,
        "untagged_after": None if after is None else int(after.total_seconds()),
        "visibility": policy.visibility,
        "max_tags": quota.max_tags,
        "max_bytes": quota.max_bytes,
        "used": {"tags": used.tags, "bytes": used.bytes},
        "set": {field: getattr(own, field) for field in _FIELDS if getattr(own, field) is not None},
    }


def _text(rules: Mapping[str, Any]) -> str:
    shown = {
        "immutability": rules["immutability"],
        "force": "allowed" if rules["force"] else "not allowed",
        "untagged_after": "never" if rules["untagged_after"] is None else f"{rules['untagged_after']} s",
    }
    shown["visibility"] = rules["visibility"]
    for field in _QUOTAS:
        limit, used = rules[field], rules["used"][field.removeprefix("max_")]
        shown[field] = f"{'any' if limit is None else f'{limit:,}'} ({used:,} used)"
    rows = [
        [field.replace("_", "-"), value, "set here" if field in rules["set"] else "from above"]
        for field, value in shown.items()
    ]
    return table(["RULE", str(rules["path"]), ""], rows)
