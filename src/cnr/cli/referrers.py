"""`cnr referrers`: signatures, SBOMs and whatever else refers to a manifest."""

from collections.abc import Iterator
from typing import Any

import click
import msgspec

from cnr.cli.options import Settings, registry_options
from cnr.cli.output import emit, printable, table
from cnr.client.errors import NotFound
from cnr.client.image_reference import ImageReference, parse_image
from cnr.client.oci import OciClient
from cnr.domain.digest import Digest
from cnr.domain.manifest import Descriptor

_DEPTH = 8


@click.command("referrers")
@click.argument("reference", metavar="HOST/REPOSITORY[:TAG|@DIGEST]")
@click.option("--artifact-type", metavar="TYPE", help="Only referrers of this type.")
@click.option("--tree", is_flag=True, help="Show what refers to the referrers as well.")
@registry_options
def command(settings: Settings, reference: str, artifact_type: str | None, tree: bool) -> None:
    """List what refers to a manifest.

    Of a registry without the referrers API the list is read that clients keep there, at the tag sha256-<hex>.
    """
    if tree and artifact_type is not None:
        raise click.UsageError("choose one of --tree and --artifact-type")
    wanted = parse_image(reference)
    with settings.connect_oci(wanted.registry, wanted.repository) as client:
        subject = _subject(client, wanted)
        if tree:
            nodes = _nodes(client, wanted, subject, {subject}, 0)
            answer = {"digest": subject, "referrers": nodes}
            emit(settings.output, answer, lambda: "\n".join([subject, *_drawn(nodes, "")]))
            return
        found = client.referrers(wanted.repository, subject, artifact_type)
    emit(settings.output, msgspec.to_builtins(found), lambda: _table(found))


def _subject(client: OciClient, wanted: ImageReference) -> Digest:
    digest = wanted.digest or client.digest(wanted.repository, wanted.manifest)
    if digest is None:
        raise NotFound(f"{wanted.place} has no manifest {wanted.manifest}", status=404)
    return digest


def _table(found: list[Descriptor]) -> str:
    rows = [(each.digest, each.artifact_type or each.media_type, str(each.size)) for each in found]
    return table(("DIGEST", "TYPE", "SIZE"), rows)


def _nodes(
    client: OciClient, wanted: ImageReference, subject: Digest, seen: set[Digest], depth: int
) -> list[dict[str, Any]]:
    """What refers to `subject`, each once, with what refers to that in turn."""
    nodes = []
    for each in client.referrers(wanted.repository, subject):
        if each.digest in seen or depth >= _DEPTH:
            continue
        seen.add(each.digest)
        below = _nodes(client, wanted, each.digest, seen, depth + 1)
        nodes.append({**msgspec.to_builtins(each), "referrers": below})
    return nodes


def _drawn(nodes: list[dict[str, Any]], indent: str) -> Iterator[str]:
    for number, node in enumerate(nodes, 1):
        last = number == len(nodes)
        kind = node.get("artifactType") or node["mediaType"]
        yield printable(f"{indent}{'└── ' if last else '├── '}{node['digest']} {kind}")
        yield from _drawn(node["referrers"], indent + ("    " if last else "│   "))
