"""What the document says of each route: answers, parameters, bodies, and the errors that can come.

Errors are real exceptions: their status and code are read from the table that the server itself uses.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from cnr.api import cnr_messages as messages
from cnr.api.openapi_admin import ADMIN
from cnr.api.openapi_bodies import Login, Push, PushForm, Yank
from cnr.api.openapi_parts import (
    BAD_LIMIT,
    JSON,
    LIMIT,
    LINK,
    OFTEN,
    READ,
    TEXT,
    TOO_MANY,
    UNAVAILABLE,
    WRITE,
    Answer,
    Operation,
    Query,
    json_answer,
)
from cnr.domain import errors

GZIP: Final = "application/x-gzip"
HTML: Final = "text/html"
P: Final = "/api/v1/packages"
PACKAGE: Final = P + "/{namespace}/{name}"
RELEASE: Final = PACKAGE + "/{release}"
FILE: Final = RELEASE + "/{media_type}"
BLOB: Final = PACKAGE + "/blobs/sha256/{digest}"
CHANNEL: Final = PACKAGE + "/channels/{channel}"


SEED: Final = "myname/elasticsearch"
DIGEST: Final = "72ed15c9a65961ecd034cca098ec18eb99002cd402824aae8a674a8ae41bd0ef"
CHART: Final = (
    "H4sIAGBoF1gAA+2XTY/aMBCGc86vGKlngk02iRpVq1aUQw+VKlr1bowhVp0P2QZp/33tZFkCy0dVAburnUdCBs/EMyR5XyfjgmkbPbBSBVeD"
    "ONL0zo80S0h/bInTLKAxIUmaxkmSBoTSu3QUALleS1tWxjINELDKxvRE3rn4G6VipchBKGas5EYwzYuwqP1cYW1j8uFwKW2xmkW8LoePacPd"
    "9LXQRtZVDiQaRSScC8O1bGw7NelnwlQYu1gp+Nn9nFRLWYmwZLKy7uOWyUOAAXxjFYzrxUI8wCfJ2y+f50Ia38O9W98lqzb1VyENjP0dDI2u"
    "19KVBgYzZiTfq/w06LXkIgpf+rS/GkpWyYW7LGZ4vRpe41mWHNW/Y1//yYgEkFyvpS3vXP/b678j6oFZ84vtCmf9P4n3rn9KKEH/vwWskb83"
    "/r2m4R9ZzXPnz61NhqWz2jmzzHvtoY0CQLGZ6LwYNhasn2cBFEJLy5Z+WxGqDE0juD+oqbV9NP1ufa6kqGy3nIvl8HFESC/eCKH70biNGqEE"
    "t7U+3cdLn+pXyTH968vJ/6z+M0r39J+kNEP934KD+p+KRknO/CPcuK6srpVysru6G+iurMmB/rOoAawoG8Ws6PL6TXoON+rpN3uu4U2HHl73"
    "n1Y9gxNVAGTZ/tOdYD6KaES3pTc2uFnvqcaPvgkei3oT/F93m06+fP0+icr5Re+qXc7pn9L9/Z+6SdT/Lfiw+6IUhvhOhSAIgiAIgiAIgiAI"
    "giAIgiBvnr97lKMIACgAAA=="
)
"""The chart that the examples are about, so that the one of a push can be sent as it stands: 583 bytes of gzip."""
_BLOB: Final = "H4sIAGBoF1gAA+2X…KMIACgAAA=="

_MANIFEST: Final = {
    "content": {
        "digest": DIGEST,
        "mediaType": "application/vnd.cnr.package.helm.v1.tar+gzip",
        "size": 583,
        "urls": [],
    },
    "created_at": "2016-11-16T17:13:07.806579",
    "mediaType": "application/vnd.cnr.package-manifest.helm.v1.json",
    "package": SEED,
    "release": "2.2.1",
}
_ITEM: Final = {
    "channels": None,
    "created_at": "2016-11-16T17:13:07.806579",
    "default": "2.2.1",
    "manifests": ["helm"],
    "name": SEED,
    "namespace": "myname",
    "releases": ["2.2.1"],
    "updated_at": "2016-11-16T17:13:07.806579",
    "visibility": "public",
}
_YANKED: Final = {"package": SEED, "release": "2.2.1"}
_CHANNEL: Final = {"current": "2.2.1", "name": "stable", "releases": ["2.2.1", "2.1.0"]}
_FILE: Final = {
    "blob": _BLOB,
    "filename": "myname_elasticsearch_2.2.1.tar.gz",
    "media_type": "helm",
    "package": SEED,
    "release": "2.2.1",
}
_BLOB_FILE: Final = {
    "blob": _BLOB,
    "filename": "myname_elasticsearch_72ed15c9.tar.gz",
    "package": SEED,
    "release": DIGEST,
}

_NO_PACKAGE = errors.PackageNotFound(f"there is no package {SEED}", package=SEED, release=None, media_type=None)
_NO_RELEASE = errors.PackageNotFound(f"{SEED} has no release 9.9.9", package=SEED, release="9.9.9", media_type=None)
_NO_FORMAT = errors.PackageNotFound(f"{SEED} 2.2.1 has no format kpm", package=SEED, release="2.2.1", media_type="kpm")
_NO_BLOB = errors.PackageNotFound(f"{SEED} has no blob {DIGEST}", package=SEED, release=DIGEST, media_type=None)
_NO_MATCH = errors.ReleaseNotFound(f"no release of {SEED} matches '>99'", package=SEED, release_query=">99")
_NO_MEMBER = errors.ReleaseNotFound("9.9.9 is not in channel stable", package=SEED, release="9.9.9", channel="stable")
_NOT_HERE = errors.ReleaseNotFound(f"{SEED} has no release 9.9.9", package=SEED, release="9.9.9")
_NO_CHANNEL = errors.ChannelNotFound(f"{SEED} has no channel rc", channel="rc", package=SEED, release=None)
_AMBIGUOUS = errors.AmbiguousFormat(
    f"{SEED} 2.2.1 has the formats helm, kpm: name one", package=SEED, release="2.2.1", media_types=["helm", "kpm"]
)
_BAD_QUERY = errors.InvalidQuery(
    "not a version or range: try 1.2.3, ^1.2, '>=1.0,<2.0', * or default", release="latest"
)
_BAD_RELEASE = errors.InvalidRelease("a release is a full SemVer 2.0.0 version such as 1.2.3", version="1.0")
_BAD_NAME = errors.InvalidName("the namespace 'MyName' has upper-case letters: use 'myname'")
_BAD_CHANNEL = errors.InvalidName("'1.0.0' is a version: a channel needs a name that is none")
_NO_FIELD = errors.InvalidUsage("the field release is missing (a body that is no JSON object counts as none)")
_BAD_ARCHIVE = errors.InvalidArchive("the archive is no gzip, or it is damaged (incorrect header check)")
_TOO_LARGE = errors.TooLarge("the package, compressed: the limit is 20,971,520 bytes", limit=20_971_520, what="package")
_LONG_BODY = errors.TooLarge("the body: the limit is 67,108,864 bytes", limit=67_108_864, what="body")
_EXISTS = errors.ReleaseExists(f"{SEED} 2.2.1 helm exists", package=SEED, release="2.2.1", media_type="helm")
_TAKEN = errors.NameTaken("'stable' is a tag of another kind: choose another channel name")
_FULL = errors.RecordFull("the channel has 4,000 releases and no room for another: remove some")
_FAILURES: Final = errors.TooManyFailures("too many wrong passwords: try again in 4 s", retry_after_s=4)
_LOGIN = errors.InvalidUsage('a login is {"user": {"username": …, "password": …}}, neither of them empty')

_FIND: Final = (_AMBIGUOUS, _NO_PACKAGE, _NO_FORMAT, _NO_MATCH, _BAD_QUERY, *READ)

_FORMAT_FILTER = Query("media_type", "Only this format; a full media type is reduced to it.", TEXT)
_AS_JSON = Query("format", "`json`, in this spelling: the file as base64 in JSON. Anything else: the file.", TEXT)
_FORCE = Query("force", "`true`, in any letter case: replace what is there. The body wins.", TEXT)
_DISPOSITION: Final = MappingProxyType(
    {
        "Content-Disposition": "The name under which to keep the file.",
        "ETag": "The digest of the gzip. Sent back as If-None-Match, it is answered by 304 without a body.",
    }
)


_SHOWN = json_answer(
    "The manifest, and the channels whose current it is.", messages.Show, {"channels": [], **_MANIFEST}
)
_CHANNEL_NOW = json_answer("The channel.", messages.Channel, _CHANNEL)
_PULLED = Answer("The gzipped tar.", {GZIP: (None, None), JSON: (messages.PackageFile, _FILE)}, _DISPOSITION)
_BLOB_PULLED = Answer("The gzipped tar.", {GZIP: (None, None), JSON: (messages.BlobFile, _BLOB_FILE)}, _DISPOSITION)

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", P): Operation(
        "packages",
        "list_packages",
        "List packages",
        json_answer(
            "The packages, by name; each one's releases highest first.", list[messages.PackageItem], [_ITEM], LINK
        ),
        "Filters combine; parameters may also be sent as a JSON object, which wins over the query string. Packages "
        "without a matching release are left out, and an unknown namespace is an empty list.",
        (BAD_LIMIT, *READ),
        (
            Query("namespace", "Only this namespace.", TEXT),
            Query("query", "Only names with this text in `namespace/name`, whatever the letter case.", TEXT),
            _FORMAT_FILTER,
            LIMIT,
            Query("after", "Only names above this one: where the page before ended.", TEXT),
        ),
    ),
    ("GET", P + "/search"): Operation(
        "search",
        "search_names",
        "Search names",
        json_answer("Names, sorted.", list[str], [SEED]),
        "The text is taken literally. Empty finds every package, and without `q` nothing is found.",
        READ,
        (Query("q", "Part of `namespace/name`, in any letter case.", TEXT),),
    ),
    ("GET", "/api/v1/search"): Operation(
        "search",
        "search_packages",
        "Search names, descriptions and keywords",
        json_answer(
            "The packages, best match first.",
            list[messages.SearchItem],
            [
                {
                    "name": SEED,
                    "default": "2.2.1",
                    "description": "Flexible and powerful open source, distributed real-time search",
                    "formats": ["helm"],
                    "score": 900.0,
                }
            ],
            LINK,
        ),
        "Every word must be part of the name, or begin a word of the description or keywords.",
        (BAD_LIMIT, *READ),
        (
            Query("q", "The words.", TEXT),
            LIMIT,
            Query(
                "after",
                "Where the page before ended: what its Link header says.",
                {"type": "string", "pattern": r"^([0-9]{1,9}(\.[0-9]{1,9})?,.*)?$"},
            ),
        ),
    ),
    ("GET", PACKAGE): Operation(
        "packages",
        "list_releases",
        "Show a package's releases",
        json_answer("The manifests of all releases, newest push last.", list[messages.Manifest], [_MANIFEST]),
        errors=(_NO_PACKAGE, *READ),
        query=(_FORMAT_FILTER,),
    ),
    ("POST", PACKAGE): Operation(
        "packages",
        "push",
        "Publish a release",
        json_answer("It is published: everybody sees it from now on.", messages.Pushed, {"status": "ok"}),
        "The body is read as JSON whatever its content type says, else as a form. Fields may also stand in the query "
        "string. A release may have several formats; one that it has already needs `force`. A refused push leaves "
        "nothing behind.",
        (_BAD_NAME, _NO_FIELD, _EXISTS, _TAKEN, _FULL, _TOO_LARGE, _BAD_RELEASE, _BAD_ARCHIVE, *WRITE),
        (_FORCE,),
        {
            JSON: (Push, {"blob": CHART, "release": "2.2.1", "media_type": "helm"}),
            "application/x-www-form-urlencoded": (PushForm, None),
            "multipart/form-data": (PushForm, None),
        },
    ),
    ("GET", RELEASE): Operation(
        "packages",
        "list_manifests",
        "Show a release's manifests",
        json_answer("One manifest per format.", list[messages.Manifest], [_MANIFEST]),
        errors=(_NO_RELEASE, *READ),
        query=(_FORMAT_FILTER,),
        exact=True,
    ),
    ("GET", FILE): Operation("packages", "show", "Show a release in a format", _SHOWN, errors=_FIND),
    ("DELETE", FILE): Operation(
        "packages",
        "delete",
        "Delete a release in a format",
        json_answer("It is gone.", messages.Deleted, {"package": SEED, "release": "2.2.1", "status": "deleted"}),
        "With its last format the release goes, also out of its channels; with its last release the package.",
        (_AMBIGUOUS, _NO_RELEASE, _NO_FORMAT, *WRITE),
        exact=True,
    ),
    ("GET", FILE + "/pull"): Operation(
        "files", "pull", "Pull a release", _PULLED, "Parameters as in showing it.", _FIND, (_AS_JSON,)
    ),
    ("GET", FILE + "/pull/json"): Operation(
        "files",
        "pull_json",
        "Pull a release as JSON",
        json_answer("The file as base64.", messages.PackageFile, _FILE),
        errors=_FIND,
    ),
    ("GET", BLOB): Operation(
        "files",
        "get_blob",
        "Get a file by digest",
        _BLOB_PULLED,
        "The digest is the SHA-256 of the uncompressed tar, as manifests give it.",
        (_NO_BLOB, *READ),
        (_AS_JSON,),
    ),
    ("GET", BLOB + "/json"): Operation(
        "files",
        "get_blob_json",
        "Get a file by digest as JSON",
        json_answer("The file as base64; `release` holds the digest.", messages.BlobFile, _BLOB_FILE),
        errors=(_NO_BLOB, *READ),
    ),
    ("GET", PACKAGE + "/channels"): Operation(
        "channels",
        "list_channels",
        "List a package's channels",
        json_answer("The channels by name.", list[messages.Channel], [_CHANNEL]),
        errors=(_NO_PACKAGE, *READ),
    ),
    ("GET", CHANNEL): Operation(
        "channels", "show_channel", "Show a channel", _CHANNEL_NOW, errors=(_NO_PACKAGE, _NO_CHANNEL, *READ)
    ),
    ("DELETE", CHANNEL): Operation(
        "channels",
        "delete_channel",
        "Delete a channel",
        json_answer(
            "It is gone; its releases stay.",
            messages.ChannelDeleted,
            {"action": "delete", "channel": "rc", "package": SEED},
        ),
        errors=(_NO_PACKAGE, _NO_CHANNEL, *WRITE),
    ),
    ("POST", CHANNEL + "/{release}"): Operation(
        "channels",
        "add_to_channel",
        "Add a release to a channel",
        _CHANNEL_NOW,
        "The channel is made if needed, and points at this release from now on. Repeating it changes nothing.",
        (_BAD_CHANNEL, _NO_PACKAGE, _NOT_HERE, _TAKEN, _FULL, _BAD_QUERY, *WRITE),
        exact=True,
    ),
    ("DELETE", CHANNEL + "/{release}"): Operation(
        "channels",
        "remove_from_channel",
        "Take a release out of a channel",
        json_answer(
            "It is out; the channel points at the highest release left, and without any is gone.",
            messages.MemberRemoved,
            {"name": "stable", "package": SEED, "release": "2.2.1", "status": "deleted"},
        ),
        errors=(_NO_PACKAGE, _NO_RELEASE, _NO_CHANNEL, _NO_MEMBER, *WRITE),
        exact=True,
    ),
    ("POST", RELEASE + "/yank"): Operation(
        "packages",
        "yank",
        "Yank a release",
        json_answer("It is yanked.", messages.Yanked, {**_YANKED, "status": "yanked", "reason": "loses data"}),
        "It can be pulled by its exact version, and leaves ranges, the newest, lists, search. Repeated: a new reason.",
        (_BAD_NAME, _BAD_RELEASE, _NO_RELEASE, *WRITE),
        body={JSON: (Yank, {"reason": "loses data"})},
        exact=True,
    ),
    ("DELETE", RELEASE + "/yank"): Operation(
        "packages",
        "restore",
        "Take a yank back",
        json_answer(
            "It is a release like any other.", messages.Yanked, {**_YANKED, "status": "restored", "reason": ""}
        ),
        errors=(_BAD_NAME, _BAD_RELEASE, _NO_RELEASE, *WRITE),
        exact=True,
    ),
    ("POST", "/api/v1/users/login"): Operation(
        "server",
        "login",
        "Get a token",
        json_answer(
            "The token, to be sent verbatim in the Authorization header.",
            messages.Token,
            {"token": "basic bWU6c2VjcmV0"},
        ),
        "While the server is open any pair gets a token, and no call needs one. With accounts a wrong pair is a 401.",
        (_LOGIN, _LONG_BODY, TOO_MANY, _FAILURES),
        body={JSON: (Login, {"user": {"username": "me", "password": "secret"}})},
    ),
    ("GET", "/version"): Operation(
        "server",
        "version",
        "Show the server's version",
        json_answer("The version.", messages.Version, None),
        errors=OFTEN,
    ),
    ("GET", "/routes"): Operation(
        "server",
        "routes",
        "List all routes",
        json_answer("Endpoint, method and path of each.", messages.Routes, None),
        errors=OFTEN,
    ),
    ("GET", "/healthz"): Operation(
        "server", "alive", "Is the process alive?", json_answer("It is.", messages.Health, {"status": "ok"})
    ),
    ("GET", "/readyz"): Operation(
        "server",
        "ready",
        "Can the server answer?",
        json_answer("It can, and its stores can be reached.", messages.Health, {"status": "ok"}),
        errors=(UNAVAILABLE,),
    ),
    ("GET", "/test_error"): Operation(
        "server",
        "test_error",
        "Get an error",
        Answer("Never.", {}),
        errors=(errors.InvalidUsage("this address always answers with an error", path="/test_error"), TOO_MANY),
    ),
    ("GET", "/"): Operation(
        "server",
        "discover",
        "Find packages by the host's name",
        Answer("A page with two meta tags for clients.", {HTML: (None, None)}),
        errors=OFTEN,
    ),
    ("GET", "/openapi.json"): Operation(
        "server", "openapi", "Get this document", json_answer("OpenAPI 3.1.", dict[str, Any], None), errors=OFTEN
    ),
    ("GET", "/docs"): Operation(
        "server", "docs", "Read this document", Answer("The page.", {HTML: (None, None)}), errors=OFTEN
    ),
    **ADMIN,
}
"""By method and path. A test holds it equal to the route table."""
