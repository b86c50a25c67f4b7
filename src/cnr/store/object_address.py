"""Addresses of object stores: s3://bucket/prefix?endpoint=...&region=..., gs://bucket/prefix, az://container/prefix.

Credentials are not part of an address. They come from the environment or from where a machine of the provider has
them: AWS_ACCESS_KEY_ID and the rest of AWS_*, web identity, container and instance roles;
GOOGLE_APPLICATION_CREDENTIALS and the metadata server; AZURE_STORAGE_ACCOUNT_KEY and the rest of AZURE_*, workload
and managed identity.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, S3Store

from cnr.domain.store_url import StoreUrl

ObjectStore = S3Store | GCSStore | AzureStore

SCHEMES: Final[Mapping[str, frozenset[str]]] = {
    "s3": frozenset({"endpoint", "public_endpoint", "region", "virtual_hosted"}),
    "gs": frozenset({"endpoint"}),
    "az": frozenset({"endpoint", "public_endpoint", "account"}),
}
"""What may be said after the `?`, per scheme."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,221}", re.ASCII)
_PREFIX: Final = re.compile(r"(?:[A-Za-z0-9._-]+/)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an object store may take. Beyond that a call fails with StoreUnavailable."""

    connect_s: float = 5
    silence_s: float = 30
    """For the answer to begin, and from one of its bytes to the next."""
    retries: int = 4
    retry_s: float = 30
    """No retry begins later than this after the first attempt."""


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """A parsed address. `prefix` is empty or ends with a slash."""

    scheme: str
    bucket: str
    prefix: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, url: StoreUrl) -> "ObjectAddress":
        """Raises ValueError with the end of a sentence; it repeats nothing of the query, which may hold a secret."""
        if url.scheme not in SCHEMES:
            raise ValueError("use s3://bucket, gs://bucket or az://container")
        if url.username or url.password:
            raise ValueError("credentials come from the environment and not from the address")
        if len(url.hosts) != 1 or url.hosts[0].port is not None or _NAME.fullmatch(url.hosts[0].name) is None:
            raise ValueError(
                "after :// must stand the name of a bucket; its host goes to the end, as ?endpoint=https://…"
            )
        prefix = url.path.strip("/") + "/" if url.path.strip("/") else ""
        if _PREFIX.fullmatch(prefix) is None or {".", ".."} & set(prefix.split("/")):
            raise ValueError("the prefix may have letters, digits and . _ - between slashes")
        return cls(url.scheme, url.hosts[0].name, prefix, _checked(url.scheme, url.query))

    def connect(self, patience: Patience) -> ObjectStore:
        """The library's store. Touches no network. Raises ValueError as `parse` does."""
        return self._store(patience, self.options.get("endpoint"))

    def connect_public(self, patience: Patience) -> ObjectStore:
        """The same under the address by which clients reach it: signs URLs, and is never asked anything."""
        return self._store(patience, self.options.get("public_endpoint", self.options.get("endpoint")))

    def _store(self, patience: Patience, endpoint: str | None) -> ObjectStore:
        settings: dict[str, Any] = {
            "retry_config": {
                "max_retries": patience.retries,
                "retry_timeout": timedelta(seconds=patience.retry_s),
                "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=3)},
            },
            "client_options": {
                "connect_timeout": timedelta(seconds=patience.connect_s),
                "read_timeout": timedelta(seconds=patience.silence_s),
                "timeout": timedelta(days=1),  # of a whole body: a client may read slowly
            },
        }
        if endpoint is not None and endpoint.startswith("http://"):
            settings["client_options"]["allow_http"] = True  # said in the address, so meant
        try:
            return self._open(settings, {"endpoint": endpoint} if endpoint else {})
        except Exception as exc:  # the library's text may repeat a credential from the environment
            raise ValueError(f"the object store's settings cannot be used ({type(exc).__name__})") from None

    def _open(self, settings: dict[str, Any], config: Any) -> ObjectStore:
        if self.scheme == "s3":
            config["disable_bulk_delete"] = True  # one object at a time; not every store has the other
            if "region" in self.options:
                config["region"] = self.options["region"]
            if "virtual_hosted" in self.options:
                config["virtual_hosted_style_request"] = self.options["virtual_hosted"]
            return S3Store(self.bucket, config=config, **settings)
        if self.scheme == "az":
            if "account" in self.options:
                config["account_name"] = self.options["account"]
            return AzureStore(self.bucket, config=config, **settings)
        return GCSStore(self.bucket, config={"base_url": config["endpoint"]} if config else None, **settings)


def _checked(scheme: str, options: Mapping[str, str]) -> Mapping[str, str]:
    if options.keys() - SCHEMES[scheme]:
        raise ValueError(f"after the ? may stand {', '.join(sorted(SCHEMES[scheme]))}")
    for name in ("endpoint", "public_endpoint"):
        if name in options:
            _check_endpoint(name, options[name])
    if options.get("virtual_hosted", "true") not in ("true", "false"):
        raise ValueError("virtual_hosted is true or false")
    return options


def _check_endpoint(name: str, text: str) -> None:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or "@" in text:
        raise ValueError(f"{name} must be an address such as https://s3.example.com, without credentials")
