"""A repository with 10,000 tags, and a subject with 10,000 referrers.

Bars, at the server as its access log says: tags/list with n=100 under 5 ms, a page of referrers under 20 ms.
"""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from artifacts import OCI, put_manifest, upload
from lists import ask
from servers import cnr

TAGS = 10_000
REFERRERS = 10_000
AT_ONCE = 100
CLIENTS = 4


def main() -> None:
    """Fill a repository over HTTP, and ask."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as text:
        folder = Path(text)
        with cnr(folder) as (address, _), httpx.Client(base_url=address, timeout=60) as http:
            upload(http, "bench/lists", b"{}")
            subject = put_manifest(http, "bench/lists", "", [])
            tag(http, subject["digest"])
            refer(address, subject)
            log = folder / "access.log"
            tags = "/v2/bench/lists/tags/list?n=100"
            ask(address, log, {"tags": tags, "tags from the middle": f"{tags}&last=t005000"}, bar_ms=5)
            first = f"/v2/bench/lists/referrers/{subject['digest']}"
            pages = list(_pages(http, first))
            filtered = f"{first}?{urlencode({'artifactType': 'application/x.bench'})}"
            questions = {"referrers": first, "a later page": pages[len(pages) // 2], "of one type": filtered}
            ask(address, log, questions, bar_ms=20)
            print(f"{len(pages)} pages of referrers")


def tag(http: httpx.Client, digest: str) -> None:
    """Point TAGS tags at the manifest, as many at once as a request may name."""
    manifest = http.get(f"/v2/bench/lists/manifests/{digest}").raise_for_status().content
    for start in range(0, TAGS, AT_ONCE):
        query = urlencode([("tag", f"t{number:06d}") for number in range(start, start + AT_ONCE)])
        where = f"/v2/bench/lists/manifests/{digest}?{query}"
        http.put(where, content=manifest, headers={"Content-Type": OCI}).raise_for_status()


def refer(address: str, subject: dict[str, Any]) -> None:
    """Push REFERRERS manifests that refer to `subject`."""

    def push(numbers: range) -> None:
        with httpx.Client(base_url=address, timeout=60) as http:
            for number in numbers:
                put_manifest(http, "bench/lists", "", [], subject=subject, annotations={"n": str(number)})

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(push, [range(start, REFERRERS, CLIENTS) for start in range(CLIENTS)]))


def _pages(http: httpx.Client, path: str) -> Iterator[str]:
    while path:
        yield path
        path = http.get(path).raise_for_status().links.get("next", {}).get("url", "")


if __name__ == "__main__":
    main()
