"""Which part of an index is asked for: `?chart=`, `?latest=`, `?since=`, `?channel=`, `?urls=oci`.

helm keeps a repository's query string, so that such an address can be added like any other.
"""

import re
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request

from cnr.domain.errors import InvalidName, InvalidUsage
from cnr.domain.names import Channel, parse_repository, parse_tag
from cnr.registry.chart_selection import EVERYTHING, Selection

_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2}))?"
)
_COUNT: Final = re.compile(r"[1-9][0-9]{0,8}")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_CHARTS: Final = 1000


def selection(request: Request, channel: str) -> Selection:
    """What the query asks for; `channel` where the path names one. Raises InvalidUsage, InvalidName."""
    if not request.scope["query_string"] and not channel:
        return EVERYTHING
    query = request.query_params
    name = channel or query.get("channel", "")
    return Selection(
        charts=_charts(query.getlist("chart")),
        latest=_count(query.get("latest")),
        since=_moment(query.get("since")),
        channel=Channel(parse_tag(name, what="channel's name")) if name else None,
        oci_host=_host(request, query.get("urls")),
        yanked=_included(query.get("yanked")),
    )


def _charts(listed: list[str]) -> tuple[str, ...]:
    names = sorted({name for part in listed for name in part.split(",") if name})
    if len(names) > _CHARTS:
        raise InvalidUsage(f"chart may name {_CHARTS} charts")
    for name in names:
        if "/" in parse_repository(name):
            raise InvalidName("chart is the name of a chart, without its namespace")
    return tuple(names)


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if not _COUNT.fullmatch(text):
        raise InvalidUsage("latest is not a valid positive integer")
    return int(text)


def _moment(text: str | None) -> int | None:
    """Microseconds UTC of a day, or of a time with a zone. A `+` that became a space is one again."""
    if text is None:
        return None
    try:
        if not _MOMENT.fullmatch(text.replace(" ", "+")):
            raise ValueError
        found = datetime.fromisoformat(text.replace(" ", "+"))
        found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return int(found.timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        raise InvalidUsage("since is a day (2026-01-31) or an RFC 3339 time (2026-01-31T12:00:00Z)") from None


def _included(text: str | None) -> bool:
    if text not in (None, "include"):
        raise InvalidUsage("yanked can be include only")
    return text is not None


def _host(request: Request, urls: str | None) -> str:
    if urls is None:
        return ""
    host = request.headers.get("host", "")
    if urls != "oci" or not _HOST.fullmatch(host):
        raise InvalidUsage("urls can be oci only, in a request with a Host header")
    return host
