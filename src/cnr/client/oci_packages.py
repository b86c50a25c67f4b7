"""Packages as an OCI registry has them: which formats a manifest gives, and under which release."""

from cnr.client.errors import BadAnswer, Refusal
from cnr.client.oci import OciClient
from cnr.client.oci_manifest import Fetched
from cnr.domain.digest import TarDigest, parse_tar_digest
from cnr.domain.errors import BadInput
from cnr.domain.manifest import INDEX_TYPE, RELEASE_ARTIFACT, TAR_DIGEST, VERSION, Descriptor
from cnr.domain.names import Format, Repository, Tag
from cnr.domain.package import package_layer
from cnr.domain.version import Release, is_release, release_of

_CHILDREN = 32
"""Manifests of an index that are looked into, as the server does it."""


def release_formats(client: OciClient, repository: Repository, root: Fetched) -> dict[Format, Descriptor]:
    """The layers with the archives of a release, by format; `root` is the manifest that its tag points at.

    A chart's other formats are found in the index that refers to it.
    """
    found: dict[Format, Descriptor] = {}
    for fetched in [root, *_indexes(client, repository, root)]:
        for each in _images(client, repository, fetched):
            layer = package_layer(each.manifest)
            if layer is not None:
                found.setdefault(*layer)
    return found


def _images(client: OciClient, repository: Repository, fetched: Fetched) -> list[Fetched]:
    if not fetched.is_index:
        return [fetched]
    children = [client.manifest(repository, child.digest) for child in (fetched.manifest.manifests or ())[:_CHILDREN]]
    return [child for child in children if not child.is_index]


def _indexes(client: OciClient, repository: Repository, root: Fetched) -> list[Fetched]:
    """The indexes over the formats of the release that `root` is. Source: contracts/oci-helm.md 6.3."""
    release = named_release(root)
    if root.is_index or release is None:
        return []
    try:
        referrers = client.referrers(repository, root.digest, RELEASE_ARTIFACT)
    except (Refusal, BadAnswer):
        return []
    found = [
        client.manifest(repository, each.digest) for each in referrers[:_CHILDREN] if each.media_type == INDEX_TYPE
    ]
    return [index for index in found if index.subject == root.digest and named_release(index) == release]


def named_release(fetched: Fetched) -> Release | None:
    """The release that a manifest says it is."""
    text = (fetched.manifest.annotations or {}).get(VERSION, "")
    return Release(text) if is_release(text) else None


def release_at(tag: Tag | None, fetched: Fetched) -> Release | None:
    """The release that is meant by a tag on this manifest: what the tag says, else what the manifest says."""
    return (release_of(tag) if tag is not None else None) or named_release(fetched)


def layer_tar_digest(layer: Descriptor) -> TarDigest | None:
    """The digest of the tar in a layer, where its manifest has it."""
    try:
        return parse_tar_digest((layer.annotations or {}).get(TAR_DIGEST, ""))
    except BadInput:
        return None
