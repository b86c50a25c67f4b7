"""What can go wrong on the way to a registry and back.

ClientError
├── InvalidReference     an address or reference that cannot be read
├── InvalidPackage       a local directory or file that cannot be pushed as it is
├── Unreachable          no answer: network, time-out, a broken connection, or a server that is overloaded
│   └── NoConnection       not even a connection: name, port, TLS
├── BadAnswer            an answer, but not that of an app registry
├── Damaged              the bytes that came do not have the size or digest that was promised
├── UnsafeArchive        an archive that would write outside its folder, or that is beyond the limits
├── AlreadyHere          the place to write to is taken
├── NotLoggedIn          there is no login to forget
├── NoKeyring            no keyring that keeps secrets, or it keeps them back
├── HelperFailed         a credential helper that is not there or does not work
├── UnusableConfig       a file of docker's that cannot be read
└── Refusal              the registry's own error: `status`, `code`, `message`, `details`
    ├── NotFound           404
    ├── Exists             409
    └── NotAllowed         401, 403
"""

from typing import Any


class ClientError(Exception):
    """Base of all that the client raises. The text is one sentence for a person.

    `final`: it was tried again and again already.
    """

    final = False


class InvalidReference(ClientError):
    """An address or a reference is outside its grammar. The text never repeats a password."""


class InvalidPackage(ClientError):
    """What was to be pushed cannot be: no known format, a link out of the directory, an unreadable manifest."""


class Unreachable(ClientError):
    """The registry gave no answer that counts. Asking again may help, after `retry_after` seconds if it said so."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoConnection(Unreachable):
    """Nobody is there by this name and port, or nobody who can be trusted."""


class BadAnswer(ClientError):
    """The answer is not that of an app registry."""


class Damaged(ClientError):
    """Downloaded bytes have another size or digest than the registry promised. Nothing was kept."""


class UnsafeArchive(ClientError):
    """Extracting would write outside the folder, make a device, or pass a limit. Nothing was kept."""


class AlreadyHere(ClientError):
    """The file or folder to write exists."""


class NotLoggedIn(ClientError):
    """There is no login to this registry."""


class NoKeyring(ClientError):
    """There is no keyring, or it does not answer, or it says no."""


class HelperFailed(ClientError):
    """A credential helper is not there, or does something else. The text repeats nothing secret that it printed."""


class UnusableConfig(ClientError):
    """A file in docker's form cannot be read. The text repeats nothing of it but a registry's name."""


class Refusal(ClientError):
    """The registry understood and said no. `details` as it sent them."""

    def __init__(self, message: str, *, status: int, code: str = "", details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details or {}


class NotFound(Refusal):
    """No such package, release, format, channel or blob."""


class Exists(Refusal):
    """What is stored already forbids the change."""


class NotAllowed(Refusal):
    """The credentials are missing, wrong, or not enough."""
