"""What a request means for the audit log: who, what, from where and with which result."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.types import Scope

from cnr.domain.access import Access
from cnr.domain.audit import ANONYMOUS, Event, Result, Who, short
from cnr.domain.errors import CnrError, Denied, Immutable, LoginRequired, OutcomeUnknown
from cnr.http.routes import Route

_NAME: Final = re.compile(r"(?!cnr_)[A-Za-z0-9._@-]{1,64}")
"""What is taken for a name where somebody may not log in: people also type passwords and tokens there."""
_TOKEN: Final = re.compile(r"cnr_([0-9a-f]{16})_.{1,100}", re.DOTALL)
_PLACES: Final = frozenset({"namespace", "name", "tenant"})
_CREDENTIALS: Final = 2048
_UPLOAD: Final = 8
"""Hex digits of an upload's id: enough to find its lines, and too few to go on with it."""


class Matched(NamedTuple):
    """What the adapter knows of a request before its handler runs."""

    route: Route
    access: Access
    values: Mapping[str, str]


class Failure(NamedTuple):
    """Why a request failed: the error, unless it was none of ours, and the protocol's code."""

    error: CnrError | None
    code: str


def note(request: Request, **target: object) -> None:
    """Say what a change is about, where its address does not. `repository` is where."""
    request.scope.setdefault("audit_target", {}).update(target)


def note_login(request: Request, who: Who) -> None:
    """Say who logged in."""
    request.scope["audit_login"] = who


def note_claim(request: Request, name: object) -> None:
    """Say who somebody wants to be, before it is known whether he is."""
    request.scope["audit_claim"] = Who("unknown", name) if isinstance(name, str) and _NAME.fullmatch(name) else _NOBODY


_NOBODY: Final = Who("unknown")


def event_of(scope: Scope, *, protocol: str, status: int) -> Event | None:
    """The line of a request that was answered with `status`; None for what changes nothing, denies nothing."""
    matched: Matched | None = scope.get("matched")
    if matched is None:
        return None
    route = matched.route
    failure: Failure | None = scope.get("failure")
    if failure is None and not (route.changes or "audit_login" in scope):
        return None
    error, code = failure or (None, "")
    result = _result(error, status)
    who = _who(scope, error)
    if not _is_told(route, matched.access, error, result, who):
        return None
    repository, target = _target(scope, matched, error)
    return Event(
        result=result,
        who=who,
        action="login" if route.login else route.action,
        protocol=protocol,
        call=f"{route.method} {route.path}",
        repository=repository,
        target=target,
        status=status,
        code=code,
        address=short((scope.get("client") or ("",))[0]),
        agent=short(_header(scope, b"user-agent")),
        request=scope.get("request_id", ""),
    )


def _result(error: CnrError | None, status: int) -> Result:
    if isinstance(error, OutcomeUnknown):
        return "unknown"
    if (isinstance(error, Denied) and not isinstance(error, Immutable)) or status == 429:
        return "denied"
    return "failed" if status >= 400 else "ok"


def _is_told(route: Route, access: Access, error: CnrError | None, result: Result, who: Who) -> bool:
    if isinstance(error, LoginRequired) and access.action in ("login", "catalog") and who is ANONYMOUS:
        return False  # how every client asks where to log in
    if route.changes:
        return True
    if route.login:
        return result == "denied" or (result == "ok" and who is not ANONYMOUS)
    return isinstance(error, Denied) and result == "denied"


def _who(scope: Scope, error: CnrError | None) -> Who:
    if error is not None and error.who is not None:
        return error.who
    if "audit_login" in scope:
        return scope["audit_login"]  # type: ignore[no-any-return]
    if "grant" in scope and not scope["matched"].route.login:
        return scope["grant"].who  # type: ignore[no-any-return]
    return scope.get("audit_claim") or _claimed(_header(scope, b"authorization"))


def _claimed(authorization: str) -> Who:
    """Whom wrong credentials name, if that is likely a name."""
    if not authorization:
        return ANONYMOUS
    scheme, _, credentials = authorization.strip().partition(" ")
    if scheme.lower() == "basic":
        try:
            plain = base64.b64decode(credentials[:_CREDENTIALS]).decode()
        except (binascii.Error, ValueError):
            return _NOBODY
        name, _, credentials = plain.partition(":")
        if _NAME.fullmatch(name) and not credentials.startswith("cnr_"):
            return Who("unknown", name)
    token = _TOKEN.fullmatch(credentials.strip())
    return Who("unknown", token=token[1]) if token else _NOBODY


def _target(scope: Scope, matched: Matched, error: CnrError | None) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {name: value for name, value in matched.values.items() if name not in _PLACES}
    if "/uploads/{" in matched.route.path:
        values = {"upload": values["reference"][:_UPLOAD]}
    values.update(scope.get("audit_target", ()))
    known = error.details if error is not None else {}
    place = values.pop("repository", None) or matched.access.repository or known.get("package")
    if "release" in known and not values.keys() & {"release", "version"}:
        values["release"] = known["release"]
    target = {name: value if isinstance(value, bool | int) else short(value) for name, value in values.items()}
    return short(place or matched.access.path or ""), target


def _header(scope: Scope, wanted: bytes) -> str:
    for name, value in scope["headers"]:
        if name == wanted:
            return str(value.decode("latin-1"))
    return ""
