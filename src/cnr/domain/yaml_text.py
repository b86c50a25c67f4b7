"""YAML as data, from strangers: scalars stay text, and no document costs more than its size.

The C parser of PyYAML gives events; the document is built here, without recursion and without any of PyYAML's
constructors, so that no tag can make an object, `1.10` stays `1.10`, and an alias bomb is counted before it is built.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from cnr.domain.errors import InvalidArchive
from cnr.domain.limits import MIB

DEPTH_LIMIT = 64
SIZE_LIMIT = 4 * MIB
"""Of a document: every value counts NODE_BYTES and its text, every alias as much as what it stands for."""
NODE_BYTES = 200

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_MERGE = "<<"
_KNOWN_TAGS = frozenset({"!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))})


class Plain(str):
    """A scalar written without quotes: the text as it stands, which YAML may also mean as a number or truth value."""

    __slots__ = ()


Value: TypeAlias = "str | list[Value] | dict[str, Value] | None"
"""A document: text (`Plain` where it was unquoted), None for a null, lists and mappings."""


def load(data: bytes, *, what: str) -> Value:
    """The first document in `data`; None if there is none.

    Raises InvalidArchive, with `what` in the message, for bytes that are no UTF-8 or no YAML, for duplicate keys,
    keys that are no scalar, tags that ask for anything but text, aliases to themselves or to nothing, and above
    DEPTH_LIMIT or SIZE_LIMIT. Source: YAML 1.1, as helm reads it.
    """
    try:
        data.decode()
        return _Builder().build(yaml.parse(data, Loader=yaml.CSafeLoader))
    except _Refused as exc:
        raise InvalidArchive(f"{what}: {exc}") from None
    except yaml.MarkedYAMLError as exc:
        line = f" (line {exc.problem_mark.line + 1})" if exc.problem_mark else ""
        raise InvalidArchive(f"{what} is not YAML: {exc.problem}{line}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InvalidArchive(f"{what} is not YAML: it has characters that may not be there") from None


class _Refused(Exception):
    """What is YAML, but none that we take."""


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being filled. `key` is a mapping's key that waits for its value."""

    value: Any
    anchor: str | None
    size_before: int
    key: str | None = None
    merged: list[Any] | None = None


class _Builder:
    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Value, int]] = {}
        self._size = 0
        self._root: Value = None

    def build(self, events: Iterator[yaml.Event]) -> Value:
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._begin(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._end()
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event.anchor)
            elif isinstance(event, yaml.DocumentEndEvent):
                break
        return self._root

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._check_tag(event.tag)
        plain = event.implicit[0]
        value = None if plain and event.value in _NULLS else Plain(event.value) if plain else event.value
        frame = self._open[-1] if self._open else None
        if value is None and frame is not None and frame.key is None and isinstance(frame.value, dict):
            raise _Refused("a key is missing")
        size = NODE_BYTES + len(event.value)
        self._count(size)
        self._name(event.anchor, value, size)
        self._place(value)

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        self._check_tag(event.tag)
        if len(self._open) == DEPTH_LIMIT:
            raise _Refused(f"nested deeper than {DEPTH_LIMIT} levels")
        value: Value = {} if isinstance(event, yaml.MappingStartEvent) else []
        frame = self._open[-1] if self._open else None
        if frame is not None and frame.key is None and isinstance(frame.value, dict):
            raise _Refused("a key is no text")
        self._open.append(_Open(value, event.anchor, self._size))
        self._count(NODE_BYTES)

    def _end(self) -> None:
        frame = self._open.pop()
        for mapping in frame.merged or ():
            frame.value.update((key, value) for key, value in mapping.items() if key not in frame.value)
        self._name(frame.anchor, frame.value, self._size - frame.size_before)
        self._place(frame.value)

    def _alias(self, anchor: str | None) -> None:
        if anchor is None or anchor not in self._anchors:
            raise _Refused(f"*{anchor} stands for nothing, or for itself")
        value, size = self._anchors[anchor]
        self._count(size)
        self._place(value)

    def _place(self, value: Value) -> None:
        if not self._open:
            self._root = value
            return
        frame = self._open[-1]
        if isinstance(frame.value, list):
            frame.value.append(value)
        elif frame.key is None:
            frame.key = _key(value)
        else:
            _set(frame, frame.key, value)

    def _name(self, anchor: str | None, value: Value, size: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = value, size

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > SIZE_LIMIT:
            raise _Refused("too many values, aliases counted as what they stand for")

    def _check_tag(self, tag: str | None) -> None:
        if tag is not None and tag not in _KNOWN_TAGS:
            raise _Refused(f"the tag {tag[:100]!r} is not allowed")


def _key(value: Value) -> str:
    if not isinstance(value, str):
        raise _Refused("a key is no text")
    return value


def _set(frame: _Open, key: str, value: Value) -> None:
    frame.key = None
    if key == _MERGE and isinstance(key, Plain):
        merged = value if isinstance(value, list) else [value]
        if not all(isinstance(mapping, dict) for mapping in merged):
            raise _Refused("<< merges something that is no mapping")
        frame.merged = [*(frame.merged or ()), *merged]
    elif key in frame.value:
        raise _Refused(f"the key {key[:100]!r} is there twice")
    else:
        frame.value[str(key)] = value
