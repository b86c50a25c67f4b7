import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cnr.config import SETTINGS, Config, table
from cnr.domain.limits import Limits
from cnr.domain.store_url import StoreUrl
from cnr.settings.setting import ConfigError


def test_defaults() -> None:
    config = Config.load({})
    assert (str(config.storage), config.host, config.port) == ("filesystem://", "127.0.0.1", 5000)
    assert config.database_url.is_absolute()
    assert config.database_url.name == "cnr-server"
    assert config.spool == config.database_url / "spool"
    assert config.workers == len(os.sched_getaffinity(0))
    assert config.limits == Limits()
    assert config.log_level == "info"
    assert not config.allow_reset


def test_a_flag_wins_over_the_environment_and_that_over_the_default() -> None:
    assert Config.load({"PORT": "1"}).port == 1
    assert Config.load({"PORT": "1"}, {"port": 2}).port == 2
    assert Config.load({"PORT": "1"}, {"port": None}).port == 1
    assert Config.load({"PORT": ""}).port == 5000


@pytest.mark.parametrize(
    "name",
    [
        "filesystem",
        "Filesystem",
        "cnr.models.kv.filesystem.db:FilesystemDB",
        "appr.models.kv.filesystem.db:FilesystemDB",
    ],
)
@pytest.mark.parametrize("variable", ["STORAGE", "CNR_DB_CLASS", "APPR_DB_CLASS"])
def test_the_filesystem_by_any_of_its_names(variable: str, name: str) -> None:
    config = Config.load({variable: name, "DATABASE_URL": "/data"})
    assert config.records_url == StoreUrl.of_folder(Path("/data"))


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({"STORAGE": "redis"}, "redis://localhost"),
        ({"STORAGE": "redis", "REDIS_HOST": "db:6380"}, "redis://db:6380"),
        ({"STORAGE": "appr.models.kv.redis.db:RedisDB", "REDIS_HOST": "db"}, "redis://db"),
        ({"STORAGE": "etcd", "ETCD_HOST": "[::1]:2379"}, "etcd://[::1]:2379"),
        ({"STORAGE": "redis://u:p@db:6380/3?timeout=1", "REDIS_HOST": "no"}, "redis://db:6380/3"),
        ({"STORAGE": "rediss://db"}, "rediss://db"),
        ({"STORAGE": "redis+sentinel://a:26379,b/main/1"}, "redis+sentinel://a:26379,b/main/1"),
        ({"STORAGE": "etcd://a,b:2379/registry"}, "etcd://a,b:2379/registry"),
        ({"STORAGE": "/data"}, "file:///data"),
        ({"STORAGE": "file:///da%20ta"}, "file:///da%20ta"),
    ],
)
def test_where_the_records_are(env: dict[str, str], url: str) -> None:
    assert str(Config.load(env).records_url) == url


def test_a_folder_in_storage_is_the_folder_of_everything() -> None:
    assert Config.load({"STORAGE": "/data"}).database_url == Path("/data")
    assert Config.load({"STORAGE": "/data", "DATABASE_URL": "/views"}).database_url == Path("/views")


def test_where_the_blobs_are() -> None:
    assert Config.load({}).blob_storage is None
    assert str(Config.load({"BLOB_STORAGE": "s3://bucket/a/b"}).blob_storage) == "s3://bucket/a/b"
    assert str(Config.load({"BLOB_STORAGE": "/files"}).blob_storage) == "file:///files"


@pytest.mark.parametrize("name", ["floppy", "s3", "s3://bucket", "cnr.models.kv.redis.db", "../x", "redis:/x", "://"])
def test_an_unknown_store_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="there is no such storage; use filesystem"):
        Config.load({"STORAGE": name})


@pytest.mark.parametrize(
    "url", ["redis://user:se/cr@et@", "redis://user:secret@h:x/0?password=secret", "floppy://a:secret@b", "etcd://"]
)
def test_a_password_is_never_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.load({"STORAGE": url})
    assert "secret" not in str(caught.value)
    assert "cr@et" not in str(caught.value)


def test_the_settings_show_no_password() -> None:
    config = Config.load({"STORAGE": "redis://user:secret@h/0?x=secret"})
    assert config.records_url.password == "secret"
    assert "secret" not in f"{config} {config.storage} {config.records_url!r}"


def test_the_old_class_variable_wins_over_storage() -> None:
    assert Config.load({"STORAGE": "floppy", "CNR_DB_CLASS": "filesystem"}).storage.scheme == "filesystem"
    with pytest.raises(ConfigError, match="APPR_DB_CLASS is 'tape'"):
        Config.load({"STORAGE": "filesystem", "APPR_DB_CLASS": "tape"})


@pytest.mark.parametrize("names", [("CNR_KV_PREFIX", "APPR_KV_PREFIX"), ("CNR_URI", "APPR_URI")])
def test_both_generations_of_variables(names: tuple[str, str]) -> None:
    new, old = (Config.load({name: "https://x"}) for name in names)
    assert new == old != Config.load({})
    assert Config.load({names[0]: "https://new", names[1]: "https://old"}) == Config.load({names[0]: "https://new"})


def test_folders_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in ("./data", "data", "~/data", str(tmp_path / "x" / ".." / "data")):
        assert Config.load({"DATABASE_URL": text}).database_url == tmp_path / "data"
    assert Config.load({"DATABASE_URL": "data", "CNR_SPOOL": "spool"}).spool == tmp_path / "spool"


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1048576", 1 << 20), ("512KiB", 1 << 19), ("64 MiB", 64 << 20), ("2g", 2 << 30), ("1TB", 1 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert Config.load({"CNR_MAX_PACKAGE": text}).limits.compressed_bytes == size


@pytest.mark.parametrize(
    ("variable", "text", "hint"),
    [
        ("PORT", "http", "a number from 0 to 65535"),
        ("PORT", "65536", "a number from 0 to 65535"),
        ("PORT", "-1", "a number from 0 to 65535"),
        ("PORT", "٣", "a number from 0 to 65535"),
        ("WORKERS", "0", "a number from 1"),
        ("DATABASE_URL", "postgres://db", "must be a folder"),
        ("DATABASE_URL", "a\0b", "must be a folder"),
        ("CNR_MAX_PACKAGE", "many", "use a size such as"),
        ("CNR_MAX_PACKAGE", "1.5MiB", "use a size such as"),
        ("CNR_DB_ALLOW_RESET", "maybe", "use true or false"),
        ("CNR_LOG_LEVEL", "loud", "use one of debug, info, warning, error"),
        ("CNR_URI", "charts.example.com", "use an address such as"),
        ("CNR_URI", "https://", "use an address such as"),
        ("CNR_TRUSTED_PROXIES", "10.0.0.0/8, proxy", "'proxy' is no IP address"),
        ("STORAGE", "filesystem:///data", "DATABASE_URL for the folder"),
        ("BLOB_STORAGE", "redis://h", "use s3://bucket/prefix"),
        ("REDIS_HOST", "a:b", "use a host"),
        ("CNR_KV_PREFIX", "é", "printable ASCII"),
    ],
)
def test_a_bad_value_is_one_sentence_that_names_the_variable(variable: str, text: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.load({variable: text})
    message = str(caught.value)
    assert message.startswith(f"{variable} is {text!r}: ")
    assert hint in message
    assert message.endswith(".")
    assert "\n" not in message


def test_a_bad_flag_is_named_as_the_flag() -> None:
    with pytest.raises(ConfigError, match="--port is 'x'"):
        Config.load({"PORT": "1"}, {"port": "x"})


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(ConfigError, match="there is no setting 'prot'"):
        Config.load({}, {"prot": 1})


@pytest.mark.parametrize(
    ("text", "allowed"), [("true", True), ("True", True), ("1", True), ("false", False), ("no", False)]
)
def test_reset_is_off_unless_allowed(text: str, allowed: bool) -> None:
    assert Config.load({"APPR_DB_ALLOW_RESET": text}).allow_reset is allowed


def test_the_environment_never_turns_debug_on_by_default() -> None:
    assert Config.load({"APP_ENV": "staging"}).log_level == "info"
    assert Config.load({"APP_ENV": "development"}).log_level == "debug"
    assert Config.load({"APP_ENV": "development", "CNR_LOG_LEVEL": "error"}).log_level == "error"


def test_trusted_proxies() -> None:
    assert Config.load({"CNR_TRUSTED_PROXIES": "10.0.0.0/8, ::1"}).trusted_proxies == ("10.0.0.0/8", "::1")
    assert Config.load({"CNR_TRUSTED_PROXIES": "*"}).trusted_proxies == ("*",)


def test_the_table_holds_every_setting_once() -> None:
    rows = list(table())
    assert [row.name for row in rows] == list(msgspec.structs.asdict(Config.load({})))
    names: list[Any] = [name for row in rows for name in (*row.env, row.flag) if name]
    assert len(names) == len(set(names))
    for row in rows:
        assert row.help.endswith((".", ".)"))
        assert row.env
        assert row.flag in (None, "--" + row.name.replace("_", "-"))


def test_every_default_is_written_as_a_user_would_write_it() -> None:
    written = {setting.name: setting.default for setting in SETTINGS if isinstance(setting.default, str)}
    assert Config.load({}, written) == Config.load({})
