import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cnr.domain.chart import Chart, Dependency, Maintainer
from cnr.domain.chart_entry import (
    ANNOTATION_LIMIT,
    ANNOTATIONS_LIMIT,
    ENTRY_LIMIT,
    KEY_LIMIT,
    chart_of_config,
    index_entry,
)
from cnr.domain.digest import Digest
from cnr.domain.errors import InvalidArchive

DIGEST = Digest("sha256:" + "ab" * 32)
FIELDS = {
    *("name", "home", "sources", "version", "description", "keywords", "maintainers", "icon", "apiVersion"),
    *("condition", "tags", "appVersion", "deprecated", "annotations", "kubeVersion", "dependencies", "type"),
    *("urls", "created", "digest"),
}
NESTED = {
    "maintainers": {"name", "email", "url"},
    "dependencies": {"name", "version", "repository", "condition", "tags", "enabled", "import-values", "alias"},
}


def chart(**fields: Any) -> Chart:
    return Chart(**{"name": "app", "version": "1.0.0", "api_version": "v2", **fields})


def entry(found: Chart) -> dict[str, Any]:
    data = index_entry(found, DIGEST, created_at=1_479_316_387_806_579)
    decoded: dict[str, Any] = json.loads(data)
    # the quoted scalars stay text in YAML, whatever they look like
    assert yaml.load(data, Loader=yaml.CSafeLoader) == decoded
    return decoded


def test_the_least() -> None:
    assert entry(chart()) == {
        "apiVersion": "v2",
        "created": "2016-11-16T17:13:07.806579Z",
        "digest": "ab" * 32,
        "name": "app",
        "urls": ["charts/app-1.0.0.tgz"],
        "version": "1.0.0",
    }


text = st.text(max_size=20)
charts = st.builds(
    Chart,
    name=st.just("app"),
    version=st.sampled_from(["1.0.0", "1.10", "1e3", "1.0.0+1e5"]),
    api_version=st.just("v2"),
    home=text,
    sources=st.lists(text, max_size=2).map(tuple),
    description=text,
    keywords=st.lists(text, max_size=2).map(tuple),
    maintainers=st.lists(st.builds(Maintainer, text, text, text), max_size=2).map(tuple),
    icon=text,
    app_version=st.sampled_from(["", "1.10", "1e3", "0x10", "yes", "null", "2020-01-01", "~", "1_000"]),
    deprecated=st.booleans(),
    annotations=st.dictionaries(text, text, max_size=3),
    dependencies=st.lists(st.builds(Dependency, name=text, repository=text, version=text), max_size=2).map(tuple),
)


@settings(max_examples=300)
@given(charts)
def test_any_chart_is_strict_yaml_with_the_fields_that_helm_knows(found: Chart) -> None:
    shown = entry(found)
    assert shown.keys() <= FIELDS
    for field, known in NESTED.items():
        assert all(item.keys() <= known for item in shown.get(field, ()))
    assert shown.get("appVersion", "") == found.app_version
    assert all(isinstance(value, str) for value in shown.get("annotations", {}).values())
    raw = index_entry(found, DIGEST, created_at=0)
    assert raw.decode().isprintable()


def test_what_is_left_out() -> None:
    fits = {f"k{number:02}": "v" * 1000 for number in range(40)}
    shown = entry(chart(icon="data:image/png;base64,AAAA", annotations=fits))
    assert "icon" not in shown
    assert 10 < len(shown["annotations"]) < 40
    assert sum(len(key) + len(value) for key, value in shown["annotations"].items()) <= ANNOTATIONS_LIMIT
    shown = entry(chart(annotations={"long": "v" * ANNOTATION_LIMIT, "k" * (KEY_LIMIT + 1): "v", "good": "v"}))
    assert shown["annotations"] == {"good": "v"}


def test_a_very_large_chart_has_what_installing_needs() -> None:
    needs = (Dependency(name="dep", repository="https://example.com", version="1.x"),)
    large = chart(keywords=("word " * 20,) * 1000, description="d" * 5000, dependencies=needs, app_version="1")
    data = index_entry(large, DIGEST, created_at=0)
    assert len(data) < ENTRY_LIMIT
    shown = json.loads(data)
    assert "keywords" not in shown
    assert (shown["appVersion"], len(shown["description"])) == ("1", 1024)
    assert shown["dependencies"] == [{"name": "dep", "repository": "https://example.com", "version": "1.x"}]


def test_helm_takes_no_other_digest() -> None:
    with pytest.raises(InvalidArchive):
        index_entry(chart(), Digest("sha512:" + "ab" * 64), created_at=0)


def test_a_config_is_read() -> None:
    found = chart_of_config(
        b'{"name":"app","version":"1.0.0","apiVersion":"v1","unknown":{"x":[1]},"maintainers":[{"name":"A"}]}'
    )
    assert (found.name, found.api_version, found.maintainers) == ("app", "v1", (Maintainer(name="A"),))


@pytest.mark.parametrize(
    "config",
    [
        *(b"", b"[]", b"{}", b"null", b'{"name":1,"version":"1.0.0"}', b'{"name":"a","version":"1.0.0"}'),
        *(
            b'{"apiVersion":"v2","name":"a","version":"x"}',
            b'{"apiVersion":"v2","name":"a","version":"1","type":"x"}',
            b"\xff",
            b"[" * 100_000,
        ),
        b'{"apiVersion":"v2","name":"a/b","version":"1.0.0"}',
        b'{"apiVersion":"v2","name":"a","version":"1.0.0","maintainers":[null]}',
    ],
)
def test_a_config_that_helm_would_refuse(config: bytes) -> None:
    with pytest.raises(InvalidArchive):
        chart_of_config(config)
