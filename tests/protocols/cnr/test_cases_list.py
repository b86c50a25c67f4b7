"""Cases 4 and 42 to 50: the list and the search."""

import pytest
from tests.protocols.cnr.client import Cnr, done, refused


def item_of(cnr: Cnr, package: str, **query: str) -> dict[str, object]:
    """The package's one entry in the list of its namespace."""
    found = done(cnr.get(params={"namespace": package.partition("/")[0], **query}))
    assert [item["name"] for item in found] == [package]
    item: dict[str, object] = found[0]
    return item


def test_case_04_an_empty_store(own: Cnr) -> None:
    assert done(own.get()) == []
    assert done(own.get("/")) == []


def test_case_42_releases_and_default_of_a_list_item(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.9.0", "1.10.0", "2.0.0-rc.1", "2.0.0", "0.1.0")
    item = item_of(cnr, package)
    assert item["releases"] == ["2.0.0", "2.0.0-rc.1", "1.10.0", "1.9.0", "0.1.0"]
    assert item["default"] == "2.0.0"
    cnr.pushed(package, "10.0.0-alpha")
    assert item_of(cnr, package)["default"] == "10.0.0-alpha"


def test_case_42_releases_in_full_precedence_order(cnr: Cnr, package: str) -> None:
    tails = ["-1", "-2", "-11", "-alpha", "-alpha.1", "-alpha.beta", "-beta.2", "-beta.11", "-rc.1", ""]
    ascending = [f"1.0.0{tail}" for tail in tails]
    cnr.pushed(package, *sorted(ascending))
    assert item_of(cnr, package)["releases"] == ascending[::-1]


def test_case_43_manifests_are_the_formats_of_the_default_release(cnr: Cnr, package: str) -> None:
    done(cnr.push(package, "1.0.0", "docker-compose"))
    done(cnr.push(package, "2.0.0", "kpm"))
    done(cnr.push(package, "2.0.0", "helm"))
    assert item_of(cnr, package)["manifests"] == ["helm", "kpm"]


def test_case_44_a_list_of_one_format(cnr: Cnr) -> None:
    both, other = cnr.fresh(), cnr.fresh()
    done(cnr.push(both, "1.0.0", "kpm"))
    done(cnr.push(both, "1.1.0", "kpm"))
    done(cnr.push(both, "2.0.0", "helm"))
    done(cnr.push(other, "1.0.0", "helm"))
    item = item_of(cnr, both, media_type="kpm")
    assert (item["releases"], item["default"], item["manifests"]) == (["1.1.0", "1.0.0"], "1.1.0", ["kpm"])
    everything = done(cnr.get(params={"media_type": "kpm"}))
    assert other not in [item["name"] for item in everything]
    assert all(item["manifests"] == ["kpm"] for item in everything)
    full = "application/vnd.cnr.package-manifest.kpm.v1.json"
    assert item_of(cnr, both, media_type=full) == item
    for nothing in ("", "-", "KPM", "nope"):
        assert done(cnr.get(params={"media_type": nothing})) == []


def test_case_45_filters(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    namespace = package.partition("/")[0]
    assert done(cnr.get(params={"namespace": "nobody-has-this"})) == []
    assert done(cnr.get(params={"namespace": ""})) == []
    assert package in [item["name"] for item in done(cnr.get(params={"query": ""}))]
    assert cnr.names(namespace) == [package]
    assert done(cnr.get(params={"namespace": namespace[:-1]})) == []
    for query, count in (({"query": "app"}, 1), ({"query": "nope"}, 0), ({"media_type": "helm", "query": "AP"}, 1)):
        found = done(cnr.get(params={"namespace": namespace, **query}))
        assert len(found) == count, query
    assert done(cnr.get(params={"namespace": namespace, "media_type": "kpm"})) == []
    assert cnr.names(namespace) == [item["name"] for item in done(cnr.get(f"?namespace={namespace}&username=me"))]


def test_case_46_filters_in_a_json_body(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    namespace = package.partition("/")[0]
    list_path = "/api/v1/packages"
    assert done(cnr.site(list_path, content='{"namespace": "zzz"}')) == []
    assert [i["name"] for i in done(cnr.site(list_path, content=f'{{"namespace": "{namespace}"}}'))] == [package]
    over_query = cnr.site(f"{list_path}?namespace={namespace}", content='{"namespace": "zzz"}')
    assert done(over_query) == []
    assert done(cnr.site("/api/v1/packages/search?q=zzz", content=f'{{"q": "{namespace}"}}')) == [package]


def test_case_47_keys_of_a_list_item(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0", "1.1.0")
    times = [item["created_at"] for item in done(cnr.get(f"/{package}"))]
    assert item_of(cnr, package) == {
        "channels": None,
        "created_at": times[0],
        "default": "1.1.0",
        "manifests": ["helm"],
        "name": package,
        "namespace": package.partition("/")[0],
        "releases": ["1.1.0", "1.0.0"],
        "updated_at": times[1],
        "visibility": "public",
    }


def test_case_48_search(own: Cnr) -> None:
    for name in ("alpha/one", "alpha/two", "beta/alphabet", "gamma/x"):
        own.pushed(name, "1.0.0")
    wanted = {
        "alpha": ["alpha/one", "alpha/two", "beta/alphabet"],
        "ALPHA": ["alpha/one", "alpha/two", "beta/alphabet"],
        "one": ["alpha/one"],
        "a/o": ["alpha/one"],
        "gamma/x": ["gamma/x"],
        "/": ["alpha/one", "alpha/two", "beta/alphabet", "gamma/x"],
        "nothing": [],
        "": ["alpha/one", "alpha/two", "beta/alphabet", "gamma/x"],
    }
    assert {query: done(own.get("/search", params={"q": query})) for query in wanted} == wanted
    assert {query: [i["name"] for i in done(own.get(params={"query": query}))] for query in wanted} == wanted
    assert done(own.get("/search")) == []
    assert done(own.get("/search", params={"query": "alpha"})) == []


@pytest.mark.parametrize(
    "query", ["(", ".", "[", "my(name)", ".*", "%", "_", "\\", "^", "$", "'", '"', "*", "é", "a b"]
)
def test_case_49_queries_are_literal(cnr: Cnr, package: str, query: str) -> None:
    cnr.pushed(package, "1.0.0")
    found = done(cnr.get("/search", params={"q": query}))
    assert isinstance(found, list)
    assert all(isinstance(name, str) and query in name for name in found)
    assert [item["name"] for item in done(cnr.get(params={"query": query}))] == found


def test_case_49_what_is_special_elsewhere_is_found_where_it_stands(cnr: Cnr) -> None:
    namespace = cnr.fresh().partition("/")[0]
    cnr.pushed(f"{namespace}/a.b_c", "1.0.0")
    cnr.pushed(f"{namespace}/axbyc", "1.0.0")
    for query in ("a.b", "b_c"):
        assert done(cnr.get("/search", params={"q": query})).count(f"{namespace}/a.b_c") == 1
        assert f"{namespace}/axbyc" not in done(cnr.get("/search", params={"q": query}))


@pytest.mark.parametrize(
    "package", ["search/x", "some-ns/channels", "some-ns/search", "search/search", "some-ns/blobs"]
)
def test_case_50_words_of_the_routes_as_names(cnr: Cnr, package: str) -> None:
    done(cnr.push(package, "1.0.0", force=True))
    assert done(cnr.show(package))["package"] == package
    assert done(cnr.get(f"/{package}"))[0]["package"] == package
    assert done(cnr.get(f"/{package}/channels")) == []
    assert cnr.get(f"/{package}/1.0.0/helm/pull").status_code == 200


def test_pages_of_the_list(own: Cnr) -> None:
    """Source: contracts/cnr.md 2.9."""
    names = [f"ns/app{number}" for number in range(5)]
    for name in names:
        own.pushed(name, "1.0.0")
    seen, path = [], "/api/v1/packages?limit=2"
    for _ in range(9):
        answer = own.http.get(own.prefix + path)
        seen.append([item["name"] for item in done(answer)])
        if "next" not in answer.links:
            break
        path = answer.links["next"]["url"].removeprefix(own.prefix)
    assert [name for page in seen for name in page] == names
    assert max(len(page) for page in seen) == 2
    assert [i["name"] for i in done(own.get(params={"after": "ns/app3"}))] == names[4:]
    for limit in ("0", "1001", "-1", "abc", "1e3", "1.0", "10" * 9, "１"):
        refused(own.get(params={"limit": limit}), 400, "invalid-usage")
