"""The operating system's keyring, where there is one that keeps secrets.

The library is an extra (`cnr-server[keyring]`) and is imported when it is needed. Its own choice is not enough: it
would also take a file of plain text, or nothing at all, for a keyring; and a locked one may wait for a person for ever.
"""

import os
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from cnr.client.errors import NoKeyring

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

ANSWER_LIMIT_S = 30.0
"""Long enough for a person to unlock it."""
_SYSTEMS = ("macOS", "Windows", "SecretService", "libsecret", "kwallet")
_PREFIX = "keyring.backends."
_CHOSEN = "PYTHON_KEYRING_BACKEND"
_RECOMMENDED = 1
"""From this priority on, a backend is one that its maker recommends. Source: keyring, "Backends"."""


class OsKeyring:
    """Secrets by service and user. Every method may raise NoKeyring, and answers within `limit_s`."""

    def __init__(self, limit_s: float = ANSWER_LIMIT_S) -> None:
        self._limit_s = limit_s

    def keep(self, service: str, user: str, secret: str) -> None:
        """Keeps the secret, and has read it back."""

        def work(backend: "KeyringBackend") -> None:
            backend.set_password(service, user, secret)
            if backend.get_password(service, user) != secret:
                raise NoKeyring("the keyring does not give back what it was given")

        self._run(work)

    def secret(self, service: str, user: str) -> str:
        """The secret. Raises NoKeyring also where it has none."""
        found = self._run(lambda backend: backend.get_password(service, user))
        if found is None:
            raise NoKeyring("the keyring has nothing under this name")
        return found

    def forget(self, service: str, user: str) -> None:
        """Removes the secret, if it is there."""

        def work(backend: "KeyringBackend") -> None:
            if backend.get_password(service, user) is not None:
                backend.delete_password(service, user)

        self._run(work)

    def _run(self, work: Callable[["KeyringBackend"], T]) -> T:
        """What `work` does with the keyring, in a thread that is left behind when it takes too long."""
        answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                answers.put((work(_backend()), None))
            except BaseException as exc:
                answers.put((None, exc))

        threading.Thread(target=run, daemon=True).start()
        try:
            answer, failure = answers.get(timeout=self._limit_s)
        except queue.Empty:
            raise NoKeyring(f"the keyring did not answer within {self._limit_s:g} seconds") from None
        if isinstance(failure, NoKeyring):
            raise failure from None
        if failure is not None:  # whatever a backend raises: its text may hold anything
            raise NoKeyring(f"the keyring cannot be used ({type(failure).__name__})") from None
        return answer  # type: ignore[return-value]


def _backend() -> "KeyringBackend":
    try:
        import keyring
    except ImportError:
        raise NoKeyring("the library keyring is not installed (cnr-server[keyring])") from None
    found = keyring.get_keyring()
    usable: list[KeyringBackend] = [each for each in getattr(found, "backends", [found]) if _keeps_secrets(each)]
    if not usable:
        raise NoKeyring("this system has no keyring that keeps secrets")
    return usable[0]


def _keeps_secrets(backend: "KeyringBackend") -> bool:
    """Whether it is an operating system's; or one that somebody chose by name and that is no stopgap."""
    module = type(backend).__module__
    if module.startswith(_PREFIX):
        return module.removeprefix(_PREFIX) in _SYSTEMS
    chosen = os.environ.get(_CHOSEN, "")
    return chosen == f"{module}.{type(backend).__qualname__}" and backend.priority >= _RECOMMENDED
