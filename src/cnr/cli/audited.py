"""The audit log's line of a verb that changes a store."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click
import msgspec

from cnr.app import open_audit_log, strict_clock
from cnr.audit.log import DESCRIPTORS, AuditLog
from cnr.cli.output import note
from cnr.config import Config
from cnr.domain.audit import Event, Result, Who, short
from cnr.domain.errors import CnrError, OutcomeUnknown
from cnr.domain.store_url import without_secrets
from cnr.settings.audit import AUDIT
from cnr.settings.limits import LIMITS
from cnr.settings.setting import ConfigError
from cnr.settings.storage import STORAGE

_READING: Final = frozenset({"list", "show", "check", "export"})
_SILENT: Final = frozenset(row.name for row in (*STORAGE, *AUDIT, *LIMITS)) | {
    "output",
    "password_stdin",
    "dry_run",
    "jobs",
}
"""Parameters that say where the store is and how to answer."""
_TOLD: Final = f"{__name__}.told"


@contextmanager
def audited(config: Config) -> Iterator[None]:
    """Writes down what the verb that runs did, when the block ends. Open the store before it: the log may be beside.

    Nothing is written for verbs that only read. Raises click.ClickException where the log cannot be written, and
    nothing may be changed without it.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.info_name in _READING or context.params.get("dry_run"):
        yield
        return
    log = _opened(config)
    if log is None:
        yield
        return
    try:
        yield
    except BaseException as exc:
        log.record(_event(context, "unknown" if isinstance(exc, OutcomeUnknown) else "failed", exc))
        raise
    else:
        log.record(_event(context, "ok"))
    finally:
        log.close()


def tell(**target: object) -> None:
    """Say more of what a verb did than its arguments do."""
    click.get_current_context().meta.setdefault(_TOLD, {}).update(target)


def _opened(config: Config) -> AuditLog | None:
    if config.audit_log in DESCRIPTORS:
        config = msgspec.structs.replace(config, audit_log="stderr")  # standard output is the verb's answer
    try:
        return open_audit_log(config, strict_clock())
    except ConfigError as exc:
        if config.audit_strict:
            raise click.ClickException(str(exc)) from None
        note(str(exc))
        return None


def _event(context: click.Context, result: Result, error: BaseException | None = None) -> Event:
    given = {name: value for name, value in context.params.items() if name not in _SILENT}
    told = {name: _text(value) for name, value in given.items() if value not in (None, False, ())}
    place = told.pop("path", "")
    return Event(
        result=result,
        who=Who("local", _user()),
        action="admin",
        protocol="local",
        call=_call(context),
        repository=place if isinstance(place, str) else "",
        target={**told, **context.meta.get(_TOLD, {})},
        code=type(error).__name__ if isinstance(error, CnrError) else "",
        address="local",
    )


def _call(context: click.Context) -> str:
    """`cnr user add`, by whatever name the program was called."""
    words = context.command_path.split()
    return " ".join(["cnr", *words[1:]])


def _user() -> str:
    try:
        return short(getpass.getuser())
    except (KeyError, OSError):
        return ""


def _text(value: Any) -> Any:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, frozenset):
        value = sorted(value)
    if isinstance(value, list | tuple):
        return short(" ".join(str(_text(each)) for each in value))
    return short(without_secrets(str(value)))
