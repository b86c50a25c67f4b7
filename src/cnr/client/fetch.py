"""From a reference to checked bytes: which content is meant, its download, and where it goes."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cnr.client.cnr import ANY_FORMAT, CnrClient, Report, quiet
from cnr.client.errors import AlreadyHere, BadAnswer, Damaged
from cnr.client.messages import Manifest
from cnr.client.reference import AtDigest, AtRelease, Reference
from cnr.client.unpack import extract, tar_digest
from cnr.domain.digest import TarDigest, parse_tar_digest
from cnr.domain.errors import BadInput
from cnr.domain.names import PackageName
from cnr.domain.version import parse_release

SIZE_LIMIT = 2 * 1024**3
"""Bytes of a download whose size no manifest tells."""

Progress = Callable[[int | None], Report]
"""Begins to show a transfer of so many bytes (None: unknown) and hears of its pieces."""


def unseen(size: int | None) -> Report:
    """A Progress that nobody sees."""
    return quiet


@dataclass(frozen=True, slots=True)
class Content:
    """What a reference means now. Pulled by digest: `release` and `format` are None, and `size` (bytes) is unknown."""

    package: PackageName
    digest: TarDigest
    size: int | None = None
    release: str | None = None
    format: str | None = None

    @property
    def file_stem(self) -> str:
        """`<ns>_<name>_<release>`, as servers name their files. Source: contracts/cnr.md 2.10, 2.11."""
        return f"{self.package.namespace}_{self.package.name}_{self.release or self.digest[:8]}"


def release_query(client: CnrClient, reference: Reference) -> str:
    """The release or range that `reference` asks for; a channel's current release. Raises NotFound, BadAnswer."""
    selector = reference.selector or AtRelease()
    if isinstance(selector, AtRelease):
        return selector.query
    if isinstance(selector, AtDigest):
        raise TypeError("a digest is no release")
    current = client.channel(reference.package, selector.channel).current
    if current is None:
        raise BadAnswer(f"{client.registry} has a channel {selector.channel} without a release")
    return current


def locate(client: CnrClient, reference: Reference, format: str | None) -> Content:
    """What `reference` means. Raises NotFound, and Refusal where `format` is None and the release has several."""
    if isinstance(reference.selector, AtDigest):
        return Content(reference.package, reference.selector.digest)
    return content_of(client.show(reference.package, release_query(client, reference), format or ANY_FORMAT), reference)


def content_of(manifest: Manifest, reference: Reference) -> Content:
    """The content of a manifest, its names checked because files will be named after them. Raises BadAnswer."""
    try:
        release = parse_release(manifest.release)
        digest = parse_tar_digest(manifest.content.digest)
    except BadInput as exc:
        raise BadAnswer(f"{reference.registry} names a release or digest that is none: {exc.message}") from None
    return Content(reference.package, digest, manifest.content.size, release, manifest.format)


def download(client: CnrClient, content: Content, to: Path, progress: Progress = unseen) -> None:
    """Writes the archive to `to`, and checks size and digest. Raises Damaged, UnsafeArchive, NotFound, OSError."""
    limit = SIZE_LIMIT if content.size is None else content.size
    with open(to, "xb") as out:
        size = client.download(content.package, content.digest, out, limit=limit, report=progress(content.size))
    if content.size not in (None, size):
        raise Damaged(f"{client.registry} sent {size:,} bytes of {content.package} instead of {content.size:,}")
    found = tar_digest(to)
    if found != content.digest:
        raise Damaged(f"{client.registry} sent other bytes: their digest is {found}, not {content.digest}")


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A hidden new folder within `folder`, gone afterwards with all that is still in it."""
    with tempfile.TemporaryDirectory(prefix=".cnr-", dir=folder, ignore_cleanup_errors=True) as stage:
        yield Path(stage)


def keep_archive(archive: Path, path: Path) -> None:
    """Moves `archive` to `path` in one step; a file that is there is replaced."""
    if path.is_dir():
        raise AlreadyHere(f"{path} is a folder: remove it, or choose another with --dest")
    os.chmod(archive, 0o644 & ~_umask())
    os.replace(archive, path)


def keep_tree(archive: Path, stage: Path, path: Path, *, force: bool) -> int:
    """Extracts `archive` within `stage`, then moves the folder to `path` in one step; returns the number of files.

    Raises AlreadyHere unless `force`, which replaces what is there; UnsafeArchive; OSError.
    """
    check_free(path, force=force)
    tree = stage / "tree"
    tree.mkdir(0o755)
    files = extract(archive, tree)
    _replace(tree, path, aside=stage / "replaced")
    return files


def _replace(tree: Path, path: Path, *, aside: Path) -> None:
    """Puts `tree` at `path`; what was there goes `aside`, or back if the move fails."""
    replaces = os.path.lexists(path)
    if replaces:
        os.rename(path, aside)
    try:
        os.rename(tree, path)
    except OSError:
        if replaces:
            os.rename(aside, path)
        raise


def check_free(path: Path, *, force: bool) -> None:
    """Raises AlreadyHere if something is at `path`, unless `force`."""
    if os.path.lexists(path) and not force:
        raise AlreadyHere(f"{path} exists: remove it, or replace it with --force")


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
