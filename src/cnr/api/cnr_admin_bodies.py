"""What clients send to administer: one JSON object, whose fields are known and of the right type, or a 400.

Nothing is read from the query string or a form, and no field is ignored: what is not asked for cannot be slipped in.
"""

from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from cnr.api.cnr_fields import LIST_LIMIT, Page, page
from cnr.domain.account import PASSWORD_LEAST, PASSWORD_LIMIT, Right, Rights, Role, ScopePath, parse_rights, parse_scope
from cnr.domain.errors import InvalidUsage
from cnr.http.body import body_chunks
from cnr.http.conditions import expected
from cnr.http.json_response import pretty_response

T = TypeVar("T")
BODY_LIMIT: Final = 64 * 1024
SCOPES_LIMIT: Final = 100
STALL_S: Final = 30.0
DAYS: Final = 90
Name = Annotated[str, Meta(pattern="^[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?$", max_length=64)]
Password = Annotated[str, Meta(min_length=PASSWORD_LEAST, max_length=PASSWORD_LIMIT)]


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A body that has no other fields."""


class NewUser(Strict, frozen=True, kw_only=True):
    """A user to make: with a password, or with a bcrypt hash from an htpasswd file."""

    name: Name
    password: Password | None = None
    bcrypt: Annotated[str, Meta(max_length=60)] | None = None
    admin: bool = False
    replace: Annotated[bool, Meta(description="With `bcrypt`: give it to a user who is there.")] = False


class UserChanges(Strict, frozen=True, kw_only=True):
    """What to change of a user."""

    password: Password | None = None
    admin: bool | None = None


class OwnPassword(Strict, frozen=True, kw_only=True):
    """One's own new password."""

    old: Annotated[str, Meta(max_length=PASSWORD_LIMIT)]
    new: Password


class NewGroup(Strict, frozen=True, kw_only=True):
    """A group to make."""

    name: Name


class Given(Strict, frozen=True, kw_only=True):
    """A role to give."""

    role: Role


class NewToken(Strict, frozen=True, kw_only=True):
    """A robot token to make. `scopes`: `NS/*` or `NS/NAME`, and rights."""

    name: Name
    scopes: Annotated[dict[str, list[Right]], Meta(min_length=1, max_length=SCOPES_LIMIT)]
    days: Annotated[int, Meta(ge=1, le=3650, description="How long it is valid; null: until it is removed.")] | None = (
        DAYS
    )
    independent: Annotated[bool, Meta(description="For administrators: it does not depend on its maker.")] = False

    def rights(self) -> dict[ScopePath, Rights]:
        """The scopes, checked. Raises InvalidName, InvalidUsage."""
        return {parse_scope(path): parse_rights(rights) for path, rights in self.scopes.items()}


class Rotation(Strict, frozen=True, kw_only=True):
    """How to change the key."""

    drop_others: Annotated[bool, Meta(description="What was signed before ends within seconds.")] = False


async def read(request: Request, kind: type[T]) -> T:
    """The body as `kind`. Raises InvalidUsage, TooLarge, BodyStalled."""
    data = b"".join([chunk async for chunk in body_chunks(request, limit=BODY_LIMIT, stall_s=STALL_S)])
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidUsage(f"the body must be a JSON object as the API describes it: {_why(exc)}") from None


def _why(exc: Exception) -> str:
    """What msgspec says is wrong: names of fields and types, never values."""
    return str(exc)[:200] if isinstance(exc, msgspec.ValidationError) else "it cannot be read"


def listing(request: Request) -> Page:
    """The part of a list that is asked for. Raises InvalidUsage."""
    wanted = page(request.query_params, default=LIST_LIMIT)
    if not (wanted.after.isascii() and (wanted.after.isprintable()) and len(wanted.after) <= 64):
        raise InvalidUsage("after is what the Link header of the page before gave")
    return wanted


def if_match(request: Request) -> frozenset[str] | None:
    """The versions that a change may be made to."""
    return expected(request.headers.get("if-match"))


def versioned(value: Any) -> Response:
    """An answer with the version of what it shows as its ETag; nobody else may keep it."""
    response = private(value)
    response.headers["ETag"] = f'"{value.version}"'
    return response


def private(value: Any) -> Response:
    """An answer that no cache keeps."""
    response = pretty_response(value)
    response.headers["Cache-Control"] = "no-store"
    return response
