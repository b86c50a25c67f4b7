"""`/openapi.json` and `/docs`: the API's description for machines, and as a page that needs no script.

Both are made once, when the routes are known.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, Final

import jinja2
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from cnr.api.openapi import document
from cnr.http.json_response import json_response
from cnr.http.routes import Route, Router
from cnr.http.security import page_headers

_TYPE_PREFIX: Final = "#/components/schemas/"


class Docs:
    """The handlers of both. They answer once `describe` was called."""

    def __init__(self) -> None:
        self._document: Mapping[str, Any] = {}
        self._page = ""
        self._policy = ""

    def routes(self) -> list[Route]:
        """The route table."""
        return [
            Route("GET", "/openapi.json", self.openapi, "public"),
            Route("GET", "/docs", self.docs, "public"),
        ]

    def describe(self, router: Router) -> None:
        """Make both from the routes of `router`. Raises KeyError for a route that is not described."""
        self._document = document((route.method, route.path) for route in router.routes)
        style = _file("docs_page.css")
        self._page = page(self._document, style)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"

    async def openapi(self, request: Request) -> Response:
        return json_response(self._document)

    async def docs(self, request: Request) -> Response:
        return HTMLResponse(self._page, headers=page_headers(self._policy))


def page(made: Mapping[str, Any], style: str) -> str:
    """The document as an HTML page with `style` in it."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(marked=_marked, linked=_linked, breakable=_breakable)
    template = environment.from_string(_file("docs_page.html"))
    groups = [
        {"name": tag["name"], "description": tag["description"], "operations": list(_operations(made, tag["name"]))}
        for tag in made["tags"]
    ]
    types = [_type(name, schema) for name, schema in sorted(made["components"]["schemas"].items())]
    return template.render(info=made["info"], groups=groups, types=types, style=style)


def _file(name: str) -> str:
    return resources.files("cnr.api").joinpath(name).read_text(encoding="utf-8")


def _operations(made: Mapping[str, Any], tag: str) -> Iterator[dict[str, Any]]:
    for path, item in made["paths"].items():
        for method, operation in item.items():
            if tag in operation["tags"]:
                yield {
                    "id": operation["operationId"],
                    "method": method.upper(),
                    "path": path,
                    "summary": operation["summary"],
                    "description": operation.get("description", ""),
                    "parameters": [{"required": False, **parameter} for parameter in operation.get("parameters", ())],
                    "body": list(_contents(operation.get("requestBody", {}))),
                    "responses": [_response(made, *entry) for entry in operation["responses"].items()],
                }


def _response(made: Mapping[str, Any], status: str, response: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in response:
        response = made["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return {
        "status": status,
        "description": response["description"],
        "headers": response.get("headers", {}),
        "content": list(_contents(response)),
    }


def _contents(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for media_type, content in item.get("content", {}).items():
        yield {
            "media_type": media_type,
            "type": _named(content["schema"]) if "schema" in content and media_type != "text/html" else "",
            "example": _pretty(content["example"]) if "example" in content else "",
            "examples": [_pretty(example["value"]) for example in content.get("examples", {}).values()],
        }


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _type(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    required = schema.get("required", ())
    return {
        "name": name,
        "description": schema.get("description", ""),
        "fields": [
            {
                "name": field,
                "type": _named(about),
                "required": field in required or "default" in about,
                "description": about.get("description", ""),
            }
            for field, about in schema.get("properties", {}).items()
        ],
    }


def _named(schema: Mapping[str, Any]) -> str:
    """A schema in words: its type, or a reference in angle brackets."""
    if "$ref" in schema:
        return f"<{schema['$ref'].removeprefix(_TYPE_PREFIX)}>"
    if "anyOf" in schema:
        return " or ".join(_named(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(json.dumps(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_named(schema.get('items', {}))}"
    return str(schema.get("type", "anything"))


def _marked(text: str) -> Markup:
    """Text with `code` in backticks."""
    return _alternating(text.split("`"), Markup("<code>{0}</code>"))


def _linked(text: str) -> Markup:
    """A type's words with a link to each reference."""
    return _alternating(re.split(r"<(\w+)>", text), Markup('<a href="#type-{0}">{0}</a>'))


def _alternating(parts: Sequence[str], odd: Markup) -> Markup:
    """The parts in a row, escaped, every second one dressed."""
    return Markup().join(odd.format(part) if at % 2 else part for at, part in enumerate(parts))


def _breakable(text: str) -> Markup:
    """A path or media type that may be broken behind its slashes."""
    return escape(text).replace("/", Markup("/<wbr>"))
