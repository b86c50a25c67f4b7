"""A request as it will go over the wire, and a flow of them: what a client sent for one purpose."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Final

EXCHANGES: Final = Path(__file__).parents[1] / "golden" / "exchanges"
Change = Callable[[Random, "Message"], "Message"]
"""Makes another message; what it does is decided by the random numbers alone."""


@dataclass(frozen=True)
class Message:
    """One request. Texts may hold placeholders, such as `{namespace}` or `{location-2}`: see `filled`."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    status: int = 0
    """What the server answered when it was recorded."""
    pieces: tuple[int, ...] = ()
    """Sizes of chunks, for a body that is sent chunked; the rest is the last one."""
    wire: tuple[Callable[[bytes], bytes], ...] = ()
    """What happens to the bytes when all is in its place."""

    @property
    def regular(self) -> bool:
        """Whether it is a whole request, so that there has to be an answer."""
        return not self.wire

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")

    def with_header(self, name: str, value: str) -> "Message":
        """The header instead of those of its name."""
        kept = tuple(pair for pair in self.headers if pair[0].lower() != name.lower())
        return replace(self, headers=(*kept, (name, value)))

    def filled(self, values: Mapping[str, str]) -> "Message":
        """With `values` in the places of their names; names that have no value stay."""

        def fill(text: str) -> str:
            for name, value in values.items():
                text = text.replace("{" + name + "}", value)
            return text

        headers = tuple((name, fill(value)) for name, value in self.headers)
        return replace(self, target=fill(self.target), headers=headers)

    def raw(self) -> bytes:
        """The bytes that are sent."""
        head = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers)]
        names = {name.lower() for name, _ in self.headers}
        body = self.body
        if self.pieces:
            head.append("Transfer-Encoding: chunked")
            body = _chunked(body, self.pieces)
        elif "content-length" not in names and (body or self.method not in ("GET", "HEAD", "DELETE")):
            head.append(f"Content-Length: {len(body)}")
        data = "\r\n".join((*head, "", "")).encode("utf-8", "surrogateescape") + body
        for change in self.wire:
            data = change(data)
        return data


def _chunked(body: bytes, sizes: tuple[int, ...]) -> bytes:
    found, at = b"", 0
    for size in sizes:
        if piece := body[at : at + size]:
            found += b"%x\r\n%s\r\n" % (len(piece), piece)
        at += size
    if piece := body[at:]:
        found += b"%x\r\n%s\r\n" % (len(piece), piece)
    return found + b"0\r\n\r\n"


@dataclass(frozen=True)
class Flow:
    """What one client sent for one purpose, in order."""

    name: str
    messages: tuple[Message, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


def recorded() -> Iterator[Flow]:
    """The flows under tests/golden/exchanges, by name."""
    for path in sorted(EXCHANGES.glob("*.json")):
        content = json.loads(path.read_text())
        yield Flow(path.stem, tuple(_message(each) for each in content["requests"]), {"client": content["client"]})


def _message(found: Mapping[str, Any]) -> Message:
    headers = tuple((name, value) for name, value in found["headers"].items())
    body = found.get("text", "").encode() or base64.b64decode(found.get("base64", ""))
    return Message(found["method"], found["target"], headers, body, found["status"])
