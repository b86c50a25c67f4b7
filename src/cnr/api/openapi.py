"""The CNR API as an OpenAPI 3.1 document, made from the types that the server encodes and its table of errors.

`python -m cnr.api.openapi` prints it as YAML: that is Documentation/cnr-api-swagger.yaml.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import yaml

from cnr import __version__
from cnr.api import cnr_messages as messages
from cnr.api.cnr_errors import ERRORS
from cnr.api.openapi_bodies import SEMVER
from cnr.api.openapi_operations import GZIP, OPERATIONS
from cnr.api.openapi_parts import JSON, Answer, Operation, Query
from cnr.domain.errors import CnrError
from cnr.http.errors import wire

REFERENCE: Final = "#/components/schemas/{name}"
RESPONSE: Final = "#/components/responses/{name}"
SHARED: Final = frozenset({405, 429, 500, 503, 507})
"""Responses with these statuses are the same for many operations, and stand among the components."""
TITLE: Final = "The app registry (CNR) API"
ABOUT: Final = """\
Publish, find and pull Kubernetes applications. A package is `namespace/name`; its releases are SemVer versions, each
in one or more formats such as `helm`; channels are movable names for releases.

Every path is served as it stands here and under `/cnr`. A slash at the end changes nothing, `HEAD` works wherever
`GET` does, and `OPTIONS` says what a path allows. Every success is a 200. Every error is a JSON object `error` with
`code`, `message` and `details`: also those that no operation lists, 404 `resource-not-found` for an unknown path, 405
`method-not-allowed`, and 500 `internal-error`. Where there are accounts, wrong credentials are a 401, and a missing
right is a 403. An answer carries its `X-Request-Id`.
"""
TAGS: Final = {
    "packages": "Publish, list, show and delete releases.",
    "files": "Get package files. A file is the gzip as it was pushed; its digest is that of the tar in it.",
    "channels": "Movable names for releases.",
    "search": "Find packages.",
    "server": "The server itself.",
    "administration": "Users, groups, roles, robot tokens, rules: where there are accounts.",
}

_COMPONENT: Final = {"type": "string", "maxLength": 128, "pattern": r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$"}
_EXACT: Final = "exact_release"
VARIABLES: Final[Mapping[str, tuple[str, Any, Mapping[str, Any]]]] = {
    "namespace": ("The namespace.", "myname", _COMPONENT),
    "name": ("The package's name in it. Both and the slash have at most 200 characters.", "elasticsearch", _COMPONENT),
    "release": (
        "A release, a range such as `>=1.0,<2.0` or `^1.2`, or `default` for the highest. Ranges take pre-releases "
        "only where they have a `-`.",
        "2.2.1",
        {"type": "string", "minLength": 1, "maxLength": 1024},
    ),
    _EXACT: ("Exactly this release.", "2.2.1", {"type": "string", "maxLength": 128, "pattern": SEMVER}),
    "media_type": (
        "The format; `-` is the only one that the release has.",
        "helm",
        {"type": "string", "pattern": "^(-|[A-Za-z0-9][A-Za-z0-9_-]{0,63})$"},
    ),
    "digest": (
        "SHA-256 of the uncompressed tar.",
        "72ed15c9a65961ecd034cca098ec18eb99002cd402824aae8a674a8ae41bd0ef",
        {"type": "string", "pattern": "^(sha256:)?[0-9a-fA-F]{64}$"},
    ),
    "channel": (
        "The channel's name, which is no version.",
        "stable",
        {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"},
    ),
    "user": ("The user's name.", "alice", {"type": "string", "maxLength": 64}),
    "group": ("The group's name.", "dev", {"type": "string", "maxLength": 64}),
    "token": ("The token's id.", "0123456789abcdef", {"type": "string", "pattern": "^[0-9a-f]{16}$"}),
    "path": (
        "A namespace, or a repository in one: with its slashes as they are. A repository without a namespace is "
        "`library/NAME`.",
        "shop",
        {"type": "string", "maxLength": 200, "pattern": r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9._-]+)*$"},
    ),
}
"""Variables of paths: description, example, schema. Source: contracts/cnr.md section 1, "R accept"."""


def document(routes: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The document over these routes, each (method, path). Raises KeyError for one that nothing is known of."""
    described = {route: OPERATIONS[route] for route in routes}
    types = [kind for operation in described.values() for kind in _types(operation)]
    schemas, components = msgspec.json.schema_components([messages.Error, *types], ref_template=REFERENCE)
    schema_of = dict(zip([messages.Error, *types], schemas, strict=True))
    shared = {
        _shared(found).rpartition("/")[2]: _failure(found, schema_of)
        for operation in described.values()
        for status, found in _by_status(operation).items()
        if status in SHARED
    }
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in described.items():
        paths.setdefault(path, {})[method.lower()] = _operation(path, operation, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [
            {"url": "/", "description": "this server"},
            {"url": "/cnr", "description": "where old clients look"},
        ],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {"responses": shared, "schemas": components},
    }


def _types(operation: Operation) -> Iterable[Any]:
    for content in (operation.answer.content, operation.body or {}):
        yield from (kind for kind, _ in content.values() if kind is not None)


def _operation(path: str, operation: Operation, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    parameters = [*_variables(path, operation.exact), *map(_query, operation.query)]
    made: dict[str, Any] = {"tags": [operation.tag], "summary": operation.summary, "operationId": operation.name}
    if operation.description:
        made["description"] = operation.description
    if parameters:
        made["parameters"] = parameters
    if operation.body is not None:
        made["requestBody"] = {"required": True, "content": _content(operation.body, schemas)}
    made["responses"] = _responses(operation, schemas)
    return made


def _variables(path: str, exact: bool) -> Iterable[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", path):
        description, example, schema = VARIABLES[_EXACT if exact and name == "release" else name]
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": description,
            "schema": dict(schema),
            "example": example,
        }


def _query(query: Query) -> dict[str, Any]:
    return {"name": query.name, "in": query.place, "description": query.description, "schema": dict(query.schema)}


def _content(content: Mapping[str, tuple[Any, Any]], schemas: Mapping[Any, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for media_type, (kind, example) in content.items():
        if kind is not None:
            made[media_type] = {"schema": schemas[kind]} | ({} if example is None else {"example": example})
        else:
            made[media_type] = {} if media_type == GZIP else {"schema": {"type": "string"}}
    return made


def _responses(operation: Operation, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    responses = {"200": _answer(operation.answer, schemas)} if operation.answer.content else {}
    for status, found in _by_status(operation).items():
        responses[str(status)] = {"$ref": _shared(found)} if status in SHARED else _failure(found, schemas)
    return responses


def _by_status(operation: Operation) -> dict[int, list[CnrError]]:
    found: dict[int, list[CnrError]] = {}
    for error in sorted(operation.errors, key=lambda error: wire(ERRORS, error).status):
        found.setdefault(wire(ERRORS, error).status, []).append(error)
    return found


def _shared(found: list[CnrError]) -> str:
    return RESPONSE.format(name="Or".join(type(error).__name__ for error in found))


def _answer(answer: Answer, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"description": answer.description}
    if answer.headers:
        made["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()
        }
    return made | {"content": _content(answer.content, schemas)}


def _failure(found: list[CnrError], schemas: Mapping[Any, Any]) -> dict[str, Any]:
    """The response of one status: an example for each thing that can be wrong."""
    entries = [wire(ERRORS, error) for error in found]
    codes = sorted({entry.code for entry in entries})
    examples: dict[str, Any] = {}
    for error, entry in zip(found, entries, strict=True):
        body = {"code": entry.code, "message": error.message, "details": error.details}
        name = type(error).__name__
        name += str(1 + sum(other.startswith(name) for other in examples)) if name in examples else ""
        examples[name] = {"summary": error.message, "value": {"error": body}}
    made: dict[str, Any] = {"description": " or ".join(f"`{code}`" for code in codes)}
    if any(entry.retry_after_s is not None for entry in entries):
        text = "Seconds after which to try again."
        made["headers"] = {"Retry-After": {"description": text, "schema": {"type": "string"}}}
    schema = schemas[messages.Error]
    return made | {"content": {JSON: {"schema": schema, "examples": examples}}}


def as_yaml(made: Mapping[str, Any]) -> str:
    """The document as YAML, in its own order and without aliases."""
    return yaml.dump(made, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)


class _Plain(yaml.SafeDumper):
    """Without aliases, and with text of several lines as a block."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Plain.add_representer(str, _Plain.text)


if __name__ == "__main__":
    sys.stdout.write(as_yaml(document(OPERATIONS)))
