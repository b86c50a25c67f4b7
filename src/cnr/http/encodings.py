"""Content codings that a client takes. Source: RFC 9110 section 12.5.3."""

import re
from collections.abc import Sequence
from typing import Final, TypeVar

C = TypeVar("C", bound=str)

_WEIGHT: Final = re.compile(r"\s*q\s*=\s*(?P<weight>[01](?:\.[0-9]{0,3})?)\s*", re.IGNORECASE)


def chosen(header: str | None, codings: Sequence[C]) -> C | None:
    """The one of `codings` that an Accept-Encoding header weighs highest, of equals the first; None if it names none.

    A `*` names none: who writes it can do without, and identity is what most of these clients mean.
    """
    weights: dict[str, float] = {}
    for part in (header or "").split(","):
        name, _, weight = part.partition(";")
        found = _WEIGHT.fullmatch(weight)
        weights.setdefault(name.strip().lower(), float(found["weight"]) if found else 1.0)
    best = max(codings, key=lambda coding: weights.get(coding, 0.0))
    return best if weights.get(best, 0.0) > 0 else None
