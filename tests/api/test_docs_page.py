"""The readable page: whole, self-contained, harmless."""

import base64
import hashlib
from html.parser import HTMLParser
from typing import Any

import pytest

from cnr.api.docs_page import page
from cnr.api.openapi import document
from cnr.api.openapi_operations import OPERATIONS

VOID = {"meta", "wbr", "link", "br", "img", "input"}


class Page(HTMLParser):
    """What is in a page; every element must be closed where it was opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.style = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        self.attributes |= values.keys()
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values[name] or "" for name in ("href", "src") if name in values]
        self._open += [tag] if tag not in VOID else []

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["style"]:
            self.style += data


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document(OPERATIONS)


def test_every_operation_and_type_has_its_place(made: dict[str, Any]) -> None:
    ids = Page(page(made, "")).ids
    assert len(ids) == len(set(ids))
    assert {operation["operationId"] for item in made["paths"].values() for operation in item.values()} < set(ids)
    assert {f"type-{name}" for name in made["components"]["schemas"]} < set(ids)


def test_links_lead_into_the_page_or_to_the_document(made: dict[str, Any]) -> None:
    found = Page(page(made, ""))
    assert {link for link in found.links if not link.startswith("#")} == {"openapi.json"}
    assert {link.removeprefix("#") for link in found.links if link.startswith("#")} <= set(found.ids)


def test_nothing_runs_and_nothing_is_fetched(made: dict[str, Any]) -> None:
    found = Page(page(made, ""))
    assert not found.tags & {"script", "img", "iframe", "link", "object", "form"}
    assert not [name for name in found.attributes if name.startswith("on") or name in ("style", "src")]


def test_text_is_escaped(made: dict[str, Any]) -> None:
    hostile = "<script>alert(1)</script>`<b>`"
    item = {"get": {**made["paths"]["/version"]["get"], "summary": hostile, "description": hostile}}
    found = Page(page({**made, "paths": {"/version": item}}, ""))
    assert not found.tags & {"script", "b"}


def test_the_style_is_allowed_by_its_digest(made: dict[str, Any]) -> None:
    style = "body{color:red}\n"
    found = Page(page(made, style)).style
    assert base64.b64encode(hashlib.sha256(found.encode()).digest()) == base64.b64encode(
        hashlib.sha256(style.encode()).digest()
    )
