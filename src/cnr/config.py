"""Settings: one table that gives name, type, default, environment variables, flag and help of each.

A flag wins over the environment, the environment over the default; of several variables the one named first
wins; an empty variable counts as absent. Source: contracts/cnr.md section 8 for the old server's variables.
"""

import dataclasses
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, Self

import msgspec
import platformdirs

from cnr import setting_types as types
from cnr.domain.limits import Limits
from cnr.domain.policy import IMMUTABILITIES, VISIBILITIES, Immutability, Policy, Visibility
from cnr.domain.store_url import FILE, Host, StoreUrl, without_secrets

DEFAULTS: Final = Limits()


class ConfigError(Exception):
    """A setting that cannot be used. The message is one sentence for whoever starts the server."""


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
    public_url: str
    trusted_proxies: tuple[str, ...]
    app_env: str
    access_log: str
    log_level: str
    max_json_body: int
    max_form_body: int
    body_timeout: int
    max_package: int
    max_unpacked: int
    max_members: int
    max_ratio: int
    max_chart_file: int
    max_metadata: int
    gc_interval: int
    gc_grace: int
    helm_path: str
    helm_hosts: tuple[str, ...]
    gc_untagged_after: int | None
    immutability: Immutability
    allow_force: bool
    visibility: Visibility
    auth: Literal["open", "authenticated"]
    auth_scheme: Literal["bearer", "basic"]
    insecure_open: bool

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
        )

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
class Setting:
    """One row of the table. `default` as a user would write it, or computed from the settings above it.

    `parse` raises ValueError with the end of a sentence that began with the setting's name and value.
    """

    name: str
    parse: Callable[[str], Any]
    default: str | Callable[[Mapping[str, Any]], str]
    env: tuple[str, ...]
    flag: str | None
    help: str
    default_text: str = ""

    def value(self, environ: Mapping[str, str], flags: Mapping[str, Any], above: Mapping[str, Any]) -> Any:
        """The parsed value. Raises ConfigError."""
        source, text = self._given(environ, flags, above)
        try:
            return self.parse(text)
        except ValueError as exc:
            raise ConfigError(f"{source} is {without_secrets(text)!r}: {exc}.") from None

    def _given(self, environ: Mapping[str, str], flags: Mapping[str, Any], above: Mapping[str, Any]) -> tuple[str, str]:
        if self.name in flags:
            return self.flag or self.name, str(flags[self.name])
        for name in self.env:
            if environ.get(name):
                return name, environ[name]
        return f"the default of {self.name}", self.default if isinstance(self.default, str) else self.default(above)


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


def _cores(above: Mapping[str, Any]) -> str:
    # Not os.cpu_count(): a container or taskset may leave us fewer.
    return str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _data_folder(above: Mapping[str, Any]) -> str:
    storage: StoreUrl = above["storage"]
    if storage.scheme == FILE:
        return storage.path
    return platformdirs.user_data_dir("cnr-server", appauthor=False)


LOG_LEVELS: Final = ("debug", "info", "warning", "error")

SETTINGS: Final = (
    Setting(
        "storage",
        types.storage,
        "filesystem",
        ("CNR_DB_CLASS", "APPR_DB_CLASS", "STORAGE"),
        "--storage",
        "Where packages are kept: filesystem, redis, etcd, or a URL: redis://user:password@host:6379/0, "
        "redis+sentinel://host1,host2/master/0, etcd://host1,host2, a folder.",
    ),
    Setting(
        "database_url",
        types.folder,
        _data_folder,
        ("DATABASE_URL",),
        "--database-url",
        "The folder of the store; with redis and etcd a local folder for what a server can make anew, one per server.",
        "the folder in STORAGE, else the user's data folder, cnr-server in it",
    ),
    Setting(
        "spool",
        types.folder,
        lambda above: str(above["database_url"] / "spool"),
        ("CNR_SPOOL",),
        "--spool",
        "The folder for long pushes while they arrive; files in it have no name and vanish by themselves.",
        "spool in the store's folder",
    ),
    Setting(
        "kv_prefix",
        types.key_prefix,
        "cnr/packages/",
        ("CNR_KV_PREFIX", "APPR_KV_PREFIX"),
        None,
        "Prefix of keys in redis and etcd, so that several registries can share one.",
    ),
    Setting(
        "redis_host", types.host, "localhost", ("REDIS_HOST",), None, "Host, or host:port, where STORAGE is redis."
    ),
    Setting("etcd_host", types.host, "localhost", ("ETCD_HOST",), None, "Host, or host:port, where STORAGE is etcd."),
    Setting(
        "blob_storage",
        types.blob_storage,
        "",
        ("BLOB_STORAGE",),
        "--blob-storage",
        "Where large files are kept: s3://bucket/prefix, gs://…, az://… or a folder.",
        "files beside the records, or records of redis and etcd",
    ),
    Setting(
        "max_chunked_blob",
        types.size,
        "64MiB",
        ("CNR_MAX_CHUNKED_BLOB",),
        "--max-chunked-blob",
        "Largest file in redis and etcd themselves; with BLOB_STORAGE there is no such limit.",
    ),
    Setting(
        "blob_redirect",
        types.size_or_off,
        "off",
        ("CNR_BLOB_REDIRECT",),
        "--blob-redirect",
        "From this size on, OCI clients are sent to the object store of BLOB_STORAGE for a file; off: never.",
    ),
    Setting(
        "allow_reset",
        types.yes_or_no,
        "false",
        ("CNR_DB_ALLOW_RESET", "APPR_DB_ALLOW_RESET"),
        None,
        "Whether the store may be emptied by a command.",
    ),
    Setting(
        "host",
        types.plain,
        "127.0.0.1",
        ("HOST",),
        "--host",
        "Address to listen on; 0.0.0.0 opens the server to the network.",
    ),
    Setting("port", types.whole(0, 65535), "5000", ("PORT",), "--port", "Port to listen on; 0 takes a free one."),
    Setting(
        "workers", types.whole(1, 256), _cores, ("WORKERS",), "--workers", "Worker processes.", "the number of cores"
    ),
    Setting(
        "public_url",
        types.public_url,
        "",
        ("CNR_URI", "APPR_URI"),
        "--public-url",
        "The address clients reach this server under, for the discovery page; else the Host header of a request.",
    ),
    Setting(
        "trusted_proxies",
        types.networks,
        "",
        ("CNR_TRUSTED_PROXIES",),
        "--trusted-proxies",
        "Addresses or networks, with commas, whose X-Forwarded-Proto and X-Forwarded-For are believed.",
    ),
    Setting(
        "app_env",
        types.plain,
        "production",
        ("APP_ENV",),
        None,
        "development: the log level is debug by default. Answers never show more.",
    ),
    Setting(
        "access_log",
        types.plain,
        "stdout",
        ("CNR_ACCESS_LOG",),
        "--access-log",
        "One JSON line per request to stdout, stderr or a file to append to; off for none.",
    ),
    Setting(
        "log_level",
        types.one_of(*LOG_LEVELS),
        lambda above: "debug" if above["app_env"] == "development" else "info",
        ("CNR_LOG_LEVEL",),
        "--log-level",
        f"What else is logged, to stderr: {', '.join(LOG_LEVELS)}.",
        "info",
    ),
    Setting(
        "max_json_body",
        types.size,
        types.size_text(DEFAULTS.json_body_bytes),
        ("CNR_MAX_JSON_BODY",),
        "--max-json-body",
        "Largest JSON body.",
    ),
    Setting(
        "max_form_body",
        types.size,
        types.size_text(DEFAULTS.form_body_bytes),
        ("CNR_MAX_FORM_BODY",),
        "--max-form-body",
        "Largest form.",
    ),
    Setting(
        "body_timeout",
        types.whole(1, 86400),
        "120",
        ("CNR_BODY_TIMEOUT",),
        "--body-timeout",
        "Seconds without a byte after which a body is given up.",
    ),
    Setting(
        "max_package",
        types.size,
        types.size_text(DEFAULTS.compressed_bytes),
        ("CNR_MAX_PACKAGE",),
        "--max-package",
        "Largest package, compressed.",
    ),
    Setting(
        "max_unpacked",
        types.size,
        types.size_text(DEFAULTS.unpacked_bytes),
        ("CNR_MAX_UNPACKED",),
        "--max-unpacked",
        "Largest package, unpacked.",
    ),
    Setting(
        "max_members",
        types.whole(1, 10**9),
        str(DEFAULTS.members),
        ("CNR_MAX_MEMBERS",),
        "--max-members",
        "Most files and folders in a package.",
    ),
    Setting(
        "max_ratio",
        types.whole(1, 10**6),
        str(DEFAULTS.ratio),
        ("CNR_MAX_RATIO",),
        "--max-ratio",
        "Highest ratio of a package's unpacked to its compressed size.",
    ),
    Setting(
        "max_chart_file",
        types.size,
        types.size_text(DEFAULTS.chart_file_bytes),
        ("CNR_MAX_CHART_FILE",),
        "--max-chart-file",
        "Largest file of a helm chart.",
    ),
    Setting(
        "max_metadata",
        types.size,
        types.size_text(DEFAULTS.metadata_bytes),
        ("CNR_MAX_METADATA",),
        "--max-metadata",
        "Largest metadata of a push.",
    ),
    Setting(
        "gc_interval",
        types.whole(0, 10**9),
        "21600",
        ("CNR_GC_INTERVAL",),
        "--gc-interval",
        "Seconds from one garbage collection in the background to the next; 0 for none.",
    ),
    Setting(
        "gc_grace",
        types.whole(0, 10**9),
        "86400",
        ("CNR_GC_GRACE",),
        "--gc-grace",
        "Seconds for which garbage collection spares what nothing names; the same on all servers of a store.",
    ),
    Setting(
        "helm_path",
        types.path_segment,
        "/helm",
        ("CNR_HELM_PATH",),
        "--helm-path",
        "The path of the classic Helm repository and the ChartMuseum API.",
    ),
    Setting(
        "helm_hosts",
        types.host_names,
        "",
        ("CNR_HELM_HOSTS",),
        "--helm-hosts",
        "Host names, with commas, that have the classic Helm repository and the ChartMuseum API at their root, too.",
    ),
    Setting(
        "gc_untagged_after",
        types.seconds_or_never,
        "never",
        ("CNR_GC_UNTAGGED_AFTER",),
        "--gc-untagged-after",
        "Seconds after which a manifest that a client pushed is collected if no tag names it and nothing refers to it.",
    ),
    Setting(
        "immutability",
        types.one_of(*IMMUTABILITIES),
        "releases",
        ("CNR_IMMUTABILITY",),
        "--immutability",
        "What may change after a push, where a namespace has no rule of its own: releases, strict or none.",
    ),
    Setting(
        "allow_force",
        types.yes_or_no,
        "true",
        ("CNR_ALLOW_FORCE",),
        "--allow-force",
        "Whether a push may replace a release with force, where a namespace has no rule of its own.",
    ),
    Setting(
        "visibility",
        types.one_of(*VISIBILITIES),
        "private",
        ("CNR_VISIBILITY",),
        "--visibility",
        "Who may pull what has no visibility of its own, where there are accounts: public (anybody) or private.",
    ),
    Setting(
        "auth",
        types.one_of("open", "authenticated"),
        "open",
        ("CNR_AUTH",),
        "--auth",
        "open: who reaches the server may do everything; authenticated: what accounts and tokens have a right to.",
    ),
    Setting(
        "auth_scheme",
        types.one_of("bearer", "basic"),
        "bearer",
        ("CNR_AUTH_SCHEME",),
        "--auth-scheme",
        "What OCI clients are asked for: bearer (tokens of /token) or basic. Both are taken.",
    ),
    Setting(
        "insecure_open",
        types.yes_or_no,
        "false",
        ("CNR_INSECURE_OPEN",),
        "--insecure-open",
        "Whether an open server may listen on addresses that others reach.",
    ),
)
