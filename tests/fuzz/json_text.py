"""JSON that knows what it is: documents changed at one place, also into what json.dumps would never write."""

import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final

from tests.fuzz import values

DEPTH: Final = 100_000


class Raw(str):
    """Text that stands in a document as it is."""


class Pairs(list[Any]):
    """An object: lists of a name and a value. A name may be there twice."""


RAW: Final = (
    *(
        "NaN",
        "-Infinity",
        "1e999",
        "-0",
        "0.1e-400",
        "1" * 400,
        "18446744073709551616",
        '"\\ud800"',
        '"\\udc00\\ud800"',
    ),
    *("'x'", "{} /* */", "01", '"\x01"', '"\\x41"', "tru", "[1,]", "[" * DEPTH + "]" * DEPTH, "[" * DEPTH, '""" ', ""),
    *(
        '{"a":' * DEPTH + "1" + "}" * DEPTH,
        '"\\u0000"',
        '"' + "x" * 100_000 + '"',
        "[" + "1," * 50_000 + "1]",
        "\ufeff1",
    ),
)
VALUES: Final[Sequence[Any]] = (None, True, 0, -1, 1.5, 2**63, [], {}, [None], {"a": {}}, [[]], "", [{}] * 1000)


def changed(random: Random, data: bytes) -> bytes | None:
    """`data` with one to three changes; None where it is no JSON, or too deep to be taken apart once more."""
    try:
        document = json.loads(data, object_pairs_hook=_pairs)
        return _changed(random, document) if isinstance(document, list) else None
    except (ValueError, RecursionError):
        return None


def _changed(random: Random, document: list[Any]) -> bytes:
    for _ in range(random.choice((1, 1, 2, 3))):
        holder = random.choice(list(_holders(document)) or [document])
        _change(random, holder)
    return dumped(document).encode("utf-8", "surrogatepass")


def _pairs(pairs: list[tuple[str, Any]]) -> Pairs:
    return Pairs([name, value] for name, value in pairs)


def _holders(value: Any) -> Iterator[list[Any]]:
    """Every object and list in a document that has something in it."""
    if isinstance(value, list) and value:
        yield value
        for each in value:
            yield from _holders(each[1] if isinstance(value, Pairs) else each)


def _change(random: Random, holder: list[Any]) -> None:
    named = isinstance(holder, Pairs)
    if not holder:
        holder.append(["x", 1] if named else 1)
        return
    at = random.randrange(len(holder))
    match random.randrange(7):
        case 0:
            del holder[at]
        case 1:
            holder.insert(random.randrange(len(holder) + 1), holder[at])
        case 2 if named:
            holder[at] = [values.text(random), holder[at][1]]
        case 3 if named:
            holder.append([holder[at][0], _other(random)])
        case 4 if named:
            holder.extend([f"k{number}", ""] for number in range(random.choice((1, 2000))))
        case _ if named:
            holder[at] = [holder[at][0], _other(random)]
        case _:
            holder[at] = _other(random)


def _other(random: Random) -> Any:
    match random.randrange(3):
        case 0:
            return Raw(random.choice(RAW))
        case 1:
            return values.text(random)
        case _:
            return random.choice(VALUES)


def dumped(value: Any) -> str:
    """As text; objects may have a key twice."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(name)}:{dumped(each)}" for name, each in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dumped, value)) + "]"
    return json.dumps(value)
