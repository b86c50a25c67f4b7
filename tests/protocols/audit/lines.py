"""What the audit log says of one request, or of all."""

import itertools
import json
from typing import Any

import httpx
from tests.protocols.auth.world import World

Line = dict[str, Any]
_numbers = itertools.count(1)


def all_lines(world: World) -> list[Line]:
    return [json.loads(line) for line in (world.server.store / "audit.log").read_text().splitlines()]


def ask(world: World, http: httpx.Client, method: str, path: str, **more: Any) -> tuple[httpx.Response, list[Line]]:
    """The answer, and the lines that were there when it came."""
    name = f"test-{next(_numbers)}"
    headers = {**more.pop("headers", {}), "X-Request-Id": name}
    answer = http.request(method, path, headers=headers, **more)
    return answer, [line for line in all_lines(world) if line.get("request") == name]
