"""Changes of a chart's archive: its YAML, its tar, its gzip."""

import gzip
import io
import tarfile
import zlib
from copy import copy
from random import Random
from typing import Final

from tests.fuzz import values

_BOMB: Final = gzip.compress(bytes(30 << 20), 9, mtime=0)
_ALIASES: Final = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (name, name, b",".join([b"*%c" % before] * 9))
    for before, name in zip(b"abcdefgh", b"bcdefghi", strict=True)
)
YAML: Final = (
    *(b"!!python/object/apply:os.system ['id']", b"&x [*x]", b"*nothing", b"1.10", b"~", b"[null]", b"{a: }", b"- x"),
    *(b'"\\u001b[31m"', b'"\\ud800"', b"\xff\xfe", b"|\n  x", b"'" + b"x" * 100_000 + b"'", b"!x y", b"1e999", b".nan"),
    *(
        b"[" * 20_000,
        b"{" * 5000,
        b"2020-01-01",
        b'"\\x00"',
        b"<<: [1]",
        b"? [a]\n: b",
        b"%YAML 9.9",
        b"\t",
        b"../../x",
    ),
    *(b"javascript:alert(1)", b"data:image/svg+xml;base64,AAAA", b"http://169.254.169.254/", b"file:///etc/passwd"),
)
KINDS: Final = (
    *(tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE),
    *(tarfile.CONTTYPE, b"Z", b"x", b"g", b"L", b"K"),
)
NAMES: Final = (
    *(
        "../x",
        "/etc/x",
        "Chart.yaml",
        "web/Chart.yaml",
        "WEB/CHART.YAML",
        "other/Chart.yaml",
        "",
        ".",
        "a" * 300,
        "a\\b",
    ),
    *("web/../../x", "x\x1b[31m", "x\udcff", "./web/Chart.yaml", "//x", "web/Chart.yaml/", "CON", "web/README.md"),
)
PAX: Final = (
    *({"path": "../../x"}, {"size": "99999999999999"}, {"size": "-1"}, {"linkpath": "/etc"}, {"GNU.sparse.major": "1"}),
    *({"path": "x" * 70_000}, {"comment": "x" * 1_100_000}, {"GNU.sparse.map": "0,99999999999999"}, {"mtime": "x"}),
)


def changed(random: Random, data: bytes) -> bytes:
    """`data`, an archive, with a change at one of its three levels; bytes that are none get other bytes."""
    try:
        unpacked = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return scrambled(random, data)
    match random.randrange(10):
        case 0 | 1:
            return _other_gzip(random, data, unpacked)
        case 2 | 3:
            return _packed(scrambled(random, unpacked))
        case _:
            return _packed(_other_members(random, unpacked))


def scrambled(random: Random, data: bytes) -> bytes:
    """Some bytes other, missing or doubled."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        at = random.randrange(len(found) + 1)
        match random.randrange(4):
            case 0 if at < len(found):
                found[at] = random.choice((0, 0x20, 0x2F, 0x7F, 0x80, 0xFF, random.randrange(256)))
            case 1:
                del found[at : at + random.choice((1, 7, 512))]
            case 2:
                found[at:at] = found[at : at + random.choice((1, 512, 1024))]
            case _:
                del found[at:]
    return bytes(found)


def _packed(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)


def _other_gzip(random: Random, data: bytes, unpacked: bytes) -> bytes:
    options = (
        lambda: scrambled(random, data),
        lambda: data + b"junk",
        lambda: data + data,
        lambda: data + _BOMB,
        lambda: _BOMB,
        lambda: unpacked,
        lambda: _packed(data),
        lambda: data + bytes(1000),
        lambda: _packed(b"") * 20_000 + data,
        lambda: data[:3] + b"\x1c" + data[4:10] + b"\xff\xff" + data[10:],
        lambda: data[:-8] + bytes(8),
    )
    return random.choice(options)()


def _other_members(random: Random, unpacked: bytes) -> bytes:
    try:
        with tarfile.open(fileobj=io.BytesIO(unpacked)) as tar:
            members = [(member, _content(tar, member)) for member in tar]
    except tarfile.TarError:
        return scrambled(random, unpacked)
    at = random.randrange(len(members) or 1)
    if not members:
        return scrambled(random, unpacked)
    member, data = copy(members[at][0]), members[at][1]
    match random.randrange(6):
        case 0:
            member.name = random.choice(NAMES)
        case 1:
            member.type, member.linkname = random.choice(KINDS), "/etc/passwd"
        case 2:
            member.pax_headers = dict(random.choice(PAX))
        case 3:
            members += [(copy(member), data)] * random.choice((1, 50))
        case _:
            data = yaml_changed(random, data)
    members[at] = member, data
    return _tar(members, random.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member) if member.isfile() else None
    return file.read() if file else b""


def _tar(members: list[tuple[tarfile.TarInfo, bytes]], format: int) -> bytes:
    out = io.BytesIO()
    try:
        with tarfile.open(fileobj=out, mode="w", format=format) as tar:
            for member, data in members:
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    except ValueError:  # the format has no room for it
        return out.getvalue() + b"x" * 700
    return out.getvalue()


def yaml_changed(random: Random, data: bytes) -> bytes:
    """One line other, missing or doubled, or something in front."""
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    key = lines[at].partition(b":")[0]
    match random.randrange(7):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2:
            lines.insert(0, _ALIASES)
        case 3:
            lines[at] = key + b": " + values.text(random).encode("utf-8", "surrogateescape")
        case 4:
            lines.append(b"keywords: [" + b"x," * random.choice((1, 50_000)) + b"]")
        case _:
            lines[at] = key + b": " + random.choice(YAML)
    return b"\n".join(lines)
