"""Cases 28 to 37: which release a query finds, and which format. Source: contracts/cnr.md section 3."""

from urllib.parse import quote

import pytest
from tests.protocols.cnr.client import Cnr, done, error_of, refused

SET_B = ("0.9.0", "1.0.0-rc.1", "1.0.0", "1.2.3", "2.0.0-rc1", "10.0.0-alpha")
FOUND_B = {
    "default": "10.0.0-alpha",
    "*": "1.2.3",
    "1.0.0": "1.0.0",
    "=1.0.0": "1.0.0",
    "==1.0.0": "1.0.0",
    " 1.0.0 ": "1.0.0",
    "1.0": "1.0.0",
    "==1.0": "1.0.0",
    "~1.0": "1.0.0",
    "~=1.0.0": "1.0.0",
    "1": "1.2.3",
    "1.*": "1.2.3",
    "^1.0": "1.2.3",
    "~=1.0": "1.2.3",
    ">=1.0": "1.2.3",
    ">=1.0,<2.0": "1.2.3",
    ">= 1.0, < 2.0": "1.2.3",
    ">=1.0,<2.0-": "2.0.0-rc1",
    "<1.0.0": "0.9.0",
    "2.0.0-rc1": "2.0.0-rc1",
    "==2.0.0-rc1": "2.0.0-rc1",
    "<2.0.0-rc1": "1.2.3",
    ">=2.0.0-0": "10.0.0-alpha",
    "!=1.2.3": "1.0.0",
    "!=1.2.3,!=10.0.0-alpha": "2.0.0-rc1",
}
NONE_B = (">1.0.0-rc.1,<1.0.0", ">99", "1.0.0+x", "==10.0.0", "1.0.0 - 2.0.0", ">1.2")
UNREADABLE = ("latest", "abc", "v1.0.0", "1.x", "1||2", ">=1.0 <2.0", "01.0.0", "1.0.0.0", "==1.0.0,", "Default")

SET_A = ("0.1.0", "0.3.0", "0.3.2-rc", "0.5.0", "0.5.2-rc", "0.7.0", "0.8.0-rc")
FOUND_A = {
    "==0.5.0": "0.5.0",
    ">=0.1.0": "0.7.0",
    "<0.4.0": "0.3.0",
    ">=0.3.0,<0.6.0": "0.5.0",
    ">=0.1.0-": "0.8.0-rc",
    "<0.4.0-": "0.3.2-rc",
    ">=0.3.0-,<0.6.0": "0.5.2-rc",
    ">=0.3.0,<0.6.0-": "0.5.2-rc",
}


def resolved(cnr: Cnr, package: str, query: str) -> str:
    """What show and pull agree that `query` is: a release, or the code of their error."""
    path = f"/{package}/{quote(query, safe='')}/helm"
    answers = [cnr.get(path), cnr.get(f"{path}/pull", params={"format": "json"})]
    results = {a.json()["release"] if a.status_code == 200 else error_of(a)["code"] for a in answers}
    assert len(results) == 1, (query, results)
    return str(results.pop())


def test_case_28_default_takes_prereleases(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, *SET_B)
    assert done(cnr.show(package, "default"))["release"] == "10.0.0-alpha"


def test_case_29_set_b(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, *SET_B)
    assert {query: resolved(cnr, package, query) for query in FOUND_B} == FOUND_B
    assert {resolved(cnr, package, query) for query in NONE_B if query != ">1.2"} == {"package-release-not-found"}
    assert {query: resolved(cnr, package, query) for query in UNREADABLE} == dict.fromkeys(
        UNREADABLE, "invalid-release"
    )


def test_case_29_only_prereleases(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0-rc1")
    wanted = {
        "default": "1.0.0-rc1",
        "*": "package-release-not-found",
        ">=0": "package-release-not-found",
        ">=0-": "1.0.0-rc1",
    }
    assert {query: resolved(cnr, package, query) for query in wanted} == wanted


def test_case_29_a_greater_partial_version_excludes_its_patches(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.2.3")
    assert resolved(cnr, package, ">1.2") == "package-release-not-found"
    cnr.pushed(package, "1.3.0")
    assert resolved(cnr, package, ">1.2") == "1.3.0"


def test_case_30_set_a(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, *SET_A)
    assert {query: resolved(cnr, package, query) for query in FOUND_A} == FOUND_A


def test_case_31_ranges_raw_and_percent_encoded(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, *SET_B)
    for query in (">=1.0,<2.0", "%3E%3D1.0%2C%3C2.0", "%3e%3d1.0%2c%3c2.0", ">=%201.0,%20%3C%202.0%20"):
        answer = cnr.raw("GET", f"/api/v1/packages/{package}/{query}/helm")
        assert done(answer)["release"] == "1.2.3", query


@pytest.mark.parametrize("query", ["Default", "latest", "v1.0.0"])
def test_case_32_unreadable_queries(cnr: Cnr, package: str, query: str) -> None:
    cnr.pushed(package, "1.0.0")
    refused(cnr.show(package, query), 422, "invalid-release", release=query)
    refused(cnr.get(f"/{package}/{query}/helm/pull"), 422, "invalid-release", release=query)


def test_case_33_a_range_that_nothing_is_in(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    refused(cnr.show(package, "%3E99"), 404, "package-release-not-found", package=package, release_query=">99")


def test_case_34_a_missing_package_comes_before_the_query(cnr: Cnr, package: str) -> None:
    refused(cnr.show(package, "abc"), 404, "package-not-found", package=package)
    refused(cnr.get(f"/{package}/abc/helm/pull"), 404, "package-not-found", package=package)


def test_case_35_any_format(cnr: Cnr, package: str) -> None:
    done(cnr.push(package, "1.0.0", "kpm"))
    assert done(cnr.show(package, "1.0.0", "-"))["mediaType"] == "application/vnd.cnr.package-manifest.kpm.v1.json"
    assert done(cnr.get(f"/{package}/default/-/pull?format=json"))["media_type"] == "kpm"
    done(cnr.push(package, "1.0.0", "helm"))
    details = {"package": package, "release": "1.0.0", "media_types": ["helm", "kpm"]}
    refused(cnr.show(package, "default", "-"), 400, "invalid-usage", **details)
    refused(cnr.get(f"/{package}/default/-/pull?format=json"), 400, "invalid-usage", **details)


@pytest.mark.parametrize("format", ["HELM", "kpm", "Helm", "bad"])
def test_case_36_another_format(cnr: Cnr, package: str, format: str) -> None:
    cnr.pushed(package, "1.0.0")
    details = {"package": package, "release": "1.0.0", "media_type": format}
    refused(cnr.show(package, "*", format), 404, "package-not-found", **details)
    refused(cnr.get(f"/{package}/*/{format}/pull"), 404, "package-not-found", **details)


def test_case_36_a_full_media_type_is_no_path_segment(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    full = "application%2Fvnd.cnr.package-manifest.helm.v1.json"
    assert cnr.raw("GET", f"/api/v1/packages/{package}/1.0.0/{full}").status_code == 404


def test_case_37_build_metadata(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0+b1")
    for path in ("1.0.0+b1", "1.0.0%2Bb1", "1.0.0%2bb1"):
        assert done(cnr.raw("GET", f"/api/v1/packages/{package}/{path}/helm"))["release"] == "1.0.0+b1"
    assert done(cnr.get(f"/{package}/1.0.0+b1/helm/pull/json"))["filename"].endswith("_1.0.0+b1.tar.gz")
    assert done(cnr.show(package, "1.0.0"))["release"] == "1.0.0+b1"
    cnr.pushed(package, "1.0.0", "1.0.0+b2")
    assert done(cnr.show(package, "1.0.0"))["release"] == "1.0.0"
    assert done(cnr.show(package, "1.0.0+b1"))["release"] == "1.0.0+b1"
    assert done(cnr.show(package, "default"))["release"] == "1.0.0+b2"
    assert done(cnr.get(params={"query": package}))[0]["releases"] == ["1.0.0+b2", "1.0.0+b1", "1.0.0"]


def test_case_37_a_dash_in_build_metadata_is_no_prerelease(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0+a-b")
    assert done(cnr.show(package, "*"))["release"] == "1.0.0+a-b"
