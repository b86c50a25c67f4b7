"""What a person or a script reads. Nothing that came from a server reaches a terminal as a control character."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click
import yaml


def printable(text: str) -> str:
    """`text` with everything that a terminal could obey or hide (controls, bidi marks, lone surrogates) escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def emit(output: str, value: Any, text: Callable[[], str]) -> None:
    """Prints `value` as JSON or YAML, or what `text` makes of it, on standard output."""
    if output == "json":
        click.echo(json.dumps(value, indent=2))
    elif output == "yaml":
        click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=False, width=10_000).rstrip("\n"))
    else:
        lines = text()
        if lines:
            click.echo(lines)


def note(text: str) -> None:
    """Says something on standard error that is no part of the answer."""
    click.echo(f"cnr: {printable(text)}", err=True)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their content. Every cell becomes one printable line; nothing is cut."""
    lines = [list(headings), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def write_file(content: bytes) -> None:
    """A file's bytes on standard output: exactly, or printable line by line where that is a terminal."""
    if not sys.stdout.isatty():
        click.echo(content, nl=False)
        return
    for line in content.decode("utf-8", "surrogateescape").split("\n"):
        click.echo("\t".join(printable(part) for part in line.removesuffix("\r").split("\t")))
