"""How known clients ask, and what they take from the answers. Source: contracts/cnr.md section 7."""

import re
from typing import Any

import pytest
from tests.protocols.cnr.client import Cnr, done, error_of, refused
from tests.protocols.cnr.packages import b64, chart, tar_digest

TOKEN = {"Authorization": "basic dTpw"}


def test_courier_pushes(cnr: Cnr, package: str) -> None:
    """Anything but 200 is a failure, whose `error.message` is shown."""
    body = {"blob": b64(chart("bundle")), "release": "1.0.0", "media_type": "helm"}
    headers = {**TOKEN, "Content-Type": "application/json"}
    assert cnr.post(f"/{package}", json=body, headers=headers).status_code == 200
    again = cnr.post(f"/{package}", json=body, headers=headers)
    assert again.status_code == 409
    assert isinstance(again.json()["error"], dict)
    assert package in again.json()["error"]["message"]


def test_omps_pushes_the_first_and_the_next_version(cnr: Cnr, package: str) -> None:
    assert isinstance(done(cnr.site("/version"))["cnr-api"], str)
    first = cnr.get(f"/{package}", headers=TOKEN)
    assert first.status_code == 404
    assert error_of(first)["message"]
    cnr.pushed(package, "1.0.0", "2.0.0")
    assert [item["release"] for item in done(cnr.get(f"/{package}", headers=TOKEN))] == ["1.0.0", "2.0.0"]
    assert cnr.delete(f"/{package}/2.0.0/helm", headers=TOKEN).status_code == 200


def strict_go(manifest: dict[str, Any]) -> None:
    """Go decodes into typed structs: one value of another type fails the whole sync."""
    content = manifest["content"]
    assert isinstance(content["size"], int)
    assert isinstance(content["digest"], str)
    assert all(isinstance(url, str) for url in content["urls"])
    assert all(isinstance(name, str) for name in manifest.get("channels") or [])
    # strfmt's date-time takes a fraction of any length, and no zone
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+", manifest["created_at"])
    assert all(isinstance(manifest[key], str) for key in ("package", "release", "mediaType"))


def test_operator_marketplace_syncs_a_namespace(cnr: Cnr, package: str) -> None:
    blob = chart("operator")
    done(cnr.push(package, "1.0.0", blob=blob))
    done(cnr.post(f"/{package}/channels/stable/1.0.0"))
    for item in done(cnr.get(f"?namespace={package.partition('/')[0]}", headers=TOKEN)):
        shown = done(cnr.show(item["name"], item["default"]))
        strict_go(shown)
        assert item["channels"] is None
        assert shown["channels"] == ["stable"]
        answer = cnr.get(f"/{item['name']}/blobs/sha256/{shown['content']['digest']}")
        assert answer.headers["content-type"] == "application/x-gzip"
        assert answer.content == blob


def test_apprclient_reads_the_status_in_the_body(cnr: Cnr, package: str) -> None:
    headers = {"Accept": "application/json"}
    body = {"blob": b64(chart()), "release": "1.0.0", "media_type": "helm"}
    assert done(cnr.post(f"/{package}", json=body, headers=headers))["status"] == "ok"
    promoted = cnr.post(f"/{package}/channels/beta/1.0.0", headers=headers)
    assert done(promoted)["current"] == "1.0.0"
    assert done(cnr.get(f"/{package}/channels/beta", headers=headers))["current"] == "1.0.0"
    assert cnr.get(f"/{package}/1.0.0/helm/pull", headers=headers).headers["content-type"] == "application/x-gzip"
    assert done(cnr.delete(f"/{package}/1.0.0/helm", headers=headers))["status"] == "deleted"
    refused(cnr.get(f"/{package}/channels/beta", headers=headers), 404, "package-not-found")


def test_mirror_scripts_take_the_newest(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "2.0.0", "1.0.0")
    listed = done(cnr.get(f"?namespace={package.partition('/')[0]}"))[0]
    assert (listed["namespace"], listed["name"]) == (package.partition("/")[0], package)
    assert listed["releases"][0] == listed["default"] == "2.0.0"
    newest = done(cnr.get(f"/{package}"))[-1]
    assert newest["release"] == "1.0.0"
    by_release = done(cnr.get(f"/{package}/{newest['release']}"))[0]["content"]["digest"]
    assert tar_digest(cnr.get(f"/{package}/blobs/sha256/{by_release}").content) == newest["content"]["digest"]


def test_appr_pulls_by_channel(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0", "2.0.0")
    done(cnr.post(f"/{package}/channels/stable/1.0.0", headers={"Content-Type": "application/json"}))
    current = done(cnr.get(f"/{package}/channels/stable"))["current"]
    pulled = done(cnr.get(f"/{package}/{current}/-/pull?format=json"))
    assert pulled["filename"].split(".tar.gz")[0] == f"{package.replace('/', '_')}_1.0.0"


@pytest.mark.parametrize("status", [409, 400])
def test_appr_moves_a_channel_after_a_push_that_was_there(cnr: Cnr, package: str, status: int) -> None:
    """With -c a 409 or 400 is tolerated, and the channel is moved."""
    cnr.pushed(package, "1.0.0")
    again = cnr.push(package, "1.0.0", media_type="helm" if status == 409 else "a.b")
    assert again.status_code == status
    done(cnr.post(f"/{package}/channels/stable/1.0.0"))


def test_a_probe_asks_for_the_list(cnr: Cnr) -> None:
    assert cnr.site("/api/v1/packages", headers={"User-Agent": "kube-probe/1.9"}).is_success


def test_health(cnr: Cnr) -> None:
    assert done(cnr.site("/healthz")) == {"status": "ok"}
    assert done(cnr.site("/readyz")) == {"status": "ok"}
