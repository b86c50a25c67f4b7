"""Changes of a request's first line."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Final

from tests.fuzz import values
from tests.fuzz.message import Change, Message


def method(random: Random, message: Message) -> Message:
    return replace(message, method=random.choice(values.METHODS))


def segment(random: Random, message: Message) -> Message:
    """Another text for one segment, one more, or one less."""
    path, query = _split(message.target)
    segments = path.split("/")
    at = random.randrange(len(segments))
    match random.randrange(4):
        case 0:
            segments[at] = values.text(random)
        case 1:
            segments.insert(at, values.text(random))
        case 2:
            del segments[at]
        case _:
            segments[at] = _bent(random, segments[at])
    return replace(message, target="/".join(segments) + query)


def spelling(random: Random, message: Message) -> Message:
    """The same path in other letters."""
    path, query = _split(message.target)
    at = random.randrange(len(path) or 1)
    options = (
        path.upper(),
        path.replace("/", "//", random.randrange(1, 4)),
        path.replace("/", "/./", 1),
        "/x/.." + path,
        path + random.choice(("/", "//", "%00", ";x", "/.", "/..", "%2f", "#x", "\\", "%20", "?")),
        path[:at] + f"%{ord((path or '/')[at]):02x}" + path[at + 1 :] if path and path[at] not in "{}" else path,
        path.replace("/v2", "/V2").replace("/api", "/API"),
        "/cnr" + path,
        "/cnr/cnr" + path,
        "/helm" + path,
        path.removeprefix("/cnr"),
        "http://evil.example" + path,
        "*",
        path[1:],
    )
    return replace(message, target=random.choice(options) + query)


def query(random: Random, message: Message) -> Message:
    """One parameter more, or another value for one, or the whole of it something else."""
    path, old = _split(message.target)
    parts = [part for part in old[1:].split("&") if part]
    name = random.choice(values.QUERIES)
    match random.randrange(5):
        case 0 if parts:
            at = random.randrange(len(parts))
            parts[at] = f"{parts[at].partition('=')[0]}={values.text(random)}"
        case 1 if parts:
            parts = parts * random.randrange(2, 5)
        case 2:
            parts = [values.text(random)]
        case 3:
            parts += [f"{name}={number}" for number in range(random.choice((2, 200, 2000)))]
        case _:
            parts.append(f"{name}={values.text(random)}")
    return replace(message, target=f"{path}?{'&'.join(parts)}")


CHANGES: Final[Sequence[Change]] = (method, segment, segment, segment, spelling, query, query)


def _split(target: str) -> tuple[str, str]:
    path, mark, query = target.partition("?")
    return path, mark + query


def _bent(random: Random, text: str) -> str:
    at = random.randrange(len(text) + 1)
    piece = random.choice(("%", "%0", "%2", "\\", "..", "@", ":", "%00", "é", " ", "+", "\x7f", "A", "0", "-", "."))
    return text[:at] + piece + text[at + random.randrange(2) :]
