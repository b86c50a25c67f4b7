"""Settings of where everything is kept."""

from collections.abc import Mapping
from typing import Any, Final

import platformdirs

from cnr.domain.store_url import FILE, StoreUrl
from cnr.settings import types
from cnr.settings.setting import Setting


def _data_folder(above: Mapping[str, Any]) -> str:
    storage: StoreUrl = above["storage"]
    if storage.scheme == FILE:
        return storage.path
    return platformdirs.user_data_dir("cnr-server", appauthor=False)


STORAGE: Final = (
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
)
