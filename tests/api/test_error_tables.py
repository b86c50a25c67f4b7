"""Every adapter's error table knows every error of the domain."""

from collections.abc import Iterator

import pytest

from cnr.api import cnr_errors, helm_errors, oci_errors
from cnr.domain import errors
from cnr.http.errors import ErrorTable, wire


def leaves(kind: type[errors.CnrError]) -> Iterator[type[errors.CnrError]]:
    below = kind.__subclasses__()
    if not below:
        yield kind
    for child in below:
        yield from leaves(child)


@pytest.mark.parametrize(
    "table", [cnr_errors.ERRORS, oci_errors.ERRORS, helm_errors.ERRORS], ids=["cnr", "oci", "helm"]
)
@pytest.mark.parametrize("kind", sorted(leaves(errors.CnrError), key=str))
def test_every_error_has_a_status_and_a_code(kind: type[errors.CnrError], table: ErrorTable) -> None:
    entry = wire(table, kind("why"))
    server_failed = issubclass(kind, errors.StoreTrouble)
    assert (500 if server_failed else 400) <= entry.status < (600 if server_failed else 500)
    assert entry.code.isupper() == (table is oci_errors.ERRORS)


def test_an_error_outside_the_table_is_noticed() -> None:
    with pytest.raises(KeyError):
        wire({}, errors.InvalidName("why"))
