"""One case: a flow with some changes. Its number and the seed alone decide what it is."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from tests.fuzz import bodies, headers, targets, wire
from tests.fuzz.message import Change, Flow, Message

_WEIGHTS: Final[Sequence[tuple[Sequence[Change], int]]] = (
    (targets.CHANGES, 25),
    (headers.CHANGES, 25),
    (bodies.CHANGES, 35),
    (wire.CHANGES, 15),
)


@dataclass(frozen=True)
class Step:
    """A change of the message at `at`, with random numbers of its own."""

    at: int
    change: Change
    seed: str
    repaired: bool = False
    """Whether digests and sizes of the old body are made those of the new one, in all messages."""


@dataclass(frozen=True)
class Case:
    """The messages of `flow` in this order, each with what the steps make of it."""

    id: str
    flow: Flow
    steps: tuple[Step, ...]
    order: tuple[int, ...]
    choice: int = field(default=0)
    """A number for whoever sends: which caller, which namespace."""

    @classmethod
    def make(cls, seed: str, number: int, flows: Sequence[Flow]) -> "Case":
        """The case with this number."""
        id = f"{seed}/{number}"
        random = Random(id)
        flow = random.choice(flows)
        steps = tuple(_step(random, flow, f"{id}/{step}") for step in range(random.choice((1, 1, 2, 3, 5))))
        return cls(id, flow, steps, _order(random, len(flow.messages)), random.randrange(1 << 30))

    def messages(self) -> list[tuple[int, Message]]:
        """What is sent: each with its place in the flow."""
        found = list(self.flow.messages)
        for step in self.steps:
            before = found[step.at]
            after = step.change(Random(step.seed), before)
            found[step.at] = after
            if step.repaired:
                _repair(found, before.body, after.body)
        return [(at, found[at]) for at in self.order]


def _step(random: Random, flow: Flow, seed: str) -> Step:
    (changes,) = random.choices([changes for changes, _ in _WEIGHTS], [weight for _, weight in _WEIGHTS])
    at = range(len(flow.messages))
    if changes is bodies.CHANGES:
        at = [each for each in at if flow.messages[each].body] or at  # type: ignore[assignment]
    return Step(random.choice(at), random.choice(changes), seed, changes is bodies.CHANGES and random.random() < 0.7)


def _order(random: Random, count: int) -> tuple[int, ...]:
    order = list(range(count))
    match random.randrange(20):
        case 0:
            random.shuffle(order)
        case 1:
            del order[random.randrange(count)]
        case 2:
            order += order
        case 3:
            at = random.randrange(count)
            order.insert(random.randrange(count + 1), order[at])
        case 4:
            order.reverse()
    return tuple(order)


def _repair(messages: list[Message], old: bytes, new: bytes) -> None:
    """What names the old content by its digest names the new; and so on, for documents that change by that."""
    was, now = (hashlib.sha256(each).hexdigest() for each in (old, new))
    if was == now or not old:
        return
    descriptor = re.compile(rb"\{[^{}]*" + now.encode() + rb"[^{}]*\}")
    size = b'"size":%d' % len(new)
    for at, message in enumerate(messages):
        body = message.body.replace(was.encode(), now.encode())
        messages[at] = replace(message, target=message.target.replace(was, now))
        if body != message.body:
            body = descriptor.sub(lambda found: re.sub(rb'"size": ?\d+', size, found[0]), body)
            messages[at] = replace(messages[at], body=body)
            _repair(messages, message.body, body)
