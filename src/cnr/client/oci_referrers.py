"""Manifests that refer to another, at registries with and without a list of them.

Source: OCI distribution 1.1, "Pushing Manifests with Subject", "Referrers Tag Schema".
"""

import re
from typing import Any

import msgspec

from cnr.client.errors import NotFound
from cnr.client.oci import OciClient, referrers_tag
from cnr.client.oci_manifest import Fetched
from cnr.domain.digest import Digest
from cnr.domain.manifest import INDEX_TYPE
from cnr.domain.names import Repository, Tag

_REFERRERS_TAG = re.compile(r"sha(?:256|512)-[0-9a-f]{64}")
_OLD_SUFFIXES = (".sig", ".att", ".sbom")
_encoder = msgspec.json.Encoder(order="sorted")


def push(client: OciClient, repository: Repository, fetched: Fetched) -> None:
    """Pushes a manifest by its digest; one with a subject is then found among that one's referrers.

    Where the registry does not say that it keeps the list, the list at the referrers' tag is written here. Two
    clients that do so at once may lose an entry of each other, which is why registries took that over.
    """
    stored = client.put_manifest(repository, fetched.digest, fetched.data, fetched.media_type)
    if fetched.subject is not None and not stored.referred:
        _list(client, repository, fetched.subject, fetched)


def _list(client: OciClient, repository: Repository, subject: Digest, fetched: Fetched) -> None:
    tag = referrers_tag(subject)
    listed = _listed(client, repository, tag)
    if any(isinstance(entry, dict) and entry.get("digest") == fetched.digest for entry in listed):
        return
    listed.append(msgspec.to_builtins(fetched.descriptor))
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": listed}
    client.put_manifest(repository, tag, _encoder.encode(index), INDEX_TYPE)


def _listed(client: OciClient, repository: Repository, tag: Tag) -> list[Any]:
    """The entries as they are there, with what this client does not know in them."""
    try:
        found = msgspec.json.decode(client.manifest(repository, tag).data).get("manifests")
    except NotFound:
        return []
    return found if isinstance(found, list) else []


def old_signature_tags(subject: Digest) -> list[Tag]:
    """Where signatures, attestations and SBOMs of a manifest stood before registries listed referrers.

    Source: observed from cosign 2.
    """
    return [Tag(referrers_tag(subject) + suffix) for suffix in _OLD_SUFFIXES]


def is_referrers_tag(tag: str) -> bool:
    """Whether a tag is where clients list referrers, by its name."""
    return _REFERRERS_TAG.fullmatch(tag) is not None
