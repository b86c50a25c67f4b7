"""`cnr manifest`: manifests and indexes themselves, by the OCI API."""

import sys
from pathlib import Path

import click
import msgspec

from cnr.cli.options import Settings, registry_options
from cnr.cli.output import emit, printable, table, write_file
from cnr.client.errors import InvalidPackage, NotFound
from cnr.client.image_reference import ImageReference, parse_image
from cnr.client.oci_manifest import MANIFEST_LIMIT, Fetched, read_manifest
from cnr.client.oci_referrers import push as push_by_digest
from cnr.domain.digest import Digest
from cnr.domain.manifest import Descriptor, MediaType

STDIN = "-"


@click.group("manifest")
def command() -> None:
    """Show, push and delete manifests and indexes."""


@command.command("show")
@click.argument("reference", metavar="HOST/REPOSITORY[:TAG|@DIGEST]")
@click.option("--raw", is_flag=True, help="Print the manifest byte for byte.")
@registry_options
def show(settings: Settings, reference: str, raw: bool) -> None:
    """Show a manifest: what it is, and what it names. `--output json` prints all of its fields."""
    wanted = parse_image(reference)
    with settings.connect_oci(wanted.registry, wanted.repository) as client:
        fetched = client.manifest(wanted.repository, wanted.manifest)
    if raw:
        write_file(fetched.data)
    else:
        emit(settings.output, msgspec.json.decode(fetched.data), lambda: _text(fetched))


def _text(fetched: Fetched) -> str:
    manifest = fetched.manifest
    about = [
        ("Digest", fetched.digest),
        ("Media type", fetched.media_type),
        ("Artifact type", manifest.artifact_type or ""),
        ("Size", f"{len(fetched.data):,} bytes"),
        ("Subject", fetched.subject or ""),
        *((name, value) for name, value in sorted((manifest.annotations or {}).items())),
    ]
    lines = [printable(f"{name + ':':14} {value}") for name, value in about if value]
    return "\n".join([*lines, "", _contents(fetched)]) if _named(fetched) else "\n".join(lines)


def _named(fetched: Fetched) -> list[tuple[str, Descriptor]]:
    manifest = fetched.manifest
    config = [("config", manifest.config)] if manifest.config is not None else []
    layers = [("layer", layer) for layer in manifest.layers or ()]
    return [*config, *layers, *(("manifest", child) for child in manifest.manifests or ())]


def _contents(fetched: Fetched) -> str:
    platforms = fetched.platforms() if fetched.is_index else {}
    rows = [
        (role, each.digest, str(each.size), each.artifact_type or each.media_type, str(platforms.get(each.digest, "")))
        for role, each in _named(fetched)
    ]
    headings = ("", "DIGEST", "SIZE", "TYPE", "PLATFORM")
    kept = len(headings) if platforms else len(headings) - 1
    return table(headings[:kept], [row[:kept] for row in rows])


@command.command("digest")
@click.argument("reference", metavar="HOST/REPOSITORY[:TAG|@DIGEST]")
@registry_options
def digest(settings: Settings, reference: str) -> None:
    """Print the digest that a tag points at."""
    wanted = parse_image(reference)
    with settings.connect_oci(wanted.registry, wanted.repository) as client:
        found = client.digest(wanted.repository, wanted.manifest)
    if found is None:
        raise NotFound(f"{wanted.place} has no manifest {wanted.manifest}", status=404)
    emit(settings.output, {"repository": wanted.repository, "digest": found}, lambda: found)


@command.command("push")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.argument("reference", metavar="HOST/REPOSITORY[:TAG|@DIGEST]")
@click.option("--media-type", "kind", metavar="TYPE", help="The manifest's type, where FILE does not say it.")
@registry_options
def push(settings: Settings, file: str, reference: str, kind: str | None) -> None:
    """Push FILE (- is standard input), exactly as it is, to a tag or digest; without one, by its digest alone.

    What it names must be there already.
    """
    wanted = parse_image(reference)
    fetched = _read(file, kind, wanted.digest)
    with settings.connect_oci(wanted.registry, wanted.repository) as client:
        push_by_digest(client, wanted.repository, fetched)
        if wanted.tag is not None:
            client.put_manifest(wanted.repository, wanted.tag, fetched.data, fetched.media_type)
    answer = {"repository": wanted.repository, "tag": wanted.tag, "digest": fetched.digest}
    emit(settings.output, answer, lambda: fetched.digest)


def _read(file: str, kind: str | None, digest: Digest | None) -> Fetched:
    if file == STDIN:
        data = sys.stdin.buffer.read(MANIFEST_LIMIT + 1)
    else:
        with open(Path(file), "rb") as source:
            data = source.read(MANIFEST_LIMIT + 1)
    if len(data) > MANIFEST_LIMIT:
        raise InvalidPackage(f"{file} has more than the {MANIFEST_LIMIT:,} bytes that a manifest may have")
    return read_manifest(data, MediaType(kind or ""), digest=digest, whose=file)


@command.command("rm")
@click.argument("reference", metavar="HOST/REPOSITORY@DIGEST")
@registry_options
def rm(settings: Settings, reference: str) -> None:
    """Delete a manifest, and with it every tag that points at it."""
    wanted = parse_image(reference)
    with settings.connect_oci(wanted.registry, wanted.repository) as client:
        client.delete_manifest(wanted.repository, _exact(wanted))
    answer = {"repository": wanted.repository, "digest": wanted.digest, "status": "deleted"}
    emit(settings.output, answer, lambda: f"{wanted.place}@{wanted.digest} deleted")


def _exact(wanted: ImageReference) -> Digest:
    if wanted.digest is None or wanted.tag is not None:
        raise click.UsageError(
            "say which manifest by its digest, because all its tags go too (cnr manifest digest prints it,"
            " and cnr tag rm deletes a tag alone)"
        )
    return wanted.digest
