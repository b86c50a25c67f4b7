"""Case 84 over etcd: every entry, several servers of one store, and what they say while it is away.

The cases of both protocols run over etcd from test_stores.py.
"""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.protocols.cnr.case_84 import two_servers
from tests.protocols.cnr.client import Cnr, done, refused
from tests.protocols.cnr.conftest import NewServer
from tests.services.etcd import Etcd
from tests.services.storage import needs_files

pytestmark = needs_files  # which here only says: not once more within a run over another store


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    etcd = Etcd(tmp_path)
    yield etcd
    etcd.kill()


@pytest.mark.parametrize("entry", ["uvicorn", "gunicorn", "serve"])
def test_case_84_etcd_through_every_entry(new_server: NewServer, etcd: Etcd, entry: str) -> None:
    env = {"STORAGE": "etcd", "ETCD_HOST": etcd.members[0].endpoint}
    two_servers(new_server, entry, env, etcd.url("cnr/packages"))


@pytest.mark.parametrize("entry", ["uvicorn", "gunicorn"])
def test_an_etcd_that_goes_away_and_comes_back(new_server: NewServer, etcd: Etcd, entry: str) -> None:
    server = new_server(entry=entry, env={"STORAGE": etcd.url()})
    with httpx.Client(base_url=server.url, timeout=60) as http:
        cnr = Cnr(http, "")
        done(cnr.push("ns/app"))
        etcd.kill()
        reads = ("/api/v1/packages", "/api/v1/packages/ns/app/1.0.0/helm", "/v2/ns/app/tags/list", "/readyz")
        for path in reads:
            answer = http.get(path)
            assert answer.status_code == 503, (path, answer.text)
            assert int(answer.headers["retry-after"]) > 0
        refused(cnr.push("ns/app", "2.0.0"), 503, "unavailable")
        assert http.get("/healthz").status_code == 200
        etcd.start()
        while http.get("/readyz").status_code != 200:
            pass
        done(cnr.show("ns/app"))
        assert [item["name"] for item in done(cnr.get())] == ["ns/app"]
        done(cnr.push("ns/app", "2.0.0"))
