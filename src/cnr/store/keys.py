"""Every key of the record store. The only place that builds or splits one.

repos/<repo>                        a repository ever written to: state, created_at
policy/<repo or namespace>          what the operator decided for it: immutability, force, untagged manifests
tags/<repo>/<tag>                   a release, channel, plain tag, or what a deleted release leaves
manifests/<repo>/<digest>           an OCI manifest and its bytes
blobs/<repo>/<digest>               which stored bytes a blob is
contents/<repo>/<tar digest>        which blob the CNR view serves for a tar
referrers/<repo>/<subject>/<digest> a manifest that names <subject>
uploads/<id>                        an open upload
chunked/<id>                        a blob in pieces, where the engine has no files
chunks/<id>/<n>                     a piece of it
accounts/users/<name>               a user: password hash, groups, roles
accounts/groups/<name>              a group: roles of its members
accounts/tokens/<id>                a robot token: hash of its secret, scopes, expiry
accounts/used/<id>                  when a robot token was used last, about
accounts/signing                    the keys that sign bearer tokens
meta/format                         the format that servers read and write
meta/migration                      which store is being copied to this one: not to be served yet
meta/gc                             who collects garbage
meta/gc-unnamed                     bytes that no record named when a collector looked

In a key the `/` of a repository becomes `!`, which no name contains, so a key splits at its slashes.
"""

from typing import NamedTuple

from cnr.domain.digest import Digest, TarDigest
from cnr.domain.names import Repository

META_FORMAT = "meta/format"
META_MIGRATION = "meta/migration"
META_GC = "meta/gc"
META_GC_UNNAMED = "meta/gc-unnamed"
REPOS = "repos/"
TAGS = "tags/"
MANIFESTS = "manifests/"
BLOBS = "blobs/"
CONTENTS = "contents/"
REFERRERS = "referrers/"
UPLOADS = "uploads/"
USERS = "accounts/users/"
GROUPS = "accounts/groups/"
TOKENS = "accounts/tokens/"
SIGNING = "accounts/signing"
CHUNKED = "chunked/"
UNFED = (UPLOADS, "chunks/", CHUNKED, "accounts/")
"""Prefixes whose changes the feed leaves out."""


class Key(NamedTuple):
    """A key taken apart: its kind (`tags`), its repository, and what is left (a tag, a digest)."""

    kind: str
    repository: Repository
    rest: str


def _flat(repository: str) -> str:
    return repository.replace("/", "!")


def repo(repository: Repository) -> str:
    return f"repos/{_flat(repository)}"


def policy(path: str) -> str:
    """Of a namespace, or of a repository by its `policy_path`."""
    return f"policy/{_flat(path)}"


def tag(repository: Repository, name: str) -> str:
    return f"tags/{_flat(repository)}/{name}"


def tags(repository: Repository) -> str:
    """The prefix of all tags of a repository."""
    return f"tags/{_flat(repository)}/"


def manifest(repository: Repository, digest: Digest) -> str:
    return f"manifests/{_flat(repository)}/{digest}"


def manifests(repository: Repository) -> str:
    """The prefix of all manifests of a repository."""
    return f"manifests/{_flat(repository)}/"


def blob(repository: Repository, digest: Digest) -> str:
    return f"blobs/{_flat(repository)}/{digest}"


def blobs(repository: Repository) -> str:
    """The prefix of all blobs of a repository."""
    return f"blobs/{_flat(repository)}/"


def contents(repository: Repository, digest: TarDigest) -> str:
    return f"contents/{_flat(repository)}/{digest}"


def all_contents(repository: Repository) -> str:
    """The prefix of all contents of a repository."""
    return f"contents/{_flat(repository)}/"


def referrer(repository: Repository, subject: Digest, digest: Digest) -> str:
    return f"referrers/{_flat(repository)}/{subject}/{digest}"


def referrers(repository: Repository, subject: Digest) -> str:
    """The prefix of all referrers of a subject."""
    return f"referrers/{_flat(repository)}/{subject}/"


def all_referrers(repository: Repository) -> str:
    """The prefix of the referrers of all subjects of a repository."""
    return f"referrers/{_flat(repository)}/"


def upload(upload_id: str) -> str:
    return f"uploads/{upload_id}"


def chunked(blob_id: str) -> str:
    return f"chunked/{blob_id}"


def chunks(blob_id: str) -> str:
    """The prefix of all pieces of a blob."""
    return f"chunks/{blob_id}/"


def chunk(blob_id: str, number: int) -> str:
    return f"chunks/{blob_id}/{number:08d}"


def user(name: str) -> str:
    return USERS + name


def group(name: str) -> str:
    return GROUPS + name


def token(token_id: str) -> str:
    return TOKENS + token_id


def token_use(token_id: str) -> str:
    return f"accounts/used/{token_id}"


def split(key: str) -> Key:
    """The parts of a key that belongs to a repository. Raises ValueError for any other."""
    kind, _, rest = key.partition("/")
    repository, _, rest = rest.partition("/")
    if kind not in ("repos", "policy", "tags", "manifests", "blobs", "contents", "referrers") or not repository:
        raise ValueError(f"not a repository's key: {key!r}")
    return Key(kind, Repository(repository.replace("!", "/")), rest)
