"""Sends bytes on a connection of their own and reads what comes."""

import http.client
import re
import socket
import time
from dataclasses import dataclass, field
from typing import Final

HANG_S: Final = 30.0
"""Seconds without an answer that count as a hang: 5 on an idle machine, and others may load this one."""
QUIET_S: Final = 0.25
"""Seconds after which what may not be a whole request is taken for one that waits for more."""
_HEAD_READ: Final = 32 * 1024
"""A longer head may be answered and cut off before it was read, so that the answer is lost."""
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@dataclass
class Outcome:
    """What came back. `statuses` are all answers on the connection; head and body are the first one's."""

    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes = b""
    took_s: float = 0.0
    trouble: str = ""


def send(address: tuple[str, int], data: bytes, *, method: str, regular: bool, hang_s: float = HANG_S) -> Outcome:
    """Send `data`. With `regular` there has to be an answer; without, the connection has to end after its own end."""
    begun = time.monotonic()
    outcome = Outcome()
    regular = regular and data.find(b"\r\n\r\n") < _HEAD_READ
    try:
        with socket.create_connection(address, timeout=hang_s) as connection:
            _exchange(connection, data, outcome, method=method, regular=regular, hang_s=hang_s)
    except TimeoutError:
        outcome.trouble = f"nothing for {hang_s:g} s"
    except (OSError, http.client.HTTPException) as exc:
        # Closed while we sent, or no answer at all: what may be done with something that is no HTTP.
        outcome.trouble = f"no answer: {exc!r}" if regular else ""
    outcome.took_s = time.monotonic() - begun
    return outcome


def _exchange(
    connection: socket.socket, data: bytes, outcome: Outcome, *, method: str, regular: bool, hang_s: float
) -> None:
    connection.sendall(data)
    if not regular:
        outcome.raw = _until_the_end(connection, hang_s)
        outcome.statuses = [int(found) for found in _STATUS.findall(outcome.raw)]
        return
    answer = http.client.HTTPResponse(connection, method=method)
    answer.begin()
    outcome.statuses = [answer.status]
    outcome.headers = {name.lower(): value for name, value in answer.getheaders()}
    outcome.body = answer.read()


def _until_the_end(connection: socket.socket, hang_s: float) -> bytes:
    found = bytearray()
    connection.settimeout(QUIET_S)
    try:
        while piece := connection.recv(65536):
            found += piece
        return bytes(found)
    except TimeoutError:
        connection.settimeout(hang_s)
        connection.shutdown(socket.SHUT_WR)
    while piece := connection.recv(65536):
        found += piece
    return bytes(found)
