"""Sends cases to a server, several at a time, and makes what fails as small as it simply can be."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.fuzz.case import Case
from tests.fuzz.judge import faults
from tests.fuzz.message import Flow, Message, recorded
from tests.fuzz.sender import send

AT_ONCE: Final = 4
_LONG: Final = 1500


@dataclass(frozen=True)
class Caller:
    """Somebody who sends: his header Authorization (none for ""), and what he may not see."""

    name: str
    authorization: str = ""
    hidden: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Fault:
    """What was wrong, and the requests that led to it; the last one is the one that was answered so."""

    case: Case
    reasons: tuple[str, ...]
    sent: tuple[bytes, ...]

    def __str__(self) -> str:
        lines = [f"case {self.case.id} ({self.case.flow.name}): {'; '.join(self.reasons)}"]
        lines += [
            f"  {name}: {data[:_LONG]!r}{_rest(data)}" for name, data in zip(_names(self.sent), self.sent, strict=True)
        ]
        return "\n".join(lines)


def _names(sent: Sequence[bytes]) -> Iterator[str]:
    for number in range(len(sent) - 1):
        yield f"before {number + 1}"
    yield "then"


def _rest(data: bytes) -> str:
    return f" and {len(data) - _LONG} bytes more" if len(data) > _LONG else ""


@dataclass
class Campaign:
    """Cases of one seed against one server."""

    url: str
    seed: str
    namespaces: Sequence[str]
    callers: Sequence[Caller] = (Caller("anybody"),)
    flows: Sequence[Flow] = field(default_factory=lambda: tuple(recorded()))
    statuses: Counter[int] = field(default_factory=Counter)
    slowest_s: float = 0.0
    sent: int = 0
    show: Callable[[str], object] = field(default=lambda text: None)
    """Is told what is sent and answered."""

    def run(self, requests: int) -> list[Fault]:
        """Send at least so many requests. What was wrong, each as small as it was easily made."""
        found: list[Fault] = []
        cases = self._cases(requests)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for fault in pool.map(self.play, cases):
                if fault is not None:
                    found.append(fault)
        return [self.smaller(fault) for fault in found[:5]] + found[5:]

    def _cases(self, requests: int) -> list[Case]:
        found, number = [], 0
        while requests > 0:
            case = Case.make(self.seed, number, self.flows)
            found.append(case)
            requests -= len(case.order)
            number += 1
        return found

    def play(self, case: Case) -> Fault | None:
        """Send one case; what was wrong first."""
        address = urlsplit(self.url)
        host, port = str(address.hostname), int(address.port or 80)
        caller = self.callers[case.choice % len(self.callers)]
        values = {"host": f"{host}:{port}", "namespace": self.namespaces[case.choice // 7 % len(self.namespaces)]}
        sent: list[bytes] = []
        for at, message in case.messages():
            filled = _as(caller, message.filled(values), logs_in=case.flow.name.startswith("login"))
            data = filled.raw()
            sent.append(data)
            outcome = send((host, port), data, method=filled.method, regular=filled.regular)
            self._count(outcome.statuses, outcome.took_s)
            self.show(f"{data[:_LONG]!r}{_rest(data)}\n-> {outcome.statuses} {outcome.body[:_LONG]!r}")
            reasons = faults(filled, outcome, hidden=caller.hidden)
            if reasons:
                return Fault(case, tuple(reasons), tuple(sent))
            values |= _learned(at, outcome.headers, outcome.body)
        return None

    def _count(self, statuses: Sequence[int], took_s: float) -> None:
        self.sent += 1
        self.statuses.update(statuses[:1] or [0])
        self.slowest_s = max(self.slowest_s, took_s)

    def smaller(self, fault: Fault) -> Fault:
        """The same fault with fewer requests before it and fewer changes, where it comes again at all."""
        case = replace(fault.case, order=fault.case.order[: len(fault.sent)])
        for smaller in _smaller(case):
            again = self.play(smaller)
            if again is not None and again.reasons == fault.reasons:
                return self.smaller(again)
        return fault


def _smaller(case: Case) -> Iterator[Case]:
    for at in range(len(case.order) - 1):
        yield replace(case, order=case.order[:at] + case.order[at + 1 :])
    for at in range(len(case.steps)):
        yield replace(case, steps=case.steps[:at] + case.steps[at + 1 :])


def _as(caller: Caller, message: Message, *, logs_in: bool) -> Message:
    """As the caller sends it; a flow that logs in says by itself which of its requests are without a name.

    A change that set the header stays; a token from the server too.
    """
    value = message.header("authorization")
    if (value and "{basic}" not in value) or (logs_in and not value):
        return message
    headers = tuple(pair for pair in message.headers if pair[0].lower() != "authorization")
    more = (("Authorization", caller.authorization),) if caller.authorization else ()
    return replace(message, headers=(*headers, *more))


def _learned(at: int, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
    found = {}
    if "location" in headers:
        found[f"location-{at}"] = headers["location"].partition("?")[0]
    if body[:9] == b'{"token":' and (parts := body.split(b'"', 4))[3:]:
        found[f"token-{at}"] = parts[3].decode("ascii", "replace")
    return found


def resident_mib(pids: Sequence[int]) -> int:
    """Memory of these processes now."""
    found = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                found = max(found, int(line.split()[1]) // 1024)
    return found


def processes(parent: int) -> list[int]:
    """The children of a process: the workers of `cnr serve`."""
    return sorted(map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()))
