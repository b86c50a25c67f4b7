"""`cnr push`: a directory or an archive becomes a release."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import click

from cnr.cli.options import Settings, shared_options
from cnr.cli.output import emit, note, printable
from cnr.cli.progress import progress
from cnr.client.archive_identity import identify_archive
from cnr.client.cnr import CnrClient
from cnr.client.errors import Exists, InvalidPackage
from cnr.client.identity import Identity
from cnr.client.pack import identify_directory, pack
from cnr.client.reference import RegistryAddress, Target, parse_target
from cnr.domain.errors import BadInput
from cnr.domain.names import PackageName
from cnr.domain.version import Release, parse_channel, parse_release


@dataclass(frozen=True, slots=True)
class Publication:
    """What will be published, and where."""

    registry: RegistryAddress
    package: PackageName
    release: Release
    format: str


@click.command("push")
@click.argument("words", nargs=-1, required=True, metavar="[DIR|FILE] HOST[/NAMESPACE[/NAME[@RELEASE]]]")
@click.option("-v", "--version", "release", metavar="RELEASE", help="The release, instead of @RELEASE.")
@click.option("-c", "--channel", metavar="CHANNEL", help="Make the release this channel's current one.")
@click.option("-f", "--force", is_flag=True, help="Replace what is published as this release in this format.")
@click.option("--ns", "--namespace", "namespace", metavar="NS", help="The namespace, where HOST has none.")
@shared_options
def command(
    settings: Settings,
    words: tuple[str, ...],
    release: str | None,
    channel: str | None,
    force: bool,
    namespace: str | None,
) -> None:
    """Publish DIR (the current one by default) or the archive FILE.

    Name, release and format that are not given are read from Chart.yaml, manifest.yaml or the compose file. With -c, a
    release that is already published is left as it is and put into the channel.
    """
    if len(words) > 2:
        raise click.UsageError("give a directory or file, and where to push it")
    if channel is not None:
        _check_channel(channel)
    source = Path(words[0]) if len(words) == 2 else Path()
    target = _completed(parse_target(words[-1]), namespace=namespace, release=release)
    identity = _identity(source, settings.format)
    publication = _publication(target, identity, source)
    with settings.connect(publication.registry, publication.package) as client:
        pushed = _push(client, source, identity, publication, force=force, tolerant=channel is not None)
        current = client.add_to_channel(publication.package, channel, publication.release).name if channel else None
    _say(settings, publication, pushed=pushed, channel=current)


def _check_channel(channel: str) -> None:
    try:
        parse_channel(channel)
    except BadInput as exc:
        raise click.UsageError(f"--channel: {exc.message}") from None


def _completed(target: Target, *, namespace: str | None, release: str | None) -> Target:
    if namespace and target.namespace not in (None, namespace):
        raise click.UsageError("give the namespace once: behind the host or with --ns")
    if release and target.release not in (None, release):
        raise click.UsageError("give the release once: behind the name or with --version")
    return Target(target.registry, target.namespace or namespace, target.name, target.release or release)


def _identity(source: Path, format: str | None) -> Identity:
    if source.is_dir():
        return identify_directory(source, format)
    return identify_archive(source, format)


def _publication(target: Target, identity: Identity, source: Path) -> Publication:
    format = identity.format
    if format is None:
        raise InvalidPackage(
            f"{source} has no Chart.yaml, manifest.yaml or compose file at its top: give its format with -t"
        )
    namespace, name = target.namespace or identity.namespace, target.name or identity.name
    release = target.release or identity.release
    _check_complete(identity, namespace=namespace, name=name, release=release)
    try:
        package = PackageName.parse(str(namespace), str(name)).writable()
        return Publication(target.registry, package, parse_release(str(release)), format)
    except BadInput as exc:
        raise click.UsageError(f"{namespace}/{name}@{release} cannot be published: {exc.message}") from None


def _check_complete(identity: Identity, *, namespace: str | None, name: str | None, release: str | None) -> None:
    missing = [word for word, value in (("namespace", namespace), ("name", name), ("release", release)) if not value]
    if missing:
        file = identity.described_by or "the package"
        raise click.UsageError(
            f"the {_listed(missing)} cannot be read from {file} and must be given: HOST/namespace/name@release"
        )


def _listed(words: list[str]) -> str:
    return " and ".join([part for part in (", ".join(words[:-1]), words[-1]) if part])


def _push(
    client: CnrClient, source: Path, identity: Identity, publication: Publication, *, force: bool, tolerant: bool
) -> bool:
    """Whether it was published; False where it was there already and that is tolerated. Raises Exists."""
    with _archive(source, identity) as (archive, size), progress(f"push {publication.package}") as shown:
        try:
            client.push(
                publication.package,
                publication.release,
                publication.format,
                archive,
                size,
                force=force,
                report=shown(size),
            )
        except Exists:
            if not tolerant:
                raise
            note(f"{publication.package} {publication.release} is already published and was left as it is")
            return False
    return True


@contextmanager
def _archive(source: Path, identity: Identity) -> Iterator[tuple[BinaryIO, int]]:
    """The bytes to push and their number: a file as it is, a directory packed into a file without a name."""
    if not source.is_dir():
        with open(source, "rb") as file:
            yield file, os.fstat(file.fileno()).st_size
        return
    with tempfile.TemporaryFile() as packed:
        pack(source, packed, identity)
        size = packed.tell()
        packed.seek(0)
        yield packed, size


def _say(settings: Settings, publication: Publication, *, pushed: bool, channel: str | None) -> None:
    answer = {
        "package": str(publication.package),
        "version": publication.release,
        "media_type": publication.format,
        "pushed": pushed,
        "channel": channel,
    }
    lines = [f"{publication.package} {publication.release} ({publication.format}) pushed"] if pushed else []
    lines += [f"channel {channel} is now at {publication.release}"] if channel else []
    emit(settings.output, answer, lambda: printable("; ".join(lines)))
