"""Content codings that a client takes. Source: RFC 9110 section 12.5.3."""

import re
from typing import Final

_WEIGHT: Final = re.compile(r"\s*q\s*=\s*(?P<weight>[01](?:\.[0-9]{0,3})?)\s*", re.IGNORECASE)


def takes(header: str | None, coding: str) -> bool:
    """Whether an Accept-Encoding header asks for `coding` by name, and not with weight 0. A `*` does not count."""
    for part in (header or "").split(","):
        name, _, weight = part.partition(";")
        if name.strip().lower() == coding:
            found = _WEIGHT.fullmatch(weight)
            return found is None or float(found["weight"]) > 0
    return False
