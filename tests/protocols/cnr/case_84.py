"""Case 84 of contracts/cnr.md: two servers of one store, whatever its engine, show the same."""

from collections.abc import Mapping

import httpx
from tests.protocols.cnr.client import Cnr, done, refused
from tests.protocols.cnr.conftest import NewServer
from tests.protocols.cnr.packages import chart


def two_servers(new_server: NewServer, entry: str, env: Mapping[str, str], address: str) -> None:
    """One finds the store by `env`, the other by `address`: what one changes the other shows, and no file is made."""
    one = new_server("one", entry=entry, env=env, workers=2)
    two = new_server("two", entry=entry, env={"STORAGE": address})
    blob = chart("x" * 300_000)
    with httpx.Client(base_url=one.url, timeout=60) as first, httpx.Client(base_url=two.url, timeout=60) as second:
        done(Cnr(first, "").push("ns/app", blob=blob))
        assert Cnr(second, "").get("/ns/app/1.0.0/helm/pull").content == blob
        assert [item["name"] for item in done(Cnr(second, "").get())] == ["ns/app"]
        done(Cnr(second, "").delete("/ns/app/1.0.0/helm"))
        refused(Cnr(first, "").get("/ns/app/1.0.0/helm"), 404, "package-not-found")
    assert not (one.store / "records.sqlite").exists()
    assert not (one.store / "blobs").exists()
