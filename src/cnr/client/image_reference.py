"""References to what a registry holds by OCI's rules: `[http(s)://]HOST[:PORT]/repository/path[:tag][@digest]`.

Source: OCI distribution 1.1, "Pulling manifests"; the habits of docker, oras and helm.
"""

from dataclasses import dataclass, replace

from cnr.client.errors import InvalidReference
from cnr.client.reference import RegistryAddress, shown, split_address
from cnr.domain.digest import Digest, parse_digest
from cnr.domain.errors import BadInput
from cnr.domain.names import LIBRARY, Repository, Tag, parse_repository, parse_tag

LATEST = Tag("latest")

_DOCKER_HUB = ("docker.io", "index.docker.io")
_DOCKER_HUB_API = RegistryAddress("https", "registry-1.docker.io")


@dataclass(frozen=True, slots=True)
class ImageReference:
    """A repository in a registry; a tag, or a manifest by its digest, or neither. Where both are, the digest counts."""

    registry: RegistryAddress
    repository: Repository
    tag: Tag | None = None
    digest: Digest | None = None

    @property
    def selector(self) -> Tag | Digest | None:
        """What names the manifest."""
        return self.digest or self.tag

    @property
    def manifest(self) -> Tag | Digest:
        """What names the manifest; `latest` where the text names none, as everywhere with OCI."""
        return self.selector or LATEST

    @property
    def place(self) -> str:
        """HOST[:PORT]/repository."""
        return f"{self.registry}/{self.repository}"

    def at(self, tag: Tag) -> "ImageReference":
        """The same repository with this tag."""
        return replace(self, tag=tag, digest=None)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return self.place + tag + (f"@{self.digest}" if self.digest else "")


def parse_image(text: str) -> ImageReference:
    """`text` as a reference. Raises InvalidReference, with the rule that is broken.

    `+` in a tag becomes `_`, as releases are written there; `@1.2.3` is a release's tag as well, as the CNR API's
    clients write it. Names of docker.io mean the registry behind it.
    """
    address, path = split_address(text)
    name, at, behind = path.partition("@")
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    if at and ":" not in behind and not colon:
        tag, behind, colon, at = behind, "", at, ""
    if not last or (colon and not tag) or (at and not behind):
        raise InvalidReference(f"{shown(text)} must be HOST[:PORT]/repository[:tag or @digest]")
    try:
        repository = parse_repository(head + slash + last)
        named = read_tag(tag) if tag else None
        return _on_hub(ImageReference(address, repository, named, parse_digest(behind) if behind else None))
    except BadInput as exc:
        raise InvalidReference(f"{shown(text)}: {exc.message}") from None


def read_tag(text: str) -> Tag:
    """`text` as a tag, `+` written as `_`. Raises InvalidName. Source: observed from helm."""
    return parse_tag(text.replace("+", "_"))


def behind_hub(registry: RegistryAddress) -> RegistryAddress:
    """The registry that is meant: for names of docker.io the one behind it."""
    return _DOCKER_HUB_API if registry.host in _DOCKER_HUB else registry


def _on_hub(reference: ImageReference) -> ImageReference:
    if reference.registry.host not in _DOCKER_HUB:
        return reference
    repository = reference.repository
    full = repository if "/" in repository else Repository(f"{LIBRARY}/{repository}")
    return replace(reference, registry=_DOCKER_HUB_API, repository=full)
