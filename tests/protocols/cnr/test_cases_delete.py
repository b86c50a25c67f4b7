"""Cases 57 to 61: what a delete takes with it, and what it leaves."""

import pytest
from tests.protocols.cnr.client import Cnr, done, refused
from tests.protocols.cnr.packages import chart, tar_digest


def test_case_57_delete_and_push_again(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0", "2.0.0")
    assert done(cnr.delete(f"/{package}/1.0.0/helm")) == {"status": "deleted", "package": package, "release": "1.0.0"}
    refused(cnr.show(package), 404, "package-release-not-found")
    details = {"package": package, "release": "1.0.0"}
    refused(cnr.delete(f"/{package}/1.0.0/helm"), 404, "package-not-found", **details)
    cnr.pushed(package, "1.0.0")
    assert done(cnr.show(package))["release"] == "1.0.0"


@pytest.mark.parametrize("release", ["default", ">=1.0", "1", "*", "latest", "9.9.9"])
def test_case_58_only_an_exact_release_is_deleted(cnr: Cnr, package: str, release: str) -> None:
    cnr.pushed(package, "1.0.0")
    details = {"package": package, "release": release}
    refused(cnr.delete(f"/{package}/{release}/helm"), 404, "package-not-found", **details)
    refused(cnr.delete(f"/{package}/1.0.0/kpm"), 404, "package-not-found", media_type="kpm")
    refused(cnr.delete(f"/{cnr.fresh()}/{release}/helm"), 404, "package-not-found")
    assert done(cnr.show(package))["release"] == "1.0.0"


def test_case_58_any_format_where_there_is_one(cnr: Cnr, package: str) -> None:
    done(cnr.push(package, "1.0.0", "helm"))
    done(cnr.push(package, "1.0.0", "kpm"))
    formats = ["helm", "kpm"]
    refused(cnr.delete(f"/{package}/1.0.0/-"), 400, "invalid-usage", media_types=formats)
    done(cnr.delete(f"/{package}/1.0.0/helm"))
    assert done(cnr.delete(f"/{package}/1.0.0/-"))["status"] == "deleted"
    refused(cnr.get(f"/{package}"), 404, "package-not-found")


def test_case_59_one_of_two_formats(cnr: Cnr, package: str) -> None:
    done(cnr.push(package, "1.0.0", "helm"))
    done(cnr.push(package, "1.0.0", "kpm"))
    done(cnr.post(f"/{package}/channels/stable/1.0.0"))
    done(cnr.delete(f"/{package}/1.0.0/kpm"))
    assert done(cnr.show(package))["channels"] == ["stable"]
    refused(cnr.show(package, media_type="kpm"), 404, "package-not-found")
    assert done(cnr.get(f"/{package}/channels/stable"))["releases"] == ["1.0.0"]


def test_case_60_the_last_release(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    done(cnr.post(f"/{package}/channels/stable/1.0.0"))
    created_at = done(cnr.get(params={"query": package}))[0]["created_at"]
    digest = done(cnr.show(package))["content"]["digest"]
    done(cnr.delete(f"/{package}/1.0.0/helm"))
    assert cnr.names(package.partition("/")[0]) == []
    assert done(cnr.get("/search", params={"q": package})) == []
    paths = (
        *("", "/1.0.0", "/1.0.0/helm", "/default/helm", "/default/helm/pull", "/channels", "/channels/stable"),
        f"/blobs/sha256/{digest}",
    )
    for path in paths:
        refused(cnr.get(f"/{package}{path}"), 404, "package-not-found")
    refused(cnr.delete(f"/{package}/channels/stable"), 404, "package-not-found")
    cnr.pushed(package, "1.0.0")
    assert done(cnr.get(f"/{package}/channels")) == []
    assert done(cnr.show(package))["channels"] == []
    assert done(cnr.get(params={"query": package}))[0]["created_at"] > created_at


def test_case_61_a_blob_stays_while_a_release_uses_it(cnr: Cnr, package: str) -> None:
    shared, single = chart("shared"), chart("single")
    done(cnr.push(package, "1.0.0", blob=shared))
    done(cnr.push(package, "1.1.0", blob=shared))
    done(cnr.push(package, "1.2.0", blob=single))
    done(cnr.delete(f"/{package}/1.0.0/helm"))
    done(cnr.delete(f"/{package}/1.2.0/helm"))
    assert cnr.get(f"/{package}/blobs/sha256/{tar_digest(shared)}").content == shared
    assert cnr.get(f"/{package}/1.1.0/helm/pull").content == shared
    done(cnr.push(package, "1.3.0", blob=single))
    assert cnr.get(f"/{package}/1.3.0/helm/pull").content == single
