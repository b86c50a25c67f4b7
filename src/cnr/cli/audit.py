"""`cnr audit`: look something up in the audit log."""

import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, get_args

import click
import msgspec

from cnr.audit.log import DESCRIPTORS
from cnr.audit.reading import Filter, Line, Reader
from cnr.audit.times import microseconds
from cnr.cli.output import note, printable
from cnr.cli.store_options import load, store_options
from cnr.domain.audit import Result

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGE: Final = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)


class Moment(click.ParamType[int]):
    """`2h`, `7d`: so long ago; else an ISO date or time, UTC where it names no zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Microseconds UTC. Raises click.BadParameter."""
        if isinstance(value, int):
            return value
        if age := _AGE.fullmatch(value):
            return time.time_ns() // 1000 - int(age[1]) * _UNITS[age[2]] * 1_000_000
        try:
            return microseconds(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r}: use 30m, 2h, 7d, or a time such as 2026-11-26T10:00", param, ctx)


class Address(click.ParamType[str]):
    """An address, or a network such as 10.0.0.0/8; `local` for the command line."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Raises click.BadParameter."""
        try:
            return value if value == "local" else str(ip_network(value, strict=False)) if "/" in value else value
        except ValueError:
            self.fail(f"{value!r} is no network", param, ctx)


@click.command("audit")
@click.option("--since", metavar="TIME", type=Moment(), help="Not before: 2h or 7d ago, or an ISO time.")
@click.option("--until", metavar="TIME", type=Moment(), help="Before: as --since.")
@click.option("--user", metavar="WHO", help="A user, a token's name or id; or anonymous, unknown, open, local, server.")
@click.option("--repository", "--path", "path", metavar="NS[/NAME]", help="There, and below it.")
@click.option("--action", help="push, delete, pull, list, login, admin ...")
@click.option("--result", type=click.Choice(get_args(Result)), help="How it ended.")
@click.option("--address", type=Address(), help="From there: an address or a network; local is the command line.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print a line."
)
@store_options("database_url", "storage", "audit_log")
def command(
    since: int | None,
    until: int | None,
    user: str | None,
    path: str | None,
    action: str | None,
    result: str | None,
    address: str | None,
    follow: bool,
    output: str,
    **flags: str | None,
) -> None:
    """Show changes, logins and denials.

    Reads the files of the audit log, also those that were set aside and compressed. A log on stdout or stderr is
    where that goes.
    """
    wanted = Filter(since_us=since, until_us=until, user=user, path=path, action=action, result=result, address=address)
    file = _file(load(flags).audit_log)
    reader = Reader()
    try:
        _print(reader.follow(file) if follow else reader.lines(file, since_us=since), wanted, output)
    except OSError as exc:
        if isinstance(exc, BrokenPipeError):
            raise
        raise click.ClickException(f"{exc.filename or file} cannot be read: {exc.strerror}") from None
    for broken, count in reader.broken.items():
        note(f"skipped in {broken}: {'1 broken line' if count == 1 else f'{count} broken lines'}")


def _file(setting: str) -> Path:
    if setting == "off":
        raise click.ClickException("there is no audit log: CNR_AUDIT_LOG is off")
    if setting in DESCRIPTORS:
        raise click.ClickException(f"the audit log goes to {setting}, and nothing of it is kept here")
    return Path(setting)


def _print(lines: Iterable[Line], wanted: Filter, output: str) -> None:
    for line in lines:
        if wanted.takes(line):
            at = line.pop("at")
            click.echo(msgspec.json.encode(line).decode() if output == "json" else printable(_text(line, at)))


def _text(line: Line, at: int) -> str:
    """One line for a person, with what matters most first."""
    moment = datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    target = line.get("target")
    more = " ".join(f"{name}={value}" for name, value in target.items()) if isinstance(target, dict) else ""
    status, code = line.get("status"), line.get("code", "")
    why = f"({status} {code})".replace(" )", ")") if isinstance(status, int) and status >= 400 else code
    words = [
        moment,
        f"{line.get('result', ''):7}",
        _who(line.get("who")),
        f"from {line['address']}:" if line.get("address") else ":",
        str(line.get("action", "")),
        str(line.get("repository", "")),
        more,
        why,
        f"[{line.get('protocol', '')}: {line.get('call', '')}]",
    ]
    return " ".join(word for word in words if word)


def _who(who: Any) -> str:
    if not isinstance(who, dict):
        return "?"
    kind, name, token = (str(who.get(key, "")) for key in ("kind", "name", "token"))
    if kind == "token":
        return f"token {name} ({token})"
    return name if kind == "user" else " ".join(word for word in (kind, name or token) if word)
