"""Changes of headers that leave a request's length alone."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Final

from tests.fuzz import values
from tests.fuzz.message import Change, Message


def value(random: Random, message: Message) -> Message:
    """A header with a value from the list."""
    name = random.choice(list(values.HEADERS))
    return message.with_header(name, random.choice(values.HEADERS[name]))


def twice(random: Random, message: Message) -> Message:
    """A header once more, with another value."""
    name = random.choice([name for name, _ in message.headers] + list(values.HEADERS))
    known = values.HEADERS.get(name, ("x",))
    return replace(message, headers=(*message.headers, (name, random.choice(known))))


def without(random: Random, message: Message) -> Message:
    """One header less; it may be Host."""
    at = random.randrange(len(message.headers) or 1)
    return replace(message, headers=message.headers[:at] + message.headers[at + 1 :])


def many(random: Random, message: Message) -> Message:
    """More headers than anybody sends."""
    count = random.choice((50, 300, 3000))
    return replace(message, headers=(*message.headers, *((f"X-{number}", "x" * 20) for number in range(count))))


def long(random: Random, message: Message) -> Message:
    return message.with_header(random.choice(("X-Long", "User-Agent", "Accept", "Cookie")), "x" * 60_000)


def expect(random: Random, message: Message) -> Message:
    return message.with_header("Expect", random.choice(("100-continue", "100-Continue", "200-ok", "")))


def chunked(random: Random, message: Message) -> Message:
    """The body in chunks, as clients send what they make while they send."""
    if message.header("content-length"):
        return message
    return replace(message, pieces=tuple(random.choice((1, 3, 100, 8192)) for _ in range(random.randrange(1, 6))))


CHANGES: Final[Sequence[Change]] = (value, value, value, value, twice, without, many, long, expect, chunked)
