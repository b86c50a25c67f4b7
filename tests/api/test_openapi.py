"""The API's description: every route is in it, its examples are what it says, the file in Documentation is current."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from cnr.api.cnr_errors import ERRORS
from cnr.api.docs_page import Docs
from cnr.api.openapi import as_yaml, document
from cnr.api.openapi_operations import OPERATIONS
from cnr.http.routes import Route, Router

FILE = Path(__file__).parents[2] / "Documentation" / "cnr-api-swagger.yaml"
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document(OPERATIONS)


def operations(made: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in made["paths"].items():
        assert item.keys() <= METHODS
        for method, operation in item.items():
            yield method.upper(), path, operation


def resolved(made: dict[str, Any], value: Any) -> Any:
    """`value`, or what it refers to."""
    while isinstance(value, dict) and "$ref" in value:
        target: Any = made
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        value = target
    return value


def contents(made: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every body of every operation: where it stands, and its media type object."""
    for method, path, operation in operations(made):
        for item in (operation.get("requestBody", {}), *operation["responses"].values()):
            for media_type, content in resolved(made, item).get("content", {}).items():
                yield f"{method} {path} {media_type}", content


def test_a_route_that_is_not_described_stops_the_server() -> None:
    async def handler() -> Any: ...

    with pytest.raises(KeyError):
        Docs().describe(Router([Route("GET", "/new", handler, "public")]))


def test_operations_have_names_of_their_own(made: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(made)]
    assert len(names) == len(set(names)) == len(OPERATIONS)


def test_variables_are_those_of_the_path(made: dict[str, Any]) -> None:
    for _, path, operation in operations(made):
        named = [item["name"] for item in operation.get("parameters", ()) if item["in"] == "path"]
        assert "/".join(f"{{{name}}}" for name in named) == "/".join(
            part for part in path.split("/") if part.startswith("{")
        )


def test_references_lead_somewhere(made: dict[str, Any]) -> None:
    def walk(value: Any) -> None:
        if isinstance(value, dict):
            resolved(made, value)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(inner)

    walk(made)


def test_examples_are_valid(made: dict[str, Any]) -> None:
    seen = 0
    for place, content in contents(made):
        examples = [content["example"]] if "example" in content else []
        examples += [example["value"] for example in content.get("examples", {}).values()]
        if examples:
            validator = jsonschema_rs.validator_for({**content["schema"], "components": made["components"]})
            for example in examples:
                assert list(validator.iter_errors(example)) == [], place
                seen += 1
    assert seen > 60


def test_parameter_examples_are_valid(made: dict[str, Any]) -> None:
    for _, path, operation in operations(made):
        for item in operation.get("parameters", ()):
            if "example" in item:
                assert jsonschema_rs.is_valid(item["schema"], item["example"]), path


def test_errors_are_of_the_servers_table(made: dict[str, Any]) -> None:
    known = {(str(entry.status), entry.code) for entry in ERRORS.values()}
    for _, path, operation in operations(made):
        for status, response in operation["responses"].items():
            if status != "200":
                examples = resolved(made, response)["content"]["application/json"]["examples"].values()
                assert {(status, example["value"]["error"]["code"]) for example in examples} <= known, path


def test_the_file_is_current(made: dict[str, Any]) -> None:
    """If this fails: python -m cnr.api.openapi > Documentation/cnr-api-swagger.yaml."""
    assert FILE.read_text(encoding="utf-8") == as_yaml(made)


def test_the_yaml_says_the_same(made: dict[str, Any]) -> None:
    assert yaml.safe_load(as_yaml(made)) == json.loads(json.dumps(made))
