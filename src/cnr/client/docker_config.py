"""Credentials in files as docker has them: config.json, podman's auth.json, helm's and oras' own.

Source: docker/cli, "config.json"; containers-auth.json(5); observed from docker, podman and oras.
"""

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cnr.client.credential_helper import ask_helper
from cnr.client.credentials import Credentials, Unshown
from cnr.client.errors import UnusableConfig
from cnr.client.reference import RegistryAddress

SIZE_LIMIT = 4 * 1024 * 1024
HUB_HOSTS = ("docker.io", "index.docker.io", "registry-1.docker.io")
_HUB_SERVER = "https://index.docker.io/v1/"
"""How docker calls its own registry wherever credentials are kept."""
_OLD_PATHS = ("", "v1", "v2")
"""A path behind a host that old clients wrote there, and that is no repository."""


class _Entry(Unshown):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


class _Config(Unshown, rename={"creds_store": "credsStore", "cred_helpers": "credHelpers"}):
    auths: dict[str, _Entry | None] | None = None
    creds_store: str | None = None
    cred_helpers: dict[str, str] | None = None


class DockerConfig:
    """The file at `path`, which need not be there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self, registry: RegistryAddress, repository: str = "") -> Credentials | None:
        """What is kept for `repository` in `registry`: by a helper, else in the file under the longest of its names.

        Raises UnusableConfig, HelperFailed.
        """
        config = self._read()
        if config is None:
            return None
        helper = _helper(config, registry)
        found = ask_helper(helper, _server(registry)) if helper else None
        return found or self._kept(config, registry, repository)

    def _read(self) -> _Config | None:
        try:
            with open(self.path, "rb") as file:
                data = file.read(SIZE_LIMIT)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise UnusableConfig(f"{self.path} cannot be read: {exc.strerror}") from None
        try:
            return msgspec.json.decode(data, type=_Config) if data.strip() else None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise UnusableConfig(f"{self.path} is not JSON as docker writes it") from None

    def _kept(self, config: _Config, registry: RegistryAddress, repository: str) -> Credentials | None:
        entries = _by_place(config.auths or {})
        for place in _places(registry, repository):
            entry = entries.get(place)
            if entry is None:
                continue
            try:
                found = _credentials(entry)
            except (binascii.Error, ValueError):
                raise UnusableConfig(f"what {self.path} has for {place} cannot be read") from None
            if found:
                return found
        return None


def _helper(config: _Config, registry: RegistryAddress) -> str | None:
    helpers = config.cred_helpers or {}
    names = (*HUB_HOSTS, _HUB_SERVER) if registry.host in HUB_HOSTS else (registry.authority,)
    return next((helpers[name] for name in names if helpers.get(name)), config.creds_store)


def _server(registry: RegistryAddress) -> str:
    return _HUB_SERVER if registry.host in HUB_HOSTS else registry.authority


def _by_place(auths: dict[str, _Entry | None]) -> dict[str, _Entry]:
    """The entries by HOST[:PORT][/path], those that are written so before those with a scheme or an old path."""
    exact: dict[str, _Entry] = {}
    old: dict[str, _Entry] = {}
    for key, entry in auths.items():
        if entry is None:
            continue
        scheme, _, rest = key.rpartition("://")
        host, _, path = rest.partition("/")
        path = path.rstrip("/")
        if scheme or path in _OLD_PATHS:
            (old if scheme or path else exact).setdefault(host.lower(), entry)
        else:
            exact.setdefault(f"{host.lower()}/{path}", entry)
    return old | exact


def _places(registry: RegistryAddress, repository: str) -> Iterator[str]:
    """The names that count for a repository, the longest first. Source: containers-auth.json(5)."""
    hosts = HUB_HOSTS if registry.host in HUB_HOSTS else (registry.authority,)
    parts = repository.split("/") if repository else []
    for length in range(len(parts), -1, -1):
        for host in hosts:
            yield "/".join((host, *parts[:length]))


def _credentials(entry: _Entry) -> Credentials | None:
    """Raises ValueError for text that is not what it should be."""
    if entry.registrytoken:
        return Credentials(fixed=_sendable(f"Bearer {entry.registrytoken}"))
    if entry.identitytoken:
        return Credentials(identity_token=entry.identitytoken)
    if not entry.auth:
        return Credentials(entry.username, entry.password) or None
    name, colon, password = base64.b64decode(entry.auth, validate=True).decode().partition(":")
    if not colon:
        raise ValueError("no colon")
    # Docker pads with zero bytes. Source: docker/cli, decodeAuth.
    return Credentials(name, password.strip("\0")) or None


def _sendable(header: str) -> str:
    if not (header.isascii() and header.isprintable()):
        raise ValueError("not to be sent")
    return header
