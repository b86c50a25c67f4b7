"""What helm sends, request by request. Source: contracts/oci-helm.md section 3; it was seen there with helm's code."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.clients.charts import chart_file
from tests.clients.program import Helm
from tests.clients.recorder import Exchange, Recorder
from tests.protocols.cnr.server import Server
from tests.protocols.oci.client import INDEX, MANIFEST

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_UPLOAD = re.compile(r"uploads/[0-9a-f]{32}.*")


@pytest.fixture
def seen(helm: Helm, proxy: Recorder) -> Helm:
    """Helm, through the proxy."""
    return helm.at(proxy.host)


def lines(exchanges: Sequence[Exchange], path: str) -> list[str]:
    """`METHOD what status`, with digests and uploads by name only."""
    found = []
    for each in exchanges:
        what = each.target.removeprefix(f"/v2/{path}/")
        what = _DIGEST.sub("DIGEST", _UPLOAD.sub("uploads/ID", what))
        found.append(f"{each.method} {what} {each.status}")
    return found


def unordered(found: list[str], *groups: tuple[int, int]) -> list[str]:
    """`found` with these stretches sorted: what helm does in parallel."""
    for start, stop in groups:
        found[start:stop] = sorted(found[start:stop])
    return found


def test_push(seen: Helm, proxy: Recorder, namespace: str, tmp_path: Path) -> None:
    seen.push(chart_file(tmp_path, "web", "1.0.0"), namespace)
    exchanges = proxy.taken()
    assert unordered(lines(exchanges, f"{namespace}/web"), (1, 7)) == [
        "HEAD manifests/DIGEST 404",
        "HEAD blobs/DIGEST 404",
        "HEAD blobs/DIGEST 404",
        "POST blobs/uploads/ 202",
        "POST blobs/uploads/ 202",
        "PUT blobs/uploads/ID 201",
        "PUT blobs/uploads/ID 201",
        "PUT manifests/DIGEST 201",
        "GET manifests/DIGEST 200",
        "PUT manifests/1.0.0 201",
    ]
    sent = exchanges[7].headers
    assert sent["content-type"] == MANIFEST
    assert "content-length" in sent
    assert "expect" not in sent
    assert all(each.headers["content-type"] == "application/octet-stream" for each in exchanges if _body(each))
    assert exchanges[9].answered["docker-content-digest"] in exchanges[7].target


def _body(each: Exchange) -> bool:
    return each.method == "PUT" and "/blobs/uploads/" in each.target


def test_push_again(seen: Helm, proxy: Recorder, namespace: str, tmp_path: Path) -> None:
    archive = chart_file(tmp_path, "web", "1.0.0")
    seen.push(archive, namespace)
    proxy.taken()
    seen.push(archive, namespace)
    assert lines(proxy.taken(), f"{namespace}/web") == [
        "HEAD manifests/DIGEST 200",
        "GET manifests/DIGEST 200",
        "PUT manifests/1.0.0 201",
    ]


def test_a_push_that_is_refused_is_not_tried_again(seen: Helm, proxy: Recorder, namespace: str, tmp_path: Path) -> None:
    """Only the last request meets the release: the manifest by its digest stays, without a tag."""
    seen.push(chart_file(tmp_path / "one", "web", "1.0.0", text="tea"), namespace)
    proxy.taken()
    seen.run.refused(
        "push", chart_file(tmp_path / "two", "web", "1.0.0", text="no"), seen.url(namespace), "--plain-http"
    )
    found = proxy.taken()
    assert [each.status for each in found if each.status not in (200, 201, 202, 404)] == [403]
    assert (found[-1].method, found[-1].status) == ("PUT", 403)


def test_pull_of_a_version(seen: Helm, proxy: Recorder, namespace: str, tmp_path: Path) -> None:
    """No list of tags, no ping; all types in one Accept."""
    seen.push(chart_file(tmp_path, "web", "1.0.0"), namespace)
    proxy.taken()
    seen.pull(f"{namespace}/web", "--version", "1.0.0")
    exchanges = proxy.taken()
    blobs = ["GET blobs/DIGEST 200", "GET blobs/DIGEST 200"]
    assert lines(exchanges, f"{namespace}/web") == ["GET manifests/1.0.0 200", *blobs]
    accept = exchanges[0].headers["accept"]
    assert MANIFEST in accept
    assert INDEX in accept


def test_pull_of_a_range(seen: Helm, proxy: Recorder, namespace: str, tmp_path: Path) -> None:
    seen.push(chart_file(tmp_path, "web", "1.0.0"), namespace)
    proxy.taken()
    seen.pull(f"{namespace}/web", "--version", "^1")
    assert lines(proxy.taken(), f"{namespace}/web")[:2] == ["GET tags/list 200", "GET manifests/1.0.0 200"]


def test_pull_by_digest(seen: Helm, proxy: Recorder, namespace: str, tmp_path: Path) -> None:
    pin = seen.push(chart_file(tmp_path, "web", "1.0.0"), namespace)
    proxy.taken()
    seen.pull(f"{namespace}/web@{pin}")
    assert lines(proxy.taken(), f"{namespace}/web")[0] == "GET manifests/DIGEST 200"
    seen.pull(f"{namespace}/web:1.0.0@{pin}")
    assert lines(proxy.taken(), f"{namespace}/web")[:2] == ["HEAD manifests/1.0.0 200", "GET manifests/DIGEST 200"]


def test_nothing_is_sent_to_another_address(
    seen: Helm, proxy: Recorder, server: Server, namespace: str, tmp_path: Path
) -> None:
    """Every Location is a path: a client behind a proxy stays behind it."""
    seen.push(chart_file(tmp_path, "web", "1.0.0"), namespace)
    locations = [each.answered["location"] for each in proxy.taken() if "location" in each.answered]
    assert len(locations) == 6
    assert all(each.startswith("/v2/") for each in locations)
