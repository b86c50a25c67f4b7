"""Settings: one table that gives name, type, default, environment variables, flag and help of each.

A flag wins over the environment, the environment over the default; of several variables the one named first
wins; an empty variable counts as absent. Source: contracts/cnr.md section 8 for the old server's variables.
"""

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, Self

import msgspec

from cnr.domain.limits import Limits
from cnr.domain.policy import Immutability, Policy, Quota, Visibility
from cnr.domain.store_url import Host, StoreUrl
from cnr.settings import types
from cnr.settings.accounts import ACCOUNTS
from cnr.settings.audit import AUDIT
from cnr.settings.limits import LIMITS
from cnr.settings.rules import RULES
from cnr.settings.serving import SERVING
from cnr.settings.setting import ConfigError, Setting
from cnr.settings.storage import STORAGE
from cnr.settings.traffic import TRAFFIC


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one server; sizes in bytes, paths absolute. `Config.load` is how to get one."""

    storage: StoreUrl
    database_url: Path
    spool: Path
    kv_prefix: str
    redis_host: Host
    etcd_host: Host
    blob_storage: StoreUrl | None
    max_chunked_blob: int
    blob_redirect: int | None
    allow_reset: bool
    host: str
    port: int
    workers: int
    drain: int
    public_url: str
    trusted_proxies: tuple[str, ...]
    tls_cert: Path | None
    tls_key: Path | None
    hsts: int
    helm_path: str
    helm_hosts: tuple[str, ...]
    read_only: bool
    app_env: str
    access_log: str
    log_level: str
    audit_log: str
    audit_size: int
    audit_days: int
    audit_keep: int
    audit_strict: bool
    header_timeout: int
    keep_alive_timeout: int
    write_timeout: int
    max_connections: int
    max_connections_per_address: int
    rate_per_address: float | None
    write_rate_per_address: float | None
    rate_per_caller: float | None
    write_rate_per_caller: float | None
    rate_burst: int
    login_failures: int
    max_json_body: int
    max_form_body: int
    body_timeout: int
    max_package: int
    max_unpacked: int
    max_members: int
    max_ratio: int
    max_chart_file: int
    max_metadata: int
    max_manifest: int
    max_blob: int
    max_uploads: int
    max_uploads_per_repository: int
    max_uploads_per_caller: int
    upload_timeout: int
    max_tags_per_namespace: int | None
    max_bytes_per_namespace: int | None
    gc_interval: int
    gc_grace: int
    gc_untagged_after: int | None
    immutability: Immutability
    allow_force: bool
    auth: Literal["open", "authenticated"]
    auth_scheme: Literal["bearer", "basic"]
    insecure_open: bool
    visibility: Visibility
    htpasswd: Path | None

    @property
    def policy(self) -> Policy:
        """The rules of namespaces that have none of their own."""
        after = self.gc_untagged_after
        age = None if after is None else timedelta(seconds=after)
        return Policy(self.immutability, self.allow_force, age, self.visibility)

    @property
    def records_url(self) -> StoreUrl:
        """Where the records are. Its scheme is `file`, or that of a driver."""
        if self.storage.scheme == types.FILESYSTEM:
            return StoreUrl.of_folder(self.database_url)
        hosts = {"redis": self.redis_host, "etcd": self.etcd_host}
        if self.storage.hosts or self.storage.scheme not in hosts:
            return self.storage
        return dataclasses.replace(self.storage, hosts=(hosts[self.storage.scheme],))

    @property
    def limits(self) -> Limits:
        """The limits of one push."""
        return Limits(
            json_body_bytes=self.max_json_body,
            form_body_bytes=self.max_form_body,
            compressed_bytes=self.max_package,
            unpacked_bytes=self.max_unpacked,
            members=self.max_members,
            ratio=self.max_ratio,
            chart_file_bytes=self.max_chart_file,
            metadata_bytes=self.max_metadata,
            manifest_bytes=self.max_manifest,
            blob_bytes=self.max_blob,
            uploads=self.max_uploads,
            uploads_per_repository=self.max_uploads_per_repository,
            uploads_per_caller=self.max_uploads_per_caller,
        )

    @property
    def quota(self) -> Quota:
        """What a namespace may have that has no quota of its own."""
        return Quota(self.max_tags_per_namespace, self.max_bytes_per_namespace)

    @classmethod
    def load(cls, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Self:
        """The settings of `flags` (by name; None is absent), `environ` and the defaults.

        Touches no file. Raises ConfigError for a value that cannot be used and for a name not in the table.
        """
        given = {name: value for name, value in (flags or {}).items() if value is not None}
        if unknown := sorted(given.keys() - {setting.name for setting in SETTINGS}):
            raise ConfigError(f"there is no setting {unknown[0]!r}")
        values: dict[str, Any] = {}
        for setting in SETTINGS:
            values[setting.name] = setting.value(environ, given, values)
        return cls(**values)


def warn_if_open(config: Config) -> None:
    """Say in the log that there are no accounts, for servers that hide from us which address they listen on."""
    if config.auth == "open" and not config.insecure_open:
        logging.getLogger("cnr").warning(
            "this server is open: whoever can reach it may change everything; CNR_AUTH=authenticated asks for accounts,"
            " CNR_INSECURE_OPEN=true says that it is meant so"
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A setting as a page of the documentation shows it."""

    name: str
    env: tuple[str, ...]
    flag: str | None
    default: str
    help: str
    is_switch: bool = False


def table() -> Iterator[Row]:
    """Every setting, in the order of the documentation."""
    for setting in SETTINGS:
        switch = setting.parse is types.yes_or_no
        yield Row(setting.name, setting.env, setting.flag, _shown_default(setting) or "none", setting.help, switch)


def _shown_default(setting: Setting) -> str:
    return setting.default_text or (setting.default if isinstance(setting.default, str) else "")


SETTINGS: Final = (*STORAGE, *SERVING, *AUDIT, *TRAFFIC, *LIMITS, *RULES, *ACCOUNTS)
