"""The whole corpus of real packages: pushed, listed, and pulled back byte for byte by every address it has."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from tests.protocols.cnr.client import Cnr, done
from tests.protocols.cnr.packages import b64
from tests.protocols.cnr.server import Server

from cnr.domain.version import order_key


def push(cnr: Cnr, corpus: Path, entry: dict[str, Any]) -> None:
    data = (corpus / entry["file"]).read_bytes()
    done(cnr.push(entry["package"], entry["release"], entry["format"], blob=data))


def check(cnr: Cnr, corpus: Path, entry: dict[str, Any]) -> None:
    """Both digests, the size and every byte, by release and by digest, raw and as JSON."""
    data = (corpus / entry["file"]).read_bytes()
    package, format, release = entry["package"], entry["format"], entry["release"]
    content = done(cnr.show(package, release, format))["content"]
    assert (content["digest"], content["size"]) == (entry["cnr_digest"], entry["size"])
    pulled = cnr.get(f"/{package}/{release}/{format}/pull").content
    assert pulled == data
    assert "sha256:" + hashlib.sha256(pulled).hexdigest() == entry["oci_digest"]
    assert cnr.get(f"/{package}/blobs/sha256/{entry['cnr_digest']}").content == data
    assert done(cnr.get(f"/{package}/{release}/-/pull/json"))["blob"] == b64(data)


def listed(entries: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Every package's releases, highest first."""
    found: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        found[entry["package"]].append(entry["release"])
    return {name: sorted(releases, key=order_key, reverse=True) for name, releases in sorted(found.items())}


def test_the_corpus_comes_back_whole(new_server: Callable[..., Server], corpus: Path) -> None:
    entries = json.loads((corpus / "index.json").read_text())
    assert len(entries) == 219
    server = new_server(workers=2)
    with httpx.Client(base_url=server.url, timeout=60) as client, ThreadPoolExecutor(4) as pool:
        bare, prefixed = Cnr(client, ""), Cnr(client, "/cnr")
        list(pool.map(lambda entry: push(bare, corpus, entry), entries))
        list(pool.map(lambda entry: check(prefixed, corpus, entry), entries))
        items = done(bare.get())
        assert {item["name"]: item["releases"] for item in items} == listed(entries)
        assert [item["default"] for item in items] == [item["releases"][0] for item in items]
        assert done(bare.get("/search", params={"q": ""})) == sorted(item["name"] for item in items)
