"""Load the corpus into a registry, pull everything back, compare every byte and both digests.

    python scripts/corpus.py [ADDRESS [FOLDER]]

Ends with status 1 and the first difference if there is one. docs/corpus.md shows it.
"""

import base64
import gzip
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import msgspec

ADDRESS = "http://localhost:5000"
FOLDER = Path(__file__).parents[2] / "shared" / "corpus"


class Package(msgspec.Struct, frozen=True):
    """A row of the corpus' index.json: sizes in bytes, digests as each API writes them."""

    file: str
    format: str
    package: str
    release: str
    size: int
    cnr_digest: str
    oci_digest: str


class Difference(Exception):
    """Something came back that is not what was pushed."""


def push(client: httpx.Client, package: Package, data: bytes) -> bool:
    """Publish a package; whether it was new. Raises httpx.HTTPStatusError."""
    body = {
        "release": package.release,
        "media_type": package.format,
        "blob": base64.b64encode(data).decode("ascii"),
    }
    answer = client.post(f"/{package.package}", json=body)
    if answer.status_code == httpx.codes.CONFLICT:
        return False
    answer.raise_for_status()
    return True


def compare(client: httpx.Client, package: Package, data: bytes) -> None:
    """Raises Difference unless the package is served as it was pushed, by release and by digest."""
    place = f"/{package.package}/{package.release}/{package.format}"
    content = client.get(place).raise_for_status().json()["content"]
    check(package, "digest", content["digest"], package.cnr_digest)
    check(package, "size", content["size"], package.size)
    for address in (f"{place}/pull", f"/{package.package}/blobs/sha256/{package.cnr_digest}"):
        served = client.get(address).raise_for_status().content
        check(package, "bytes", served == data, True)
        check(package, "digest of the gzip", f"sha256:{hashlib.sha256(served).hexdigest()}", package.oci_digest)
        check(package, "digest of the tar", hashlib.sha256(gzip.decompress(served)).hexdigest(), package.cnr_digest)


def check(package: Package, what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Difference(f"{package.package} {package.release} ({package.format}): {what} {found}, not {wanted}")


def main(arguments: Sequence[str]) -> int:
    address = arguments[0] if arguments else ADDRESS
    folder = Path(arguments[1]) if len(arguments) > 1 else FOLDER
    packages = msgspec.json.decode((folder / "index.json").read_bytes(), type=list[Package])
    with httpx.Client(base_url=f"{address}/api/v1/packages", timeout=60) as client:
        try:
            new = sum(push(client, package, (folder / package.file).read_bytes()) for package in packages)
            print(f"{new} packages pushed, {len(packages) - new} were there.")
            for package in packages:
                compare(client, package, (folder / package.file).read_bytes())
        except (httpx.HTTPError, Difference) as exc:
            print(exc, file=sys.stderr)
            return 1
    print(f"{len(packages)} packages pulled back: every byte and both digests are as they were.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
