"""Conditional requests: whether the client has the very bytes that it asks for. Source: RFC 9110 section 13."""


def names(header: str | None, tag: str) -> bool:
    """Whether an If-None-Match header names the entity tag `tag` (with its quotes), strong or weak, or any.

    `tag` has no comma. Source: RFC 9110 section 13.1.2.
    """
    if header is None:
        return False
    return any(part.strip().removeprefix("W/") in (tag, "*") for part in header.split(","))


def expected(header: str | None) -> frozenset[str] | None:
    """The opaque tags of an If-Match header, `*` for any; None without the header. Weak ones match nothing.

    Source: RFC 9110 section 13.1.1.
    """
    if header is None:
        return None
    parts = [part.strip() for part in header.split(",")]
    return frozenset(part if part == "*" else part[1:-1] for part in parts if part == "*" or _is_strong(part))


def _is_strong(tag: str) -> bool:
    return len(tag) >= 2 and tag[0] == tag[-1] == '"'
