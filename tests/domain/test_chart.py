import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.domain.archive import inspect
from cnr.domain.chart import Chart, Dependency, Maintainer, helm_chart, helm_visible, parse_chart, summarize
from cnr.domain.errors import InvalidArchive
from cnr.domain.limits import Limits
from cnr.domain.names import Format

MINIMAL = "name: app\nversion: 1.0.0\napiVersion: v2\n"
FULL = """
apiVersion: v2
name: app
version: 1.2.3-rc.1+b.7
kubeVersion: ">=1.20"
description: An app
type: application
keywords: [one, 2, true, 1.10]
home: https://app.test
sources: [https://a.test, https://b.test]
dependencies:
  - name: db
    version: ~1.0
    repository: https://db.test
    condition: db.enabled
    tags: [back]
    enabled: yes
    import-values: [data, {child: a.b, parent: c}]
    alias: the_db
  - {name: plain}
maintainers: [{name: Ada, email: ada@app.test, url: https://ada.test}, {name: Bob}]
icon: https://icon.test
condition: a.b
tags: x,y
appVersion: 1.10
deprecated: true
annotations: {a: b, n: 1, t: yes, e: }
engine: gotpl
"""


def chart_in(files: dict[str, bytes], archives: Any, name: str = "app", release: str = "1.0.0") -> Chart:
    return helm_chart(inspect([archives.targz(files)], Limits(), Format("helm")), name, release)


def test_reads_every_field_of_helm() -> None:
    assert parse_chart(FULL.encode()) == Chart(
        api_version="v2",
        name="app",
        version="1.2.3-rc.1+b.7",
        kube_version=">=1.20",
        description="An app",
        type="application",
        keywords=("one", "2", "true", "1.10"),
        home="https://app.test",
        sources=("https://a.test", "https://b.test"),
        dependencies=(
            Dependency(
                name="db",
                version="~1.0",
                repository="https://db.test",
                condition="db.enabled",
                tags=("back",),
                enabled=True,
                import_values=("data", {"child": "a.b", "parent": "c"}),
                alias="the_db",
            ),
            Dependency(name="plain", repository=""),
        ),
        maintainers=(Maintainer("Ada", "ada@app.test", "https://ada.test"), Maintainer("Bob")),
        icon="https://icon.test",
        condition="a.b",
        tags="x,y",
        app_version="1.10",
        deprecated=True,
        annotations={"a": "b", "n": "1", "t": "yes", "e": ""},
    )


def test_its_json_has_the_names_of_helm() -> None:
    document = json.loads(msgspec.json.encode(parse_chart(FULL.encode())))
    assert set(document) == {
        *("name", "home", "sources", "version", "description", "keywords", "maintainers", "icon", "apiVersion"),
        *("condition", "tags", "appVersion", "deprecated", "annotations", "kubeVersion", "dependencies", "type"),
    }
    assert document["dependencies"][0]["import-values"] == ["data", {"child": "a.b", "parent": "c"}]
    assert document["dependencies"][1] == {"name": "plain", "repository": ""}
    assert json.loads(msgspec.json.encode(parse_chart(MINIMAL.encode()))) == {
        "name": "app",
        "version": "1.0.0",
        "apiVersion": "v2",
    }


@pytest.mark.parametrize("text", ["1.10", "1e3", "0x10", "007", "1_0", "yes", "2020-01-01"])
def test_app_version_stays_text(text: str) -> None:
    assert parse_chart(f"{MINIMAL}appVersion: {text}".encode()).app_version == text


def test_a_chart_without_api_version_is_v1() -> None:
    assert parse_chart(b"name: a\nversion: 1.0.0").api_version == "v1"


def test_nulls_are_absent() -> None:
    nulls = "".join(f"{key}:\n" for key in ("home", "keywords", "maintainers", "deprecated", "annotations", "type"))
    assert parse_chart((MINIMAL + nulls).encode()) == parse_chart(MINIMAL.encode())


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("maintainers: [null]", "maintainers[0]"),
        ("maintainers: [Ian]", "maintainers[0]"),
        ("maintainers: {name: Ian}", "maintainers"),
        ("maintainers: [{name: [a]}]", "maintainers[0].name"),
        ("dependencies: [null]", "dependencies[0]"),
        ("dependencies: [{name: a}, {name: a}]", "dependencies"),
        ("dependencies: [{name: a, alias: c}, {name: b, alias: c}]", "dependencies"),
        ("dependencies: [{name: a, alias: ../x}]", "alias"),
        ("dependencies: [{name: a, enabled: maybe}]", "dependencies[0].enabled"),
        ("dependencies: [{name: a, import-values: [[x]]}]", "import-values[0]"),
        ("keywords: one", "keywords"),
        ("sources: {a: b}", "sources"),
        ("keywords: [[a]]", "keywords[0]"),
        ("description: [a]", "description"),
        ("deprecated: 'true'", "deprecated"),
        ("deprecated: 1", "deprecated"),
        ("annotations: [a]", "annotations"),
        ("annotations: {a: {b: c}}", "annotations.a"),
        ("type: operator", "type"),
        ("Name: other", "Name"),
        ("ſources: [a]", "ources"),
        ("appversion: 1", "appversion"),
    ],
)
def test_refuses_what_helm_would_refuse_and_names_the_field(line: str, field: str) -> None:
    with pytest.raises(InvalidArchive) as caught:
        parse_chart((MINIMAL + line).encode())
    assert field in caught.value.message


@pytest.mark.parametrize(
    "version", ["", "v", "a", "1.2.3.4", "1.0.0-", "1.0.0+", "1.0.0-01", "1 0", '"1.0.0\\n"', "[1]", "-1"]
)
def test_refuses_a_version_that_is_none(version: str) -> None:
    with pytest.raises(InvalidArchive):
        parse_chart(f"name: a\nversion: {version}".encode())


@pytest.mark.parametrize("version", ["1", "1.2", "v1.2.3", "1.0.0-rc.1+b", "01.2.3"])
def test_takes_the_versions_that_helm_takes(version: str) -> None:
    assert parse_chart(f"name: a\nversion: {version}".encode()).version == version


@pytest.mark.parametrize("api", ["v3", "1", "v2 beta", "V2"])
def test_refuses_another_api(api: str) -> None:
    with pytest.raises(InvalidArchive, match="apiVersion"):
        parse_chart(f"name: a\nversion: 1.0.0\napiVersion: {api}".encode())


@pytest.mark.parametrize("document", ["", "text", "[a]", "name: [a", "version: 1.0.0", "name: a/b\nversion: 1.0.0"])
def test_refuses_what_is_no_chart(document: str) -> None:
    with pytest.raises(InvalidArchive):
        parse_chart(document.encode())


def test_text_is_made_printable() -> None:
    chart = parse_chart((MINIMAL + 'description: "\\e[31mred\\x07\\nnext\\u202e\\u00a0line"').encode())
    assert chart.description == "[31mred next line"


@given(
    st.dictionaries(
        st.sampled_from(list(Chart.__struct_encode_fields__)),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=6,
        ),
    )
)
def test_any_values_are_taken_or_refused(document: dict[str, object]) -> None:
    try:
        chart = parse_chart(
            json.dumps({"name": "a", "version": "1.0.0"} | document, ensure_ascii=False).encode(errors="replace")
        )
    except InvalidArchive:
        return
    assert msgspec.json.decode(msgspec.json.encode(chart), type=Chart) == chart


def test_the_whole_corpus_is_visible_to_helm(corpus: Any) -> None:
    charts = [entry for entry in corpus.index if entry["format"] == "helm"]
    assert len(charts) == 137
    for entry in charts:
        contents = inspect([corpus.read(entry["file"])], Limits(), Format("helm"))
        chart = helm_chart(contents, entry["package"].split("/")[1], entry["release"])
        assert chart.app_version == (entry["app_version"] or ""), entry["file"]
        assert chart.api_version == entry["api_version"]
        assert contents.shape.loadable


def test_a_chart_is_visible_under_its_own_name_and_version_only(archives: Any) -> None:
    files = {"app/Chart.yaml": MINIMAL.encode()}
    contents = inspect([archives.targz(files)], Limits(), Format("helm"))
    assert helm_visible(contents, "app", "1.0.0") == parse_chart(MINIMAL.encode())
    for name, release in (("other", "1.0.0"), ("app", "1.0.1"), ("app", "1.0.0+b"), ("", "")):
        assert helm_visible(contents, name, release) is None
    assert helm_visible(inspect([archives.targz(files)], Limits(), Format("kpm")), "app", "1.0.0") is None


@pytest.mark.parametrize("name", ["..", ".", "a/../b", "%2e%2e", "a\\b", "A", "x" * 300, "CON", "a\u2024b"])
def test_a_name_that_leads_elsewhere_is_no_package(archives: Any, name: str) -> None:
    chart = f"name: {json.dumps(name)}\nversion: 1.0.0".encode()
    contents = inspect([archives.targz({"app/Chart.yaml": chart})], Limits(), Format("helm"))
    assert helm_visible(contents, "app", "1.0.0") is None


def test_the_reason_is_said(archives: Any) -> None:
    for files, why in (
        ({"app/values.yaml": b""}, "no Chart.yaml"),
        ({"app/Chart.yaml": b"name: ["}, "not YAML"),
        ({"app/Chart.yaml": MINIMAL.encode(), "../x": b""}, "'..'"),
        ({"app/Chart.yaml": MINIMAL.replace("1.0.0", "1.0").encode()}, "says app 1.0"),
    ):
        with pytest.raises(InvalidArchive, match=why.replace(".", r"\.")):
            chart_in(files, archives)


def test_a_chart_that_is_large_as_json_is_generic(archives: Any) -> None:
    for text, visible in (("x" * 500_000, True), ("\\x01" * 200_000, False)):
        chart = f'{MINIMAL}annotations: {{a: "{text}"}}'.encode()
        contents = inspect([archives.targz({"app/Chart.yaml": chart})], Limits(), Format("helm"))
        assert (helm_visible(contents, "app", "1.0.0") is not None) is visible


def test_aliases_cannot_make_a_chart_large(archives: Any) -> None:
    chart = f"{MINIMAL}description: &a {'x' * 300_000}\nkeywords: [{'*a,' * 100}]".encode()
    contents = inspect([archives.targz({"app/Chart.yaml": chart})], Limits(), Format("helm"))
    assert helm_visible(contents, "app", "1.0.0") is None


def test_requirements_lie_over_the_chart_as_in_helm(archives: Any) -> None:
    files = {
        "app/Chart.yaml": MINIMAL.replace("v2", "v1").encode(),
        "app/requirements.yaml": b"dependencies: [{name: db}]",
    }
    assert chart_in(files, archives).dependencies == (Dependency(name="db", repository=""),)
    assert chart_in(files | {"app/requirements.yaml": b"name:\n"}, archives).name == "app"
    for requirements in (b"name: other", b"[a]", b"dependencies: 3", b"a: ["):
        with pytest.raises(InvalidArchive):
            chart_in(files | {"app/requirements.yaml": requirements}, archives)


def test_the_chart_of_the_seed_is_generic(corpus: Any) -> None:
    backup = json.loads((corpus.folder / "cnr-backup1.json").read_text())
    assert backup["packages"]
    chart = b"name: elasticsearch\nversion: 0.2.0\nmaintainers:\n  - Ian Coffey <icoffey@example.test>\n"
    with pytest.raises(InvalidArchive, match=r"maintainers\[0\]"):
        parse_chart(chart)


def summary(archives: Any, format: str, file: str, text: str) -> tuple[str, tuple[str, ...]]:
    found = summarize(inspect([archives.targz({file: text.encode()})], Limits(), Format(format)))
    return found.description, found.keywords


def test_summaries_of_each_format(archives: Any) -> None:
    chart = "maintainers: [Ian]\ndescription: A  thing\nkeywords: [a, b, a, '', [x], ~, 3]"
    assert summary(archives, "helm", "x/Chart.yaml", chart) == ("A thing", ("a", "b", "3"))
    kpm = "package: {name: a/b, description: Of kpm, keywords: [k]}\ndescription: other"
    assert summary(archives, "kpm", "manifest.yaml", kpm) == ("Of kpm", ("k",))
    compose = "name: x\nservices: {web: {image: nginx}, db: }"
    assert summary(archives, "docker-compose", "compose.yaml", compose) == ("", ("web", "db"))
    assert summary(archives, "dab", "manifest.yaml", kpm) == ("", ())


@pytest.mark.parametrize(
    "text", ["", "[a]", "a: [", "description: [a]\nkeywords: a", "package: [a]", "package:", "&a [*a]"]
)
def test_a_summary_never_fails(archives: Any, text: str) -> None:
    for format, file in (("helm", "Chart.yaml"), ("kpm", "manifest.yaml"), ("docker-compose", "compose.yaml")):
        assert summary(archives, format, file, text) == ("", ())


def test_summaries_are_short_and_printable(archives: Any) -> None:
    keywords = ", ".join(f'"{n}é{"x" * 99}"' for n in range(50))
    found = summary(archives, "helm", "Chart.yaml", f'description: "\\e[1m{"é" * 5000}"\nkeywords: [{keywords}]')
    assert found[0] == "[1m" + "é" * 510
    assert len(found[1]) == 20
    assert all(len(word.encode()) <= 64 and word.isprintable() for word in found[1])
