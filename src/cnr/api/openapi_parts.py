"""What an operation of the document is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from cnr.api.cnr_fields import LIST_LIMIT
from cnr.domain import errors
from cnr.domain.errors import CnrError

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a 200 has: for each media type the type of its body and an example (None: bytes or text)."""

    description: str
    content: Mapping[str, tuple[Any, Any]]
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter of the query string, or a header of the request."""

    name: str
    description: str
    schema: Mapping[str, Any]
    place: str = "query"


@dataclass(frozen=True, slots=True)
class Operation:
    """A route as a client sees it. `exact`: its {release} is one release, and no query for one."""

    tag: str
    name: str
    summary: str
    answer: Answer
    description: str = ""
    errors: tuple[CnrError, ...] = ()
    query: tuple[Query, ...] = ()
    body: Mapping[str, tuple[Any, Any]] | None = None
    exact: bool = False


UNAVAILABLE: Final = errors.StoreUnavailable("the store cannot be reached; nothing was changed")
UNKNOWN: Final = errors.OutcomeUnknown("the answer to a write was lost; it is safe to repeat the request")
NO_SPACE: Final = errors.StoreFull("no space is left; reads go on")
TOO_MANY: Final = errors.TooManyRequests("too many requests by your address: try again in 2 s", retry_after_s=2)
READ_ONLY: Final = errors.ReadOnly("this registry is read-only: nothing can be changed here now")
OFTEN: Final = (TOO_MANY,)
READ: Final = (TOO_MANY, UNAVAILABLE)
WRITE: Final = (READ_ONLY, TOO_MANY, UNAVAILABLE, UNKNOWN, NO_SPACE)
BAD_LIMIT: Final = errors.InvalidUsage(f"limit is a number from 1 to {LIST_LIMIT}", limit="0")
TEXT: Final = MappingProxyType({"type": "string"})
LIMIT: Final = Query(
    "limit", "At most so many; the Link header then leads on.", {"type": "integer", "minimum": 1, "maximum": LIST_LIMIT}
)
LINK: Final = MappingProxyType({"Link": 'The next page, `rel="next"`, where `limit` was given and there may be more.'})


def json_answer(description: str, kind: Any, example: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """A 200 with one JSON value."""
    return Answer(description, {JSON: (kind, example)}, headers or {})
