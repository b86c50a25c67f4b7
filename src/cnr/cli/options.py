"""The options that all client verbs share, and the connection that they ask for."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import click

from cnr.cli.output import note
from cnr.client.authorizer import check_header
from cnr.client.cnr import ANY_FORMAT, CnrClient
from cnr.client.credential_sources import CredentialSources, docker_files, own_logins
from cnr.client.credentials import Credentials
from cnr.client.errors import InvalidReference
from cnr.client.oci import OciClient
from cnr.client.reference import AtRelease, Reference, RegistryAddress, parse_reference, parse_selector
from cnr.client.transport import Connection
from cnr.domain.errors import BadInput
from cnr.domain.names import parse_format

P = ParamSpec("P")
R = TypeVar("R")
DEFAULT_PREFIX = "/cnr"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the shared options say. `format` is None where any will do."""

    insecure: bool
    cacert: Path | None
    format: str | None
    output: str

    def connect(self, registry: RegistryAddress, path: object = "") -> CnrClient:
        """A client for `registry`, as who one is there for `path`, and with the path prefix of the environment."""
        who = credentials_for(registry, path)
        return CnrClient(self.connection(registry, who), who)

    def connect_oci(self, registry: RegistryAddress, path: object = "") -> OciClient:
        """A client for the OCI API of `registry`, as who one is there for `path`."""
        who = credentials_for(registry, path)
        return OciClient(self.connection(registry, who), who)

    def connection(self, registry: RegistryAddress, who: Credentials) -> Connection:
        """How to reach `registry` as `who`."""
        prefix = os.environ.get("APPR_URL_PREFIX", DEFAULT_PREFIX).strip("/")
        return Connection(
            registry,
            prefix=f"/{prefix}" if prefix else "",
            token=who.fixed or who.basic,
            insecure=self.insecure,
            cacert=self.cacert,
        )


def credentials_for(registry: RegistryAddress, path: object = "", *, prefix: str = "CNR") -> Credentials:
    """Who one is at `registry`, for the repository or namespace `path`: by the environment, else by what logins left.

    Nothing is asked that keeps passwords, neither file, keyring nor helper, where the environment says it.
    """
    given = credentials(prefix)
    if given:
        return given
    files = docker_files(os.environ, Path.home(), os.geteuid())
    return CredentialSources(own_logins(), files, note).find(registry, str(path))


def credentials(prefix: str = "CNR") -> Credentials:
    """The credentials in the environment: <prefix>_TOKEN, or <prefix>_USERNAME and <prefix>_PASSWORD."""
    token = f"{prefix}_TOKEN"
    return Credentials(
        username=os.environ.get(f"{prefix}_USERNAME", ""),
        password=os.environ.get(f"{prefix}_PASSWORD", ""),
        fixed=check_header(os.environ.get(token), token),
    )


def shared_options(function: Callable[Concatenate[Settings, P], None]) -> Callable[P, None]:
    """Adds -k, --cacert, -t and --output to a command, which gets them as its first argument, a Settings."""
    return _with_options(function, (_FORMAT, *_OPTIONS))


def registry_options(function: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """As `shared_options`, without -t: for what has no format."""
    return _with_options(function, _OPTIONS)


def _with_options(
    function: Callable[Concatenate[Settings, P], R], options: Sequence[Callable[[Callable[P, R]], Callable[P, R]]]
) -> Callable[P, R]:
    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        taken: dict[str, Any] = {name: kwargs.pop(name) for name in ("insecure", "cacert", "output")}
        format = _format(cast("str | None", kwargs.pop("media_type"))) if _FORMAT in options else None
        return function(Settings(format=format, **taken), *args, **kwargs)

    command: Callable[P, R] = wrapped
    for option in reversed(options):
        command = option(command)
    return command


_FORMAT = click.option(
    "-t",
    "--media-type",
    metavar="FORMAT",
    envvar="APPR_DEFAULT_MEDIA_TYPE",
    help="The package's format: helm, kpm, docker-compose, ...",
)

_OPTIONS = (
    click.option(
        "--output",
        type=click.Choice(["text", "json", "yaml"]),
        default="text",
        show_default=True,
        help="How to print the answer.",
    ),
    click.option("-k", "--insecure", is_flag=True, help="Do not verify the server's certificate."),
    click.option(
        "--cacert",
        metavar="FILE",
        envvar="APPR_CA_BUNDLES",
        type=click.Path(path_type=Path),
        help="Certificates of the authorities to trust as well.",
    ),
)

version_option = click.option(
    "-v", "--version", "release", metavar="RELEASE", help="The release or range, instead of @RELEASE."
)


def _format(text: str | None) -> str | None:
    return None if text in (None, "", ANY_FORMAT) else parse_format(str(text))


def reference_with(text: str, release: str | None) -> Reference:
    """The reference, with `release` (from --version) in the place of its selector. Raises InvalidReference."""
    reference = parse_reference(text)
    if release is None:
        return reference
    if reference.selector is not None:
        raise InvalidReference("give the release once: behind the name or with --version")
    try:
        return Reference(reference.registry, reference.package, parse_selector(release))
    except BadInput as exc:
        raise InvalidReference(f"--version {release[:200]!a}: {exc.message}") from None


def exact_release(reference: Reference) -> str | None:
    """The release that `reference` names by itself, be it exact or not; None for a channel, a digest or nothing."""
    return reference.selector.query if isinstance(reference.selector, AtRelease) else None
