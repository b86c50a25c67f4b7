"""What reads bytes or text of strangers, each with what has to hold for any of them, and seeds to begin with.

A target returns, or raises AssertionError; the errors that its parser declares are caught here, and no others. What
takes more than libFuzzer's time-out for one input is a fault as well.
"""

import asyncio
import base64
import gzip
import io
import json
import re
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cnr.auth.htpasswd import read_entries
from cnr.auth.scopes import parse_scopes, repository_of
from cnr.domain import account, digest, names, version
from cnr.domain.archive import HELM, inspect
from cnr.domain.base64_text import decode
from cnr.domain.chart import Chart, parse_chart, summarize
from cnr.domain.chart_entry import chart_of_config, index_entry
from cnr.domain.chart_version import archive_path, chart_order, is_chart_version, split_archive_name
from cnr.domain.digest import Digest
from cnr.domain.errors import BadInput, InvalidArchive, InvalidUsage, TooLarge
from cnr.domain.gunzip import PIECE_BYTES, gunzip
from cnr.domain.limits import Limits
from cnr.domain.manifest import blobs_of, chart_layer, needed_blobs, parse_manifest, provenance_layer
from cnr.domain.provenance import parse_provenance
from cnr.domain.tar_reader import TarReader
from cnr.domain.yaml_text import load
from cnr.http.json_stream import InvalidJson, read_object
from cnr.http.multipart import FormFiles
from cnr.http.ranges import RangeNotSatisfiable, parse_range
from cnr.http.spool import Spool
from cnr.store import keys

LIMITS: Final = Limits(compressed_bytes=1 << 20, unpacked_bytes=4 << 20, members=200)
SPOOL: Final = Path(tempfile.gettempdir())
DIGEST: Final = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Target:
    """`check` holds for any bytes. `words`: pieces that inputs are made of."""

    check: Callable[[bytes], None]
    seeds: Sequence[bytes]
    words: Sequence[bytes] = ()


def _tar(files: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


CHART: Final = b"apiVersion: v2\nname: app\nversion: 1.0.0+b\nmaintainers: [{name: a}]\ndependencies: [{name: b}]\n"
TAR: Final = _tar({"app/Chart.yaml": CHART, "app/" + "x" * 120: b"x"})


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """`data` in pieces."""
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def later(data: bytes, size: int) -> AsyncIterator[bytes]:
    for piece in cut(data, size):
        yield piece


def _short(message: str) -> None:
    assert len(message) < 1000


def _same(one: object, other: object) -> None:
    assert one == other


def check_gunzip(data: bytes) -> None:
    """What is unpacked is what Python unpacks; and no piece is large."""
    try:
        pieces = list(gunzip(cut(data, 7), member_limit=5))
    except (InvalidArchive, TooLarge):
        return
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)
    assert b"".join(pieces) == gzip.decompress(data)


def _members(data: bytes, size: int) -> tuple[str, int]:
    """What the members are, or why there are none, and how many bytes are in them."""
    reader = TarReader(cut(data, size), member_limit=50)
    try:
        found = [(member, b"".join(reader.data())) for member in reader]
    except (InvalidArchive, TooLarge) as exc:
        return exc.message, 0
    return f"{found} {reader.lone_zero_block}", sum(len(content) for _, content in found)


def check_tar(data: bytes) -> None:
    """Wherever the stream is cut, the same members; they have no more data than there is."""
    found = _members(data, 1 << 20)
    assert found == _members(data, 513) == _members(data, 100)
    assert found[1] <= len(data)


def check_archive(data: bytes) -> None:
    """Whatever it is, what is said of it can be shown."""
    packed = data if data[:2] == b"\x1f\x8b" else gzip.compress(data, 1, mtime=0)
    try:
        found = inspect([packed], LIMITS, HELM)
    except BadInput:
        return
    assert found.unpacked_size <= LIMITS.unpacked_bytes
    assert found.size == len(packed)
    summary = summarize(found)
    assert summary.description.isprintable()


def check_yaml(data: bytes) -> None:
    """No value is anything but text, lists, mappings and nulls."""
    with suppress(InvalidArchive):
        _plain(load(data, what="it"), 70)


def _plain(value: Any, depth: int) -> None:
    assert depth
    assert value is None or isinstance(value, str | list | dict)
    for each in value.items() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(value, dict):
            assert isinstance(each[0], str)
            each = each[1]
        _plain(each, depth - 1)


def check_chart(data: bytes) -> None:
    with suppress(InvalidArchive):
        _entry(parse_chart(data))


def check_config(data: bytes) -> None:
    """What a client says in the config of a chart."""
    with suppress(InvalidArchive):
        _entry(chart_of_config(data))


def _entry(chart: Chart) -> None:
    """Its entry in an index is JSON on one line that YAML reads as well, and that no terminal obeys."""
    entry = index_entry(chart, Digest(DIGEST), created_at=0)
    found = json.loads(entry)
    assert found["digest"] == "0" * 64
    assert not re.search(b"[\x00-\x1f\x7f]", entry)
    assert "\x85" not in entry.decode()
    assert None not in found.values()


def check_manifest(data: bytes) -> None:
    try:
        found = parse_manifest(data)
    except InvalidUsage as exc:
        _short(exc.message)
        return
    assert not (found.layers is not None and found.manifests is not None)
    chart_layer(found), provenance_layer(found)
    assert {*needed_blobs(found)} <= {*blobs_of(found)}


async def _document(data: bytes, size: int) -> object:
    try:
        found = await read_object(later(data, size), spool_folder=SPOOL)
    except (InvalidJson, TooLarge) as exc:
        return type(exc)
    try:
        return {name: _whole(value) for name, value in found.fields.items()}
    finally:
        found.close()


def _whole(value: object) -> object:
    return b"".join(value.chunks()).decode() if isinstance(value, Spool) else value


def check_json(data: bytes) -> None:
    """As json.loads has it, wherever the stream is cut; long strings too, which go another way."""
    for body in (data, data.replace(b"LONG", b"x" * 70_000, 1)):
        found = asyncio.run(_document(body, 1 << 20))
        assert found == asyncio.run(_document(body, 1000 if len(body) > 1000 else 1))
        if isinstance(found, dict):
            assert found == json.loads(body)


def check_range(data: bytes) -> None:
    text = data.decode("latin-1")
    for size in (0, 1, 1000, 1 << 40):
        try:
            found = parse_range(text, size)
        except RangeNotSatisfiable as exc:
            _same(exc.content_range, f"bytes */{size}")
        else:
            assert found is None or 0 <= found.start < found.stop <= size


def check_names(data: bytes) -> None:
    """What is taken is taken as it is, and is one part of a key: no path, nothing that a terminal or a log obeys."""
    text = data.decode("utf-8", "surrogateescape")
    for parse in (names.parse_tag, names.parse_format, account.parse_user, account.parse_label):
        with suppress(BadInput):
            assert _harmless(parse(text)) == text or parse is names.parse_format
    with suppress(BadInput):
        repository = names.parse_repository(text)
        assert _harmless(repository) == text
        assert ".." not in repository.split("/")
        for key in (keys.repo(repository), keys.tag(repository, "v1"), keys.blob(repository, Digest(DIGEST))):
            assert keys.split(key).repository == repository
    with suppress(BadInput):
        parsed = digest.parse_digest(text)
        assert re.fullmatch("sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", parsed)
    namespace, _, name = text.partition("/")
    with suppress(BadInput):
        assert names.PackageName.of(names.PackageName.parse(namespace, name).repository) is not None
    with suppress(BadInput):
        account.parse_path(text), account.parse_scope(text)


def _harmless(text: str) -> str:
    assert re.fullmatch(r"[A-Za-z0-9._/@+-]+", text)
    return text


def check_version(data: bytes) -> None:
    """A version is its own text; tags and versions go to and fro; a query finds something or is refused."""
    text = data.decode("utf-8", "surrogateescape")
    with suppress(BadInput):
        release = version.parse_release(text)
        assert version.release_of(version.tag_of(release)) == release == text
        assert version.highest([release]) == release
    with suppress(BadInput):
        version.resolve(text, [version.parse_release("1.0.0"), version.parse_release("2.0.0-rc.1")])
    with suppress(BadInput):
        version.parse_channel(text)
    if is_chart_version(text):
        chart_order(text)
        path = archive_path("app", text)
        assert ("app", text) in split_archive_name(path.rpartition("/")[2])
    split_archive_name(text)


def check_multipart(data: bytes) -> None:
    """The same files wherever the stream is cut."""
    head, _, body = data.partition(b"\n")
    kind = head.decode("latin-1")
    assert asyncio.run(_files(kind, body, 1 << 20)) == asyncio.run(_files(kind, body, 10))


async def _files(kind: str, body: bytes, size: int) -> object:
    form = FormFiles(("chart", "prov"), SPOOL)
    try:
        await form.read(later(body, size), kind)
        return {name: b"".join(file.chunks()) for name, file in form.files.items()}
    except InvalidUsage:
        return None
    finally:
        form.close()


def check_htpasswd(data: bytes) -> None:
    """Every entry is a name with a bcrypt hash, and no hash is in what is said of the others."""
    found, wrong = read_entries(data.decode("utf-8", "replace"))
    assert all(account.parse_user(name) and stored.startswith("$2") for name, stored in found.items())
    assert all("$" not in why and len(why) < 1000 for _, why in wrong)


def check_scopes(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    found = parse_scopes([text, text])
    assert len(found) <= 50
    for scope in found:
        repository = repository_of(scope)
        assert repository is None or names.parse_repository(repository) == scope.name


def check_provenance(data: bytes) -> None:
    with suppress(InvalidArchive):
        found = parse_provenance(data)
        assert is_chart_version(found.version)
        digest.parse_digest(found.digest)


def check_base64(data: bytes) -> None:
    """What is taken is what Python's own decoder makes of it without the white space."""
    try:
        found = b"".join(decode(cut(data, 3)))
    except InvalidArchive:
        return
    assert found == base64.b64decode(data.translate(None, b" \t\n\r\v\f"), validate=True)


_LAYER: Final = b'{"mediaType":"a/b","digest":"%s","size":1,"urls":["x"]}' % DIGEST.encode()
_MANIFEST: Final = b'{"layers":[%s],"config":%s}' % (_LAYER, _LAYER)
_FORM: Final = (
    b'multipart/form-data; boundary=b\n--b\r\nContent-Disposition: form-data; name="chart"; filename="x"\r\n\r\nabc\r\n'
    b'--b\r\nContent-Disposition: form-data; name="prov"\r\n\r\n\r\n--b--\r\n'
)
_PROV: Final = (
    b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: app\nversion: 1.0.0\n\n"
    b"...\nfiles:\n  app-1.0.0.tgz: %s\n"
    b"-----BEGIN PGP SIGNATURE-----\n\nwsBc\n=abcd\n-----END PGP SIGNATURE-----" % DIGEST.encode()
)

TARGETS: Final = {
    "gunzip": Target(check_gunzip, [gzip.compress(b"abc", mtime=0), gzip.compress(bytes(9000)) * 2 + bytes(20)]),
    "tar": Target(
        check_tar, [TAR, _tar({"x" * 200: b"a"}, tarfile.GNU_FORMAT)], [b"ustar\x0000", b"path=", b"L", b"x"]
    ),
    "archive": Target(check_archive, [TAR, gzip.compress(TAR, mtime=0)], [b"app/Chart.yaml", b"apiVersion: v2\n"]),
    "yaml": Target(check_yaml, [CHART, b"a: &a [x]\nb: *a\n<<: {c: d}\n"], [b"&a ", b"*a", b"<<: ", b"!!str ", b"? "]),
    "chart": Target(check_chart, [CHART], [b"dependencies:", b"maintainers:", b"annotations:", b"~", b"keywords: "]),
    "config": Target(check_config, [b'{"name":"app","version":"1.0.0","apiVersion":"v2","maintainers":[null]}']),
    "manifest": Target(
        check_manifest, [b'{"layers":[%s],"config":%s}' % (_LAYER, _LAYER), b'{"manifests":[%s]}' % _LAYER]
    ),
    "json": Target(
        check_json, [b'{"blob": "LONG", "a": [1, "\\ud83d\\ude00"], "b": {}}'], [b"LONG", b"\\ud800", b'"a":']
    ),
    "range": Target(check_range, [b"bytes=0-5", b"bytes=-5", b"bytes=5-"], [b"bytes="]),
    "names": Target(
        check_names, [b"ns/app", DIGEST.encode(), b"v1.0.0_b", b"application/vnd.cnr.package.helm.v1.tar+gzip"]
    ),
    "version": Target(check_version, [b"1.0.0-rc.1+b", b">=1.0,<2.0", b"v1.2", b"app-1.0.0.tgz", b"^1.2"], [b".tgz"]),
    "multipart": Target(check_multipart, [_FORM], [b"\r\n--b", b'name="chart"', b"Content-Disposition: "]),
    "htpasswd": Target(check_htpasswd, [b"ann:$2y$05$" + b"a" * 53 + b"\n# x\n\nb:$apr1$x$y\n"]),
    "scopes": Target(check_scopes, [b"repository:a/b:pull,push registry:catalog:*", b"repository(plugin):h:5000/a:*"]),
    "provenance": Target(check_provenance, [_PROV], [b"-----BEGIN PGP SIGNATURE-----", b"\n...\n", b"- "]),
    "base64": Target(check_base64, [base64.b64encode(bytes(range(250))), b"YQ==\n"]),
}
