"""What `cnr login` keeps: in the keyring, else in a file; a list in that file says of which registry what is where."""

from contextlib import suppress
from typing import Protocol

import msgspec

from cnr.client.credentials import Credentials, Unshown
from cnr.client.errors import ClientError, NoKeyring
from cnr.client.reference import RegistryAddress
from cnr.client.secret_file import SecretFile

FILE_NAME = "credentials.json"
_PORTS = {"http": 80, "https": 443}


class Keyring(Protocol):
    """As OsKeyring has it."""

    def keep(self, service: str, user: str, secret: str) -> None: ...
    def secret(self, service: str, user: str) -> str: ...
    def forget(self, service: str, user: str) -> None: ...


class Login(Unshown, omit_defaults=True, forbid_unknown_fields=True):
    """One registry's. The secret is the password, or with `verbatim` a whole Authorization header."""

    username: str = ""
    secret: str | None = None
    keyring: bool = False
    verbatim: bool = False


class _File(Unshown, forbid_unknown_fields=True):
    version: int = 1
    registries: dict[str, Login] = {}


class Logins:
    """The logins of one person. Every method may raise ClientError for a file that is not safe, or not ours."""

    def __init__(self, file: SecretFile, keyring: Keyring) -> None:
        self._file = file
        self._keyring = keyring

    def find(self, registry: RegistryAddress) -> Credentials | None:
        """What to show to `registry`; None without a login. Raises NoKeyring where the keyring keeps it back."""
        login = self._read().registries.get(_key(registry))
        if login is None:
            return None
        secret = self._keyring.secret(_service(registry), login.username) if login.keyring else login.secret
        return _credentials(login, secret or "")

    def keep(self, registry: RegistryAddress, who: Credentials) -> str:
        """Keeps what is shown to `registry` from now on, and returns where: `the keyring`, or the file's name."""
        verbatim, secret = who.fixed is not None, who.fixed or who.password
        login = Login(who.username, secret, verbatim=verbatim)
        try:
            self._keyring.keep(_service(registry), who.username, secret)
            login = Login(who.username, keyring=True, verbatim=verbatim)
        except NoKeyring:
            pass
        with self._file.changing():
            known = self._read()
            before = known.registries.get(_key(registry))
            known.registries[_key(registry)] = login
            self._file.write(_encoded(known))
        if before is not None and before.keyring and (not login.keyring or before.username != who.username):
            self._drop(registry, before)
        return "the keyring" if login.keyring else str(self._file.path)

    def forget(self, registry: RegistryAddress) -> Login | None:
        """Removes the login, from the keyring too, and returns it; None where there was none.

        Raises NoKeyring, and the login stays, where the keyring cannot be asked.
        """
        login = self._read().registries.get(_key(registry))
        if login is None:
            return None
        if login.keyring:
            self._keyring.forget(_service(registry), login.username)
        with self._file.changing():
            known = self._read()
            known.registries.pop(_key(registry), None)
            self._file.write(_encoded(known))
        return login

    def _drop(self, registry: RegistryAddress, login: Login) -> None:
        with suppress(NoKeyring):  # what is left there is used by nobody
            self._keyring.forget(_service(registry), login.username)

    def _read(self) -> _File:
        data = self._file.read()
        if data is None:
            return _File()
        try:
            found = msgspec.json.decode(data, type=_File)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            found = None
        if found is None or found.version != 1:
            raise ClientError(f"{self._file.path} is not as `cnr login` writes it: put it right or remove it")
        return found


def _encoded(known: _File) -> bytes:
    return msgspec.json.format(msgspec.json.encode(known), indent=2) + b"\n"


def _key(registry: RegistryAddress) -> str:
    """The address with its scheme: what was said to https is never sent by http."""
    port = None if registry.port == _PORTS[registry.scheme] else registry.port
    return RegistryAddress(registry.scheme, registry.host, port).url


def _service(registry: RegistryAddress) -> str:
    return f"cnr {_key(registry)}"


def _credentials(login: Login, secret: str) -> Credentials:
    if login.verbatim:
        return Credentials(fixed=secret)
    return Credentials(login.username, secret)
