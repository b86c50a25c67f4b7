"""Archives that aim at whoever unpacks or parses them: kept as they are or refused, never unpacked, never a 5xx.

Source: design/hostile-inputs.md, rows "tar extraction" and "YAML/JSON parser abuse".
"""

import io
import tarfile
from collections.abc import Mapping

import pytest
from tests.protocols.cnr.client import Cnr, done, error_of
from tests.protocols.cnr.packages import gz, tar, tar_digest
from tests.protocols.cnr.server import Server

CHART = b"apiVersion: v2\nname: app\nversion: 1.0.0\n"


def member(name: str, type: bytes = tarfile.REGTYPE, link: str = "", **pax: str) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.pax_headers = type, link, pax
    return found


def archive(*members: tarfile.TarInfo) -> bytes:
    """A chart with these members behind its Chart.yaml."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as file:
        head = tarfile.TarInfo("app/Chart.yaml")
        head.size = len(CHART)
        file.addfile(head, io.BytesIO(CHART))
        for entry in members:
            file.addfile(entry)
    return target.getvalue()


ARCHIVES: Mapping[str, bytes] = {
    "parent folder": archive(member("../../escaped")),
    "absolute": archive(member("/tmp/escaped")),
    "symbolic link out": archive(member("app/link", tarfile.SYMTYPE, "/etc"), member("app/link/escaped")),
    "hard link to a link": archive(member("app/a", tarfile.SYMTYPE, "/etc"), member("app/b", tarfile.LNKTYPE, "app/a")),
    "devices": archive(member("app/dev", tarfile.CHRTYPE), member("app/fifo", tarfile.FIFOTYPE)),
    "name in a PAX header": archive(member("app/x", path="../../escaped", linkpath="/etc/passwd")),
    "size in a PAX header": archive(member("app/x", size="99999999999999")),
    "two roots": archive(member("other/Chart.yaml")),
    "chart twice": archive(member("app/Chart.yaml")),
    "chart is a link": tar({"app/values.yaml": b""})[:-1024] + archive(member("app/Chart.yaml", tarfile.SYMTYPE, "x")),
    "long name": archive(member("app/" + "x" * 5000)),
    "not UTF-8": tar({"app/Chart.yaml": CHART}).replace(b"Chart", b"\xff\xfear"),
    "control characters": archive(member("app/\x1b[31m\r\n")),
    "wrong checksum": tar({"app/Chart.yaml": CHART}).replace(b"0000644", b"0000777", 1),
    "empty name": archive(member("")),
}


@pytest.mark.parametrize("data", ARCHIVES.values(), ids=ARCHIVES.keys())
@pytest.mark.parametrize("media_type", ["helm", "kpm", "docker-compose"])
def test_archives_are_kept_or_refused(cnr: Cnr, server: Server, package: str, data: bytes, media_type: str) -> None:
    blob = gz(data)
    answer = cnr.push(package, media_type=media_type, blob=blob)
    if answer.status_code == 200:
        assert done(cnr.show(package, media_type=media_type))["content"]["digest"] == tar_digest(blob)
        assert cnr.get(f"/{package}/1.0.0/{media_type}/pull").content == blob
    else:
        assert answer.status_code in (413, 422), answer.content
        error_of(answer)
        assert cnr.get(f"/{package}").status_code == 404
    assert not list(server.folder.rglob("*escaped*"))
    assert not list(server.folder.rglob("*Chart*"))


ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
DOCUMENTS: Mapping[str, str] = {
    "alias bomb": ALIASES + "name: app\nversion: 1.0.0\ndescription: *i\n",
    "alias of itself": "name: app\nversion: 1.0.0\nkeywords: &k [*k]\n",
    "python object": "name: !!python/object/apply:os.system ['touch escaped']\nversion: 1.0.0\n",
    "unknown tag": "name: !nothing app\nversion: 1.0.0\n",
    "keys twice": "name: app\nname: other\nversion: 1.0.0\nversion: 2.0.0\n",
    "tabs": "name:\tapp\nversion:\t1.0.0\n\tkeywords: x\n",
    "numbers for text": "name: 5\nversion: 1.10\ndescription: 1e999\nappVersion: .nan\n",
    "lists for text": "name: [a]\nversion: {b: c}\ndescription: [[]]\nkeywords: text\n",
    "nulls": "name: ~\nversion: null\nmaintainers: [~, {name: ~}]\nkeywords: [~]\ndependencies: [~]\n",
    "a list": "- name: app\n- version: 1.0.0\n",
    "a scalar": "app",
    "nothing": "",
    "two documents": "name: app\nversion: 1.0.0\n---\nname: other\n",
    "deep": "name: app\nversion: 1.0.0\nx: " + "[" * 20_000 + "]" * 20_000 + "\n",
    "merge keys": "base: &b {name: app}\n<<: *b\nversion: 1.0.0\n",
    "dates": "name: app\nversion: 2020-01-01\ndescription: 2020-01-01T00:00:00Z\n",
    "surrogates": 'name: app\nversion: 1.0.0\ndescription: "\\ud800"\n',
    "control characters": 'name: app\nversion: 1.0.0\ndescription: "\\u001b[31m\\u0000"\n',
    "escape codes in the version": 'name: app\nversion: "1.0.0\\u001b[31m"\n',
    "long description": "name: app\nversion: 1.0.0\ndescription: " + "x" * 900_000 + "\n",
    "many keywords": "name: app\nversion: 1.0.0\nkeywords: [" + "x," * 100_000 + "]\n",
    "traversal": "name: ../../escaped\nversion: 1.0.0/../..\nicon: file:///etc/passwd\n",
    "not UTF-8": "name: app\nversion: 1.0.0\ndescription: \udcff\n",
}


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_describing_files_are_data(cnr: Cnr, server: Server, package: str, text: str) -> None:
    """A package is opaque to this API: what its describing file says is at most shown in the ranked search."""
    data = text.encode("utf-8", "surrogateescape")
    for media_type, name in (("helm", "app/Chart.yaml"), ("kpm", "manifest.yaml"), ("docker-compose", "compose.yaml")):
        blob = gz(tar({name: data}))
        answer = cnr.push(package, media_type=media_type, blob=blob)
        assert answer.status_code in (200, 413, 422), answer.content
        if answer.status_code == 200:
            assert cnr.get(f"/{package}/1.0.0/{media_type}/pull").content == blob
    done(cnr.get(params={"query": package}))
    done(cnr.site("/api/v1/search", params={"q": "app"}))
    assert not list(server.folder.rglob("*escaped*"))
