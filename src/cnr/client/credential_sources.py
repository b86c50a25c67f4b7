"""Where credentials for a registry come from, in this order, where the environment names none:

1. what `cnr login` keeps;
2. REGISTRY_AUTH_FILE, which podman, skopeo and buildah know as well;
3. docker's config.json, in DOCKER_CONFIG or ~/.docker: also oras, crane and cosign use it;
4. podman's auth.json, of this session or kept;
5. what `helm registry login` keeps.

The first that has something for the registry counts.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import platformdirs

from cnr.client.credentials import NOBODY, Credentials
from cnr.client.docker_config import DockerConfig
from cnr.client.errors import HelperFailed, NoKeyring, UnusableConfig
from cnr.client.logins import FILE_NAME, Logins
from cnr.client.os_keyring import OsKeyring
from cnr.client.reference import RegistryAddress
from cnr.client.secret_file import SecretFile

Warn = Callable[[str], None]


def own_logins() -> Logins:
    """What `cnr login` keeps for the person whose process this is."""
    folder = Path(platformdirs.user_config_dir("cnr", appauthor=False))
    return Logins(SecretFile(folder / FILE_NAME), OsKeyring())


def docker_files(environ: Mapping[str, str], home: Path, user_id: int) -> list[Path]:
    """The files in docker's form that may be there, in the order in which they count."""
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    session = Path(environ.get("XDG_RUNTIME_DIR") or f"/run/containers/{user_id}")
    helm = Path(environ.get("HELM_CONFIG_HOME") or platformdirs.user_config_dir("helm", appauthor=False))
    given = environ.get("REGISTRY_AUTH_FILE")
    return [
        *([Path(given)] if given else []),
        Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json",
        session / "containers" / "auth.json" if environ.get("XDG_RUNTIME_DIR") else session / "auth.json",
        config / "containers" / "auth.json",
        Path(environ.get("HELM_REGISTRY_CONFIG") or helm / "registry" / "config.json"),
    ]


class CredentialSources:
    """Looks for credentials. `warn` hears of a source that cannot be asked; the search goes on behind it."""

    def __init__(self, logins: Logins, files: Sequence[Path], warn: Warn) -> None:
        self._logins = logins
        self._files = files
        self._warn = warn

    def find(self, registry: RegistryAddress, repository: str = "") -> Credentials:
        """What to show to `registry` for `repository`; nobody's where no source has something.

        Raises ClientError where our own file can be read by others.
        """
        try:
            if found := self._logins.find(registry):
                return found
        except NoKeyring as exc:
            self._warn(f"{exc}: going on without the login to {registry}")
        for path in self._files:
            try:
                if found := DockerConfig(path).find(registry, repository):
                    return found
            except (UnusableConfig, HelperFailed) as exc:
                self._warn(f"{exc}: going on without it")
        return NOBODY
