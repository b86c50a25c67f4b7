"""`cnr inspect`: a package's files, without extracting them."""

import base64
import tempfile
from pathlib import Path
from typing import Any

import click
import msgspec

from cnr.cli.options import Settings, reference_with, shared_options, version_option
from cnr.cli.output import emit, printable, write_file
from cnr.cli.progress import progress
from cnr.client.errors import NotFound
from cnr.client.fetch import Content, download, locate
from cnr.client.unpack import ArchiveFile, list_archive, read_archived


@click.command("inspect")
@click.argument("reference", metavar="HOST/NAMESPACE/NAME[:CHANNEL|@RELEASE|@sha256:DIGEST]")
@version_option
@click.option("--tree", is_flag=True, help="List the files in the package (this is the default).")
@click.option("-f", "--file", "path", metavar="FILE", help="Print this file.")
@shared_options
def command(settings: Settings, reference: str, release: str | None, tree: bool, path: str | None) -> None:
    """List the files of a package, or print one of them."""
    if tree and path is not None:
        raise click.UsageError("choose one of --tree and --file")
    wanted = reference_with(reference, release)
    with (
        settings.connect(wanted.registry, wanted.package) as client,
        tempfile.TemporaryDirectory(prefix="cnr-") as folder,
    ):
        content = locate(client, wanted, settings.format)
        archive = Path(folder) / "archive"
        with progress(f"pull {content.package}") as shown:
            download(client, content, archive, shown)
        if path is None:
            _tree(settings, content, list_archive(archive))
        else:
            _file(settings, content, archive, path)


def _about(content: Content) -> dict[str, Any]:
    return {
        "inspect": str(content.package),
        "release": content.release,
        "media_type": content.format,
        "digest": content.digest,
    }


def _tree(settings: Settings, content: Content, files: list[ArchiveFile]) -> None:
    text = "\n".join(printable(file.path) for file in files if file.kind != "directory")
    listing = [msgspec.to_builtins(file) for file in files]
    emit(settings.output, _about(content) | {"output": text, "files": listing}, lambda: text)


def _file(settings: Settings, content: Content, archive: Path, path: str) -> None:
    data = read_archived(archive, path.removeprefix("./"))
    if data is None:
        raise NotFound(f"{content.package} has no file {path!r}: cnr inspect --tree lists them", status=404)
    if settings.output == "text":
        write_file(data)
        return
    try:
        about = {"output": data.decode()}
    except UnicodeDecodeError:
        about = {"output": base64.b64encode(data).decode(), "encoding": "base64"}
    emit(settings.output, _about(content) | {"file": path} | about, lambda: "")
