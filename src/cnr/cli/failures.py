"""From an exception to one sentence and an exit code. The codes are documented in docs/cli.md and never change."""

import errno

import click

from cnr.cli.output import printable
from cnr.client import errors as client
from cnr.domain import errors as domain

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
EXISTS = 4
DENIED = 5
UNREACHABLE = 6
DAMAGED = 7
INCOMPLETE = 8
"""An import left something out, or found it other than recorded; its report says what."""
INTERRUPTED = 130
BROKEN_PIPE = 141
"""128 + SIGPIPE, as a shell would report it."""


class ReaderGone(Exception):
    """Whoever read the output closed it. Nothing needs to be said."""


class Interrupted(Exception):
    """Somebody pressed Ctrl-C."""


EXIT_CODES: dict[type[BaseException], int] = {
    client.InvalidReference: USAGE,
    client.Unreachable: UNREACHABLE,
    client.Damaged: DAMAGED,
    client.UnsafeArchive: DAMAGED,
    client.AlreadyHere: EXISTS,
    client.NotFound: NOT_FOUND,
    client.NotLoggedIn: NOT_FOUND,
    client.Exists: EXISTS,
    client.NotAllowed: DENIED,
    client.ClientError: FAILED,
    domain.InvalidArchive: FAILED,
    domain.BadInput: USAGE,
    domain.Missing: NOT_FOUND,
    domain.Conflict: EXISTS,
    domain.CnrError: FAILED,
    click.UsageError: USAGE,
    click.Abort: INTERRUPTED,
    Interrupted: INTERRUPTED,
    ReaderGone: BROKEN_PIPE,
}


def exit_code(exc: BaseException) -> int:
    """The exit code for `exc`: that of the nearest of its classes in EXIT_CODES, else FAILED."""
    return next((EXIT_CODES[kind] for kind in type(exc).__mro__ if kind in EXIT_CODES), FAILED)


def sentence(exc: BaseException) -> str:
    """What is wrong, in one printable line."""
    return printable(" ".join(_text(exc).split()))


def _text(exc: BaseException) -> str:
    if isinstance(exc, Interrupted | click.Abort):
        return "interrupted"
    if isinstance(exc, click.UsageError):
        command = exc.ctx.command_path if exc.ctx else "cnr"
        return f"{exc.format_message()} (see {command} --help)"
    if isinstance(exc, click.ClickException):
        return exc.format_message()
    if isinstance(exc, client.ClientError | domain.CnrError):
        return str(exc)
    if isinstance(exc, OSError) and exc.strerror:
        return _system(exc)
    return f"unexpected {type(exc).__name__}: {exc} (CNR_DEBUG=1 shows where)"


def _system(exc: OSError) -> str:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space is left on the disk{_where(exc)}"
    return f"{exc.strerror}{_where(exc)}"


def _where(exc: OSError) -> str:
    return f": {exc.filename}" if exc.filename else ""
