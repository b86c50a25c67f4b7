import os
from typing import Any

import pytest

from cnr.domain.archive import PackageContents, inspect
from cnr.domain.limits import Limits
from cnr.domain.names import Format

YAML = b"name: a\n"


def look(packed: bytes, format: str = "helm") -> PackageContents:
    return inspect([packed], Limits(), Format(format))


@pytest.mark.parametrize(
    ("names", "root", "loadable"),
    [
        (["a/Chart.yaml", "a/templates/x"], "a", True),
        (["Chart.yaml", "templates/x"], "", False),
        (["./Chart.yaml", "./templates/x"], "", False),
        (["./a/Chart.yaml", "./a/x"], "a", False),
        (["a//Chart.yaml"], "a", False),
        (["a/./Chart.yaml"], "a", True),
        (["a/Chart.yaml", "./a/x", "a/y"], "a", False),
        (["a\\Chart.yaml", "a\\templates\\x"], "a", True),
        (["Chart.yaml"], "", False),
    ],
)
def test_finds_the_root_and_the_chart_there(archives: Any, names: list[str], root: str, loadable: bool) -> None:
    found = look(archives.targz(dict.fromkeys(names, YAML)))
    assert (found.shape.root, found.shape.loadable, found.shape.refusal) == (root, loadable, None)
    assert found.files == {"Chart.yaml": YAML}


@pytest.mark.parametrize(
    "names",
    [
        ["a/Chart.yaml", "b/x"],
        ["a/Chart.yaml", "x"],
        ["x", "a/Chart.yaml"],
        ["a/b/Chart.yaml"],
        ["a/chart.yaml"],
        ["CHART.YAML"],
        ["a", "a/Chart.yaml"],
    ],
)
def test_a_chart_elsewhere_is_none(archives: Any, names: list[str]) -> None:
    assert look(archives.targz(dict.fromkeys(names, YAML))).files == {}


def test_folders_do_not_count_as_files(archives: Any) -> None:
    folders = [archives.header(name, kind=b"5") for name in (b"./", b"other/", b"a/")]
    found = look(archives.gz(*folders, archives.member(b"a/Chart.yaml", YAML), archives.END))
    assert (found.shape.root, found.shape.loadable, found.files) == ("a", True, {"Chart.yaml": YAML})


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a/../x", "'..'"),
        ("../x", "'..'"),
        ("a/..", "'..'"),
        ("a\\..\\x", "'..'"),
        ("/etc/passwd", "absolute"),
        ("\\x", "absolute"),
        ("a/c:/x", "absolute"),
        ("C:/x", "absolute"),
        ("a/b\\c", "mixes"),
        ("a/x/", "at once"),
        (".", "no name"),
        ("//", "no name"),
    ],
)
def test_names_that_helm_would_not_load(archives: Any, name: str, why: str) -> None:
    shape = look(archives.targz({"a/Chart.yaml": YAML, name: b"x"})).shape
    assert shape.refusal is not None
    assert why in shape.refusal
    assert not shape.loadable


def test_members_that_helm_would_not_load(archives: Any) -> None:
    chart = archives.member(b"a/Chart.yaml", YAML)
    for other in (
        archives.member(b"a/x", b"x", kind=b"Z"),
        archives.header(b"a/x", 0, kind=b"S"),
        archives.pax(GNU__sparse__major="1") + archives.member(b"a/x"),
        archives.member(b"a/x", mode=b"0040755\0"),
        archives.pax(path=b"a/x\0y") + archives.member(b"b"),
        bytes(512) + archives.member(b"a/x"),
    ):
        assert look(archives.gz(chart, other, archives.END)).shape.refusal is not None


def test_links_and_devices_do_not_hide_a_chart(archives: Any) -> None:
    chart = archives.member(b"a/Chart.yaml", YAML)
    links = [archives.header(b"a/" + kind, kind=kind, link=b"/etc/passwd") for kind in (b"1", b"2", b"3", b"4", b"6")]
    found = look(archives.gz(chart, *links, archives.END))
    assert found.shape.loadable
    assert found.files == {"Chart.yaml": YAML}


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"6"])
def test_a_chart_that_is_a_link_is_never_followed(archives: Any, kind: bytes) -> None:
    link = archives.header(b"a/Chart.yaml", kind=kind, link=b"a/real")
    assert look(archives.gz(archives.member(b"a/real", YAML), link, archives.END)).files == {}


@pytest.mark.parametrize("second", [b"0", b"2", b"5", b"Z"])
def test_two_charts_are_refused_whatever_the_second_is(archives: Any, second: bytes) -> None:
    parts = archives.member(b"a/Chart.yaml", YAML), archives.header(b"a/./Chart.yaml", kind=second, link=b"x")
    for pair in (parts, parts[::-1]):
        found = look(archives.gz(*pair, archives.END))
        assert found.files["Chart.yaml"] in (YAML, b"")
        assert (found.shape.refusal is None) is (second == b"5")


def test_a_chart_by_another_name_in_the_header_is_the_one_that_counts(archives: Any) -> None:
    renamed = archives.pax(path="a/Chart.yaml") + archives.member(b"a/harmless", YAML)
    found = look(archives.gz(renamed, archives.END))
    assert found.files == {"Chart.yaml": YAML}
    assert look(archives.gz(archives.member(b"a/Chart.yaml"), renamed, archives.END)).shape.refusal is not None


def test_a_describing_file_above_a_mebibyte_is_not_read(archives: Any) -> None:
    data = os.urandom(1024 * 1024)
    assert look(archives.targz({"a/Chart.yaml": data})).files == {"Chart.yaml": data}
    found = look(archives.targz({"a/Chart.yaml": data + b"#"}))
    assert found.files == {}
    assert found.shape.refusal is not None


def test_each_format_has_its_describing_files(archives: Any) -> None:
    names = ["Chart.yaml", "manifest.yaml", "docker-compose.yml", "compose.yaml", "requirements.yaml", "README.md"]
    packed = archives.targz(dict.fromkeys(names, YAML))
    assert list(look(packed, "helm").files) == ["Chart.yaml", "requirements.yaml"]
    assert list(look(packed, "kpm").files) == ["manifest.yaml"]
    assert list(look(packed, "docker-compose").files) == ["compose.yaml", "docker-compose.yml"]
    assert list(look(packed, "dab").files) == []
