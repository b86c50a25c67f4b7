"""Cases 62 to 71: channels. Source: contracts/cnr.md 2.13 and section 4."""

from urllib.parse import quote

import pytest
from tests.protocols.cnr.client import Cnr, done, refused


def channel(cnr: Cnr, package: str, name: str, *releases: str) -> None:
    """Add these releases to the channel, one after the other."""
    for release in releases:
        done(cnr.post(f"/{package}/channels/{name}/{release}"))


def test_case_62_no_channels(cnr: Cnr, package: str) -> None:
    refused(cnr.get(f"/{package}/channels"), 404, "package-not-found", package=package)
    refused(cnr.get(f"/{package}/channels/"), 404, "package-not-found", package=package)
    cnr.pushed(package, "1.0.0")
    assert done(cnr.get(f"/{package}/channels")) == []
    assert done(cnr.get(f"/{package}/channels/")) == []


def test_case_63_add_a_release(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    wanted = {"current": "1.0.0", "name": "stable", "releases": ["1.0.0"]}
    assert done(cnr.post(f"/{package}/channels/stable/1.0.0")) == wanted
    assert done(cnr.post(f"/{package}/channels/stable/1.0.0")) == wanted
    assert done(cnr.get(f"/{package}/channels/stable")) == wanted
    assert done(cnr.get(f"/{package}/channels")) == [wanted]


def test_case_64_an_older_release_may_be_current(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0", "1.10.0", "1.9.0")
    channel(cnr, package, "stable", "1.9.0", "1.10.0", "1.0.0")
    wanted = {"current": "1.0.0", "name": "stable", "releases": ["1.10.0", "1.9.0", "1.0.0"]}
    assert done(cnr.get(f"/{package}/channels/stable")) == wanted


def test_case_65_releases_that_cannot_be_added(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    path = f"/{package}/channels/stable"
    for release in ("1.0", "default", ">=1.0", "7.7.7"):
        details = {"package": package, "release": release}
        refused(cnr.post(f"{path}/{release}"), 404, "package-release-not-found", **details)
    for release in ("abc", "1.a.1", "latest"):
        refused(cnr.post(f"{path}/{release}"), 422, "invalid-release", release=release)
    missing = cnr.fresh()
    refused(cnr.post(f"/{missing}/channels/stable/1.0.0"), 404, "package-not-found", package=missing)
    assert done(cnr.get(f"/{package}/channels")) == []


def test_case_66_show_names_channels_at_their_current_only(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0", "2.0.0")
    channel(cnr, package, "stable", "1.0.0", "2.0.0")
    channel(cnr, package, "beta", "2.0.0")
    assert done(cnr.show(package, "2.0.0"))["channels"] == ["beta", "stable"]
    assert done(cnr.show(package, "1.0.0"))["channels"] == []


def test_case_67_remove_a_release(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0", "1.9.0", "1.10.0")
    channel(cnr, package, "stable", "1.0.0", "1.9.0", "1.10.0", "1.0.0")
    gone = {"status": "deleted", "package": package, "name": "stable", "release": "1.9.0"}
    assert done(cnr.delete(f"/{package}/channels/stable/1.9.0")) == gone
    left = {"current": "1.10.0", "name": "stable", "releases": ["1.10.0", "1.0.0"]}
    assert done(cnr.get(f"/{package}/channels/stable")) == left
    done(cnr.delete(f"/{package}/channels/stable/1.10.0"))
    done(cnr.delete(f"/{package}/channels/stable/1.0.0"))
    details = {"channel": "stable", "package": package, "release": None}
    refused(cnr.get(f"/{package}/channels/stable"), 404, "channel-not-found", **details)
    assert done(cnr.get(f"/{package}/channels")) == []
    assert len(done(cnr.get(f"/{package}"))) == 3


def test_case_68_what_cannot_be_removed(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0", "2.0.0")
    channel(cnr, package, "stable", "1.0.0")
    before = done(cnr.get(f"/{package}/channels/stable"))
    refused(cnr.delete(f"/{package}/channels/stable/2.0.0"), 404, "package-release-not-found")
    for release in ("7.7.7", "default", "abc", "1.0"):
        refused(cnr.delete(f"/{package}/channels/stable/{release}"), 404, "package-not-found", release=release)
    details = {"channel": "none", "package": package, "release": None}
    refused(cnr.delete(f"/{package}/channels/none/1.0.0"), 404, "channel-not-found", **details)
    refused(cnr.delete(f"/{cnr.fresh()}/channels/stable/1.0.0"), 404, "package-not-found")
    assert done(cnr.get(f"/{package}/channels/stable")) == before


def test_case_69_delete_a_channel(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    channel(cnr, package, "rc", "1.0.0")
    gone = {"channel": "rc", "package": package, "action": "delete"}
    assert done(cnr.delete(f"/{package}/channels/rc")) == gone
    details = {"channel": "rc", "package": package, "release": None}
    refused(cnr.delete(f"/{package}/channels/rc"), 404, "channel-not-found", **details)
    refused(cnr.get(f"/{package}/channels/rc"), 404, "channel-not-found", **details)
    assert done(cnr.show(package))["channels"] == []
    refused(cnr.delete(f"/{cnr.fresh()}/channels/rc"), 404, "package-not-found")


def test_case_70_deleting_a_release_takes_it_out_of_its_channels(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0", "1.10.0", "1.9.0", "2.0.0")
    channel(cnr, package, "stable", "1.0.0", "1.10.0", "1.9.0", "2.0.0")
    channel(cnr, package, "edge", "2.0.0")
    channel(cnr, package, "old", "2.0.0", "1.0.0")
    done(cnr.delete(f"/{package}/2.0.0/helm"))
    wanted = [
        {"current": "1.0.0", "name": "old", "releases": ["1.0.0"]},
        {"current": "1.10.0", "name": "stable", "releases": ["1.10.0", "1.9.0", "1.0.0"]},
    ]
    assert done(cnr.get(f"/{package}/channels")) == wanted
    refused(cnr.get(f"/{package}/channels/edge"), 404, "channel-not-found")
    assert done(cnr.show(package, "1.10.0"))["channels"] == ["stable"]


def test_case_70_a_deleted_release_does_not_come_back_into_its_channels(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0", "2.0.0")
    channel(cnr, package, "stable", "1.0.0", "2.0.0")
    channel(cnr, package, "edge", "2.0.0")
    done(cnr.delete(f"/{package}/2.0.0/helm"))
    cnr.pushed(package, "2.0.0")
    assert done(cnr.get(f"/{package}/channels")) == [{"current": "1.0.0", "name": "stable", "releases": ["1.0.0"]}]
    assert done(cnr.show(package, "2.0.0"))["channels"] == []
    channel(cnr, package, "edge", "1.0.0")
    assert done(cnr.get(f"/{package}/channels/edge"))["releases"] == ["1.0.0"]


BAD_NAMES = (
    "bad name!",
    ".hid",
    "-x",
    "1.0.0",
    "1.0.0_b1",
    "x" * 129,
    "é",
    "a+b",
    "sha256-" + "0" * 64,
    "sha512-x",
    "..",
)


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda text: text[:12])
def test_case_71_channel_names_outside_the_grammar(cnr: Cnr, package: str, name: str) -> None:
    cnr.pushed(package, "1.0.0")
    path = f"/api/v1/packages/{package}/channels/{quote(name)}"
    refused(cnr.raw("POST", f"{path}/1.0.0"), 400, "invalid-usage")
    refused(cnr.raw("GET", path), 404, "channel-not-found")
    refused(cnr.raw("DELETE", path), 404, "channel-not-found")
    assert done(cnr.get(f"/{package}/channels")) == []


@pytest.mark.parametrize("name", ["5-5-beta", "1.0", "latest", "_x", "UPPER", "v1.2.3", "x" * 128, "default"])
def test_case_71_channel_names_inside_it(cnr: Cnr, package: str, name: str) -> None:
    cnr.pushed(package, "1.0.0")
    assert done(cnr.post(f"/{package}/channels/{name}/1.0.0"))["name"] == name
    assert done(cnr.get(f"/{package}/channels/{name}"))["current"] == "1.0.0"
