"""What an object store's failure means here.

The library's own text has addresses in it, and on Azure they may carry a signature: it goes into no message and no
log. What is told is the status and the code that the store answered with.
"""

import re
from typing import Final

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from cnr.domain.errors import StoreFull, StoreTrouble, StoreUnavailable

FAILURES: Final = (BaseError, OSError)
"""What a call of the library raises. OSError: its writer, and FileNotFoundError for 404."""

_STATUS: Final = re.compile(r"status code: (\d{3})\b", re.ASCII)
_CODE: Final = re.compile(r"<Code>(\w{1,64})</Code>", re.ASCII)
_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted")
_FULL: Final = ("InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "AccountLimitExceeded")
"""Codes of S3's API and of Ceph, MinIO and Azure. Status 507 is one, whatever its code. Source: their manuals."""


class NoAccess(StoreUnavailable):
    """The store is there and will not let us in, or has no such bucket: no repetition helps."""


def status_of(exc: BaseException) -> int | None:
    """The HTTP status that the store answered with."""
    found = _STATUS.search(str(exc))
    return int(found[1]) if found else None


def is_absent(exc: BaseException) -> bool:
    """Whether the object is not there, while its bucket is."""
    return isinstance(exc, FileNotFoundError) and _code(exc) not in _NO_BUCKET


def is_beyond_the_end(exc: BaseException) -> bool:
    """Whether a range was asked for that begins at the object's end or above."""
    said = str(exc)
    # The third: Azurite answers "bytes 0--1/0" for a range of an empty object.
    return status_of(exc) == 416 or "Wanted range starting at" in said or "CONTENT_RANGE" in said


def cannot_do(exc: BaseException) -> bool:
    """Whether the store refused the request for what it is, as S3 does a copy of more than 5 GB."""
    return status_of(exc) in (400, 405, 413, 501) or type(exc).__name__ == "NotSupportedError"


def trouble(exc: BaseException) -> StoreTrouble:
    """The error to raise `from None`."""
    status, code = status_of(exc), _code(exc)
    answer = " ".join(filter(None, (str(status or ""), code)))
    if code in _NO_BUCKET:
        return NoAccess(f"the object store has no such bucket ({code})")
    if status == 507 or code in _FULL:
        return StoreFull(f"the object store has no room left ({answer})")
    if isinstance(exc, PermissionDeniedError | UnauthenticatedError) or status in (401, 403):
        return NoAccess(f"the object store does not let this server in ({answer or 'no credentials'})")
    if status is not None:
        return StoreUnavailable(f"the object store answered {answer}")
    return StoreUnavailable("the object store cannot be reached, or did not answer in time")


def _code(exc: BaseException) -> str:
    found = _CODE.search(str(exc))
    return found[1] if found else ""
