"""What an operator's rules forbid, ChartMuseum's clients are refused as well. Cases 93 and 100; lenient releases."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.protocols.cnr.server import Server
from tests.protocols.helm.client import Tenant, chart_file, helm_push, provenance

Start = Callable[..., Tenant]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server with settings; a tenant of it."""
    servers: list[Server] = []
    clients: list[httpx.Client] = []

    def begin(**env: str) -> Tenant:
        servers.append(Server(tmp_path, env=env).start())
        clients.append(httpx.Client(base_url=servers[-1].url, timeout=60))
        return Tenant(clients[-1], "team")

    yield begin
    for client in clients:
        client.close()
    for server in servers:
        server.kill()


@pytest.mark.parametrize("env", [{"CNR_ALLOW_FORCE": "false"}, {"CNR_IMMUTABILITY": "strict"}])
def test_case_93_force_where_it_is_not_allowed(start: Start, env: dict[str, str]) -> None:
    tenant = start(**env)
    data, other = chart_file("app", "1.0.0"), chart_file("app", "1.0.0", description="other")
    prov = provenance("app", "1.0.0", data)
    assert tenant.push_form(chart=data, prov=prov).status_code == 201
    for answer in (tenant.push(other, "?force"), tenant.push_form("?force", chart=other)):
        assert (answer.status_code, list(answer.json())) == (409, ["error"])
    assert tenant.push_form("?force", prov=prov + b"\n").status_code == 409
    assert tenant.get("charts/app-1.0.0.tgz").content == data
    assert tenant.get("charts/app-1.0.0.tgz.prov").content == prov


def test_case_100_a_deleted_release_comes_back_as_it_was(start: Start) -> None:
    tenant = start(CNR_IMMUTABILITY="strict")
    data, other = chart_file("app", "1.0.0"), chart_file("app", "1.0.0", description="other")
    assert tenant.push(data).status_code == 201
    assert tenant.delete("app", "1.0.0").status_code == 200
    assert tenant.push(other).status_code == 409
    assert tenant.push(other, "?force").status_code == 409
    assert tenant.versions("app") == []
    assert tenant.push(data).status_code == 201
    assert tenant.versions("app") == ["1.0.0"]


def test_lenient_releases_over_oci_are_listed_and_do_not_move(start: Start) -> None:
    tenant = start()
    data = chart_file("app", "v1.2")
    assert helm_push(tenant.oci("app"), data, "v1.2").status_code == 201
    assert tenant.versions("app") == ["v1.2"]
    assert tenant.get("charts/app-v1.2.tgz").content == data
    assert helm_push(tenant.oci("app"), chart_file("app", "v1.2", description="x"), "v1.2").status_code == 403
    assert tenant.push(chart_file("app", "v1.2", description="x")).status_code == 409
    assert tenant.push(chart_file("app", "1.0")).status_code == 201
    other = chart_file("app", "1.0", description="x")
    assert helm_push(tenant.oci("app"), other, "1.0").status_code == 403
    assert tenant.delete("app", "v1.2").status_code == 200
    assert tenant.versions("app") == ["1.0"]
