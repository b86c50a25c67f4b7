"""Row "decompression / size bombs" where a chart is uploaded to ChartMuseum, and a push of gigabytes to the CNR API."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from tests.protocols.cnr.client import Cnr, error_of
from tests.protocols.helm.client import Tenant, archive, chart_file
from tests.protocols.oci.client import Oci, digest, image
from tests.protocols.oci.test_hostile_sizes import BOMBS

pytestmark = pytest.mark.usefixtures("steady")

MIB = 1 << 20


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize("form", [False, True], ids=["body", "form"])
def test_a_bomb_is_refused(tenant: Tenant, data: bytes, form: bool) -> None:
    """10 GB of zeros, a README of 1 GB, a million members: 413, or 400 where it is no archive at all."""
    answer = tenant.push_form(chart=data) if form else tenant.push(data)
    assert answer.status_code in (400, 413), answer.text
    assert list(answer.json()) == ["error"]
    assert tenant.index()["entries"] == {}
    assert tenant.get("charts/bomb-1.0.0.tgz").status_code == 404


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_in_a_cnr_push_is_refused(http: httpx.Client, data: bytes) -> None:
    cnr = Cnr(http, "/cnr")
    package = cnr.fresh()
    answer = cnr.push(package, blob=data)
    assert answer.status_code in (413, 422), answer.text
    error_of(answer)
    assert cnr.get(f"/{package}").status_code == 404


LONG: Mapping[str, tuple[bytes, bytes]] = {
    "base64 of 1 GB": (b'{"release": "1.0.0", "media_type": "helm", "blob": "', b"QUFB" * (MIB // 4)),
    "white space of 1 GB": (b'{"release": "1.0.0"', b" " * MIB),
    "metadata of 1 GB": (b'{"metadata": {"a": "', b"x" * MIB),
    "keys of 1 GB": (b'{"a": 1', b', "aaaaaaaa": 1' * (MIB // 16)),
    "a form of 1 GB": (b"release=1.0.0&blob=", b"A" * MIB),
}


@pytest.mark.parametrize(("begin", "piece"), LONG.values(), ids=LONG.keys())
def test_a_body_without_end_is_refused_on_the_way(http: httpx.Client, begin: bytes, piece: bytes) -> None:
    cnr = Cnr(http, "")
    package = cnr.fresh()

    def body() -> Iterator[bytes]:
        yield begin
        for _ in range(1000):
            yield piece

    try:
        answer = cnr.post(f"/{package}", content=body())
    except httpx.TransportError:
        pass  # cut off while still sending: more comes than anybody drops for an answer to be read
    else:
        assert answer.status_code in (400, 413), answer.text[:300]
    assert cnr.get(f"/{package}").status_code == 404


def test_an_index_of_many_large_charts(tenant: Tenant) -> None:
    """What a chart may have in an index is bounded, whatever is in its Chart.yaml."""
    more: dict[str, Any] = {
        "annotations": {f"a{number}": "x" * 900 for number in range(500)},
        "keywords": ["k" * 100] * 2000,
    }
    for number in range(10):
        assert tenant.push(chart_file("app", f"1.0.{number}", **more)).status_code in (201, 400, 413)
    answer = tenant.get("index.yaml", headers={"accept-encoding": "identity"})
    assert answer.status_code == 200
    assert len(answer.content) < 10 * MIB


@pytest.mark.parametrize("count", [10_000])
def test_a_chart_of_many_files(tenant: Tenant, count: int) -> None:
    files = {f"app/templates/{number}.yaml": b"" for number in range(count)}
    head = b"apiVersion: v2\nname: app\nversion: 1.0.0\n"
    assert tenant.push(archive({"app/Chart.yaml": head, **files})).status_code in (400, 413)
    assert tenant.index()["entries"] == {}


def test_a_manifest_of_a_hundred_thousand_layers(http: httpx.Client) -> None:
    """One over 4 MiB is refused before it is read; whatever fits is read in bounded time."""
    oci = Oci.fresh(http, namespace="sizes")
    oci.blob(b"{}")
    layer = {"mediaType": "a/b", "digest": digest(b"{}"), "size": 2}
    answer = oci.put("v1", image(layers=[layer] * 100_000))
    assert answer.status_code == 413, answer.text[:300]
    assert oci.get("manifests/v1").status_code == 404
    assert oci.put("v1", image(layers=[layer] * 30_000)).status_code == 201
    assert json.loads(oci.get("manifests/v1").content)["layers"] == [layer] * 30_000
