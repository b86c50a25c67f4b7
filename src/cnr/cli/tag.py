"""`cnr tag`: the tags of a repository, by the OCI API."""

import click

from cnr.cli.options import Settings, registry_options
from cnr.cli.output import emit, printable
from cnr.client.errors import InvalidReference
from cnr.client.image_reference import parse_image, read_tag
from cnr.client.oci import OciClient
from cnr.client.oci_manifest import Fetched
from cnr.domain.errors import BadInput
from cnr.domain.names import Repository, Tag


@click.group("tag")
def command() -> None:
    """Show, set and delete the tags of a repository."""


@command.command("ls")
@click.argument("reference", metavar="HOST/REPOSITORY")
@registry_options
def ls(settings: Settings, reference: str) -> None:
    """List the tags, one a line."""
    wanted = parse_image(reference)
    if wanted.selector is not None:
        raise click.UsageError("give the repository alone, without a tag or digest")
    with settings.connect_oci(wanted.registry, wanted.repository) as client:
        tags = list(client.tags(wanted.repository))
    answer = {"repository": wanted.repository, "tags": tags}
    emit(settings.output, answer, lambda: "\n".join(printable(tag) for tag in tags))


@command.command("set")
@click.argument("reference", metavar="HOST/REPOSITORY[:TAG|@DIGEST]")
@click.argument("tags", metavar="NEWTAG...", nargs=-1, required=True)
@registry_options
def set_(settings: Settings, reference: str, tags: tuple[str, ...]) -> None:
    """Point each NEWTAG at the manifest that the reference names. Nothing is copied.

    `+` in a release is written `_` in a tag; that is done here.
    """
    wanted = parse_image(reference)
    names = [_tag(text) for text in tags]
    with settings.connect_oci(wanted.registry, wanted.repository) as client:
        fetched = client.manifest(wanted.repository, wanted.manifest)
        for name in names:
            _point(client, wanted.repository, name, fetched)
    answer = {"repository": wanted.repository, "digest": fetched.digest, "tags": names}
    emit(settings.output, answer, lambda: "\n".join(f"{wanted.place}:{name} {fetched.digest}" for name in names))


def _tag(text: str) -> Tag:
    try:
        return read_tag(text)
    except BadInput as exc:
        raise InvalidReference(f"{text[:200]!a}: {exc.message}") from None


def _point(client: OciClient, repository: Repository, tag: Tag, fetched: Fetched) -> None:
    client.put_manifest(repository, tag, fetched.data, fetched.media_type)


@command.command("rm")
@click.argument("reference", metavar="HOST/REPOSITORY:TAG")
@registry_options
def rm(settings: Settings, reference: str) -> None:
    """Delete one tag. The manifest stays, and so do other tags on it; a release's tag takes the release along."""
    wanted = parse_image(reference)
    if wanted.tag is None or wanted.digest is not None:
        raise click.UsageError("say which tag to delete, as in HOST/REPOSITORY:TAG")
    with settings.connect_oci(wanted.registry, wanted.repository) as client:
        client.delete_manifest(wanted.repository, wanted.tag)
    answer = {"repository": wanted.repository, "tag": wanted.tag, "status": "deleted"}
    emit(settings.output, answer, lambda: f"{wanted} deleted")
