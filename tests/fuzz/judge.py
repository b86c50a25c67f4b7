"""What no answer may be, whatever was asked."""

import json
from collections.abc import Collection
from typing import Any, Final

from tests.fuzz.message import Message
from tests.fuzz.sender import Outcome

_SHOWN: Final = 300


def faults(message: Message, outcome: Outcome, *, hidden: Collection[bytes] = ()) -> list[str]:
    """What is wrong with the answer; nothing if nothing. `hidden`: what this caller may not see."""
    found = [outcome.trouble] if outcome.trouble else []
    found += [f"answered {status}" for status in outcome.statuses if status >= 500]
    found += [f"shows {secret!r}" for secret in hidden if secret in outcome.body or secret in outcome.raw]
    if b"\r\nx-injected" in outcome.raw.lower() or "x-injected" in outcome.headers:
        found.append("has a header that the request made")
    if outcome.headers and outcome.statuses[0] >= 400 and message.method != "HEAD":
        found += _shape(outcome)
    if "text/html" in outcome.headers.get("content-type", "") and "content-security-policy" not in outcome.headers:
        found.append("is a page without a Content-Security-Policy")
    return found


def _shape(outcome: Outcome) -> list[str]:
    """An error is JSON in its protocol's shape, or the words of the HTTP server about what is no HTTP."""
    kind, status = outcome.headers.get("content-type", ""), outcome.statuses[0]
    shown = f"{status} {kind}: {outcome.body[:_SHOWN]!r}"
    if b"Traceback" in outcome.body or b"\x1b" in outcome.body:
        return [f"an error with what nobody should see: {shown}"]
    if kind.startswith("text/plain") and status in (400, 431):
        return []
    try:
        document = json.loads(outcome.body)
    except ValueError:
        return [f"an error that is no JSON: {shown}"]
    return [] if _is_error(document) else [f"an error of no protocol: {shown}"]


def _is_error(document: Any) -> bool:
    if not isinstance(document, dict):
        return False
    errors, error = document.get("errors"), document.get("error")
    if isinstance(errors, list):
        return bool(errors) and all(each.get("code") and each.get("message") for each in errors)
    if isinstance(error, dict):
        return sorted(error) == ["code", "details", "message"] and bool(error["code"] and error["message"])
    return isinstance(error, str) and bool(error)
