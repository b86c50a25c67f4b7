"""`cnr export`: this registry's packages as a backup file, the same that old servers wrote."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from cnr.cli.output import note
from cnr.cli.store_options import STORE, load, store_options, with_registry
from cnr.domain.errors import BadInput
from cnr.domain.names import PackageName
from cnr.legacy.exporter import export
from cnr.registry.registry import Registry

STDOUT = "-"


@click.command("export")
@click.option("--dest", metavar="FILE", default=STDOUT, help="Where to write; - is standard output, the default.")
@click.option("--package", "names", metavar="NS/NAME", multiple=True, help="Only this package; may be repeated.")
@store_options(*STORE)
def command(dest: str, names: tuple[str, ...], **flags: str | None) -> None:
    """Write packages, with their files and channels, as one JSON document.

    `cnr import` reads it, and so do old servers. The same store gives the same bytes. A file appears only when it
    is whole, readable by its owner alone; a server may run on the store meanwhile.
    """
    config = load(flags)
    packages = [_package(name) for name in names] or None

    async def work(registry: Registry) -> int:
        with _destination(dest) as file:
            size = 0
            async for piece in export(registry, packages):
                size += file.write(piece)
        return size

    size = with_registry(config, work)
    if dest != STDOUT:
        note(f"{size:,} bytes written to {dest}")


def _package(text: str) -> PackageName:
    namespace, _, name = text.partition("/")
    try:
        return PackageName.parse(namespace, name)
    except BadInput as exc:
        raise click.BadParameter(exc.message, param_hint="--package") from None


@contextmanager
def _destination(dest: str) -> Iterator[BinaryIO]:
    if dest == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(dest).absolute()
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            yield file  # type: ignore[misc]  # the wrapper has every method of the file
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
