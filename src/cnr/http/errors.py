"""From a domain error to a status and a protocol's own code: one table per adapter, looked up along the MRO."""

from collections.abc import Mapping
from dataclasses import dataclass

from cnr.domain.errors import CnrError


@dataclass(frozen=True, slots=True)
class Wire:
    """How an error looks on the wire; `retry_after_s` adds the header of that name."""

    status: int
    code: str
    retry_after_s: int | None = None


ErrorTable = Mapping[type[CnrError], Wire]


def wire(table: ErrorTable, error: CnrError) -> Wire:
    """The entry of the nearest class in the table. Raises KeyError: a table must know every error.

    A test walks every leaf class against every table.
    """
    for kind in type(error).__mro__:
        if kind in table:
            return table[kind]
    raise KeyError(type(error).__name__)
