"""Conditional requests: whether the client has the very bytes that it asks for. Source: RFC 9110 section 13."""


def names(header: str | None, tag: str) -> bool:
    """Whether an If-None-Match header names the entity tag `tag` (with its quotes), strong or weak, or any.

    `tag` has no comma. Source: RFC 9110 section 13.1.2.
    """
    if header is None:
        return False
    return any(part.strip().removeprefix("W/") in (tag, "*") for part in header.split(","))
