"""What the audit log says of a change, a login or a denial."""

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from cnr.domain.printable import printable

Kind = Literal["user", "token", "anonymous", "unknown", "open", "local", "server"]
"""Who: a user; a robot token; nobody in particular; who showed credentials that are wrong; anybody, where a server has
no accounts; a user of the machine, on the command line; the server itself."""
Result = Literal["ok", "denied", "failed", "unknown"]
"""`unknown`: the store's answer was lost, so that the change may have happened or not."""

TEXT: Final = 200
"""Characters of one value. What is longer ends with an ellipsis."""


class Who(msgspec.Struct, frozen=True, omit_defaults=True):
    """`name` of the user, or of the token; `token` is the token's id."""

    kind: Kind
    name: str = ""
    token: str = ""


ANONYMOUS: Final = Who("anonymous")
OPEN: Final = Who("open")
SERVER: Final = Who("server")


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the log, but for its time.

    `call` is a route such as `PUT /v2/{name}/manifests/{reference}`, or a verb of the command line; `target` what of
    the repository was meant: a tag, a digest, a channel. `code` is the protocol's own.
    """

    result: Result
    who: Who
    action: str
    protocol: str
    call: str
    repository: str = ""
    target: dict[str, Any] = {}
    status: int = 0
    code: str = ""
    address: str = ""
    agent: str = ""
    request: str = ""


Record = Callable[[Event], None]
"""Takes an event. Never raises: what cannot be written is the log's business."""


def short(value: object) -> str:
    """`value` as text that fits in a line: without control characters, and of at most TEXT characters."""
    text = printable(str(value)[: 4 * TEXT])
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"
