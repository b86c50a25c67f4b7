"""Rows "SQLi / regex / ORM" and "size bombs" (numbers of a page), on every list and search of every protocol."""

from urllib.parse import quote

import httpx
import pytest
from tests.protocols.cnr.client import exchange
from tests.protocols.cnr.test_hostile import REGEX
from tests.protocols.helm.client import Tenant, chart_file

pytestmark = pytest.mark.usefixtures("steady")

LISTS = {
    "CNR list": ("/cnr/api/v1/packages", ("query", "namespace", "media_type", "after", "username", "sort", "x")),
    "CNR search": ("/cnr/api/v1/packages/search", ("q", "query", "sort")),
    "ranked search": ("/api/v1/search", ("q", "after", "order")),
    "catalog": ("/v2/_catalog", ("last", "sort", "filter")),
    "tags": ("/v2/{repository}/tags/list", ("last", "sort")),
    "referrers": ("/v2/{repository}/referrers/sha256:" + "0" * 64, ("artifactType", "filter")),
    "index": ("/helm/{tenant}/index.yaml", ("chart", "channel", "sort", "x")),
    "JSON index": ("/helm/{tenant}/index.json", ("chart", "since", "urls", "yanked", "latest")),
    "ChartMuseum list": ("/helm/api/{tenant}/charts", ("sort", "q", "x")),
}
ROWS = [(path, name) for path, names in LISTS.values() for name in names]
TEXTS = (*REGEX, ";", "1; SELECT pg_sleep(5)", "name'||'", "0 UNION SELECT 1", "*:*", "\ufeff", "\u202e", "a" * 3000)


@pytest.fixture(scope="module")
def filled(http: httpx.Client) -> Tenant:
    tenant = Tenant(http, "queries")
    for version in ("1.0.0", "1.1.0"):
        assert tenant.push(chart_file("app", version)).status_code == 201
    return tenant


def at(tenant: Tenant, path: str) -> str:
    return path.format(repository=f"{tenant.name}/app", tenant=tenant.name)


def listed(tenant: Tenant) -> object:
    return tenant.http.get("/v2/_catalog?n=100000").json(), tenant.index()["entries"], tenant.oci("app").tags()


@pytest.mark.parametrize(("path", "name"), ROWS)
def test_a_query_is_text(filled: Tenant, path: str, name: str) -> None:
    """It finds what has that text, or is refused in words; it changes nothing and takes no time."""
    before = listed(filled)
    for text in TEXTS:
        for query in (f"{name}={quote(text)}", f"{name}={quote(text)}&{name}=app", quote(text)):
            answer = filled.http.get(f"{at(filled, path)}?{query}")
            assert answer.status_code in (200, 400), f"{query}: {answer.status_code} {answer.text[:300]}"
            assert not any(word in answer.text.lower() for word in ("sqlite", "syntax", "traceback", "fts5", 'near "'))
    assert listed(filled) == before


@pytest.mark.parametrize("path", [path for path, _ in LISTS.values()])
@pytest.mark.parametrize("size", [60_000, 1 << 20])
def test_a_query_of_a_megabyte(filled: Tenant, path: str, size: int) -> None:
    target = f"{at(filled, path)}?q={'a' * size}"
    try:
        answer = exchange(filled.http.base_url, "GET", target, {}, b"")
    except OSError:
        return  # refused, and closed while we were still sending
    assert answer.status_code in (200, 400, 414, 431), answer.content[:300]
    assert size < 1 << 20 or answer.status_code != 200


NUMBERS = (
    *("-1", "0", "abc", "1e9", "NaN", "0x10", "%205", "%D9%A5", "1;2", "", "1" * 5000, "1000000000000000000", "1.5"),
)
PAGED = {
    "/cnr/api/v1/packages": ("limit",),
    "/api/v1/search": ("limit",),
    "/v2/_catalog": ("n",),
    "/v2/{repository}/tags/list": ("n",),
    "/helm/api/{tenant}/charts": ("limit", "offset"),
    "/helm/{tenant}/index.json": ("latest",),
}


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in PAGED.items() for name in names])
def test_numbers_of_a_page(filled: Tenant, path: str, name: str) -> None:
    """CVE-2023-2253: a number is a number, and no memory is taken for it before there is something to put there."""
    for number in NUMBERS:
        answer = filled.http.get(f"{at(filled, path)}?q=app&{name}={number}")
        assert answer.status_code in (200, 400), answer.text[:300]
        if number in ("-1", "abc", "NaN", "0x10", "1;2", "1.5"):
            assert answer.status_code == 400, f"{name}={number}: {answer.text[:300]}"


def test_ten_thousand_parameters(filled: Tenant) -> None:
    for path, _ in LISTS.values():
        answer = filled.http.get(f"{at(filled, path)}?{'&'.join(f'a{number}=' for number in range(5_000))}")
        assert answer.status_code in (200, 400, 414, 431)
