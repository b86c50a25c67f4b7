"""The OCI API's error table knows every error of the domain."""

from collections.abc import Iterator

import pytest

from cnr.api.oci_errors import ERRORS
from cnr.domain import errors
from cnr.http.errors import wire


def leaves(kind: type[errors.CnrError]) -> Iterator[type[errors.CnrError]]:
    below = kind.__subclasses__()
    if not below:
        yield kind
    for child in below:
        yield from leaves(child)


@pytest.mark.parametrize("kind", sorted(leaves(errors.CnrError), key=str))
def test_every_error_has_a_status_and_a_code(kind: type[errors.CnrError]) -> None:
    entry = wire(ERRORS, kind("why"))
    server_failed = issubclass(kind, errors.StoreTrouble)
    assert (500 if server_failed else 400) <= entry.status < (600 if server_failed else 500)
    assert entry.code.isupper()
