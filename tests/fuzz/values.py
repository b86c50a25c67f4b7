"""What attackers put in the places of names, numbers and texts. Source: the known weaknesses of registries."""

from random import Random
from typing import Final

TEXTS: Final = (
    *("", ".", "..", "...", "%2e%2e", "%2E.", "%252e%252e", "..%2f..", "..%5c..", "%5c", "\\", "%00", "a%00b", "%0a"),
    *("%0d%0aX-Injected:%20yes", "%E2%80%A4%E2%80%A4", "%C0%AE%C0%AE", "%FF", "CON", "a%20", "~root", "$HOME", "%7f"),
    *("a!b", "a;b", "*", "%3f", "%23", "|id", "`id`", "{x}", "%s%s%n", "a%2fb", "a//b", "%F0%9F%92%A9", "é", "%"),
    *("' OR 1=1 --", '"; DROP TABLE tags; --', "((((a+)+)+)+$", "(" * 500, "<script>alert(1)</script>", "\x1b[31m"),
    *("x" * 300, "x" * 70_000, "-", "_", "0", "-1", "1e9", "NaN", "null", "true", "[]", "{}", "__proto__", "A", "V2"),
    *("1.0.0", "v1.0", "01.2.3", "1.0.0+b", "1.0.0_b", "1.0.0-", ">=0", "^1", "latest", "stable", "helm", "kpm"),
    *("sha256:" + "0" * 64, "sha256:" + "A" * 64, "sha256:..", "sha512:" + "0" * 128, "sha256:" + "0" * 63, "md5:x"),
    *("9" * 5000, "18446744073709551616", "-9223372036854775809", "0x10", "٥", "1;2", "\ufeff1", "\u202e", " "),
)
NAMES: Final = (
    *("api", "v1", "v2", "cnr", "helm", "packages", "search", "charts", "channels", "blobs", "uploads", "manifests"),
    *("tags", "list", "referrers", "_catalog", "token", "index.yaml", "index.json", "pull", "json", "yank", "users"),
    *("login", "prov", "values", "templates", "web", "app", "tool", "museum", "artifact", "pieces", "library", "docs"),
    *("openapi.json", "healthz", "readyz", "version", "routes", "_oci", "ext", "discover", "{namespace}", "admin"),
)
QUERIES: Final = (
    *("n", "last", "digest", "mount", "from", "tag", "artifactType", "force", "limit", "offset", "q", "query", "urls"),
    *("namespace", "media_type", "after", "format", "sort", "service", "scope", "account", "next", "digest-algorithm"),
)
METHODS: Final = (
    *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "G", "PRI"),
    *("X" * 300, "QUERY"),
)
HEADERS: Final = {
    "Range": ("bytes=0-0", "bytes=-1", "bytes=5-2", "bytes=0-,0-,0-", "bytes=9" + "9" * 400 + "-", "lines=1-2", "0-"),
    "Content-Range": ("0-0", "bytes 0-5/6", "5-2", "-1", "0-99999999999999999999", "a-b", "1" * 5000 + "-2"),
    "Content-Type": (
        *("", "text/html", "application/json", "multipart/form-data", "multipart/form-data; boundary=", "a/b; c=d"),
        *("application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json", "x" * 3000, "a"),
        *("multipart/form-data; boundary=" + "x" * 300, "application/x-www-form-urlencoded", "application/json\x01"),
        *(
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.distribution.manifest.v1+json",
        ),
    ),
    "Accept": ("", "*/*", "text/html", "a/b;q=x", "*/*;q=0", ",".join(["a/b"] * 3000), "application/json;q=1.0001"),
    "Accept-Encoding": ("", "gzip", "zstd", "*", "gzip;q=0", "identity;q=0, *;q=0", "gzip;q=nan", "x" * 3000),
    "Authorization": (
        *(
            "",
            "Basic",
            "Basic !!!",
            "Basic OjpvOg==",
            "Bearer",
            "Bearer a.b.c",
            "Bearer cnr_",
            "Digest x",
            "Basic /w==",
        ),
        *("Bearer " + "a" * 9000, "Bearer eyJhbGciOiJub25lIn0.e30.", "basic cm9vdDpyb290", "Negotiate abc"),
    ),
    "Host": ("", "evil.example", "a b", "x" * 300, "[::1]", "127.0.0.1:99999", "evil.example/../", '"><script>', "é"),
    "Origin": ("null", "http://evil.example", "http://{host}", "x" * 3000, "http://[", "//"),
    "Sec-Fetch-Site": ("cross-site", "same-origin", "none", "x"),
    "If-None-Match": ("*", '"x"', "W/", '"' + "x" * 3000, ",".join(['"a"'] * 999)),
    "If-Match": ("*", '"x"'),
    "If-Range": ('"x"', "Thu, 01 Jan 1970 00:00:00 GMT", "W/"),
    "If-Modified-Since": ("Thu, 01 Jan 1970 00:00:00 GMT", "x", "Thu, 99 Jan 99999 99:99:99 GMT"),
    "X-Forwarded-For": ("127.0.0.1", "x" * 3000, "::1, 1.2.3.4", "'"),
    "X-Forwarded-Proto": ("https", "javascript", "x y"),
    "X-Forwarded-Host": ("evil.example",),
    "X-Forwarded-Prefix": ("//evil.example", "/\r"),
    "X-Http-Method-Override": ("DELETE",),
    "X-Request-Id": ("a" * 5000, "\x1b[31m", "a\tb"),
    "Cookie": ("a=b; c", "x" * 9000),
    "Upgrade": ("websocket", "h2c"),
    "Connection": ("close", "upgrade", "keep-alive, host", "Authorization"),
    "Content-Encoding": ("gzip", "br", "x"),
    "Docker-Content-Digest": ("sha256:" + "1" * 64, "x"),
    "Oci-Subject": ("x",),
    "Te": ("trailers",),
}
"""Without what changes where a request ends: see wire.py."""


def text(random: Random) -> str:
    """A text for any place."""
    return random.choice(TEXTS if random.random() < 0.7 else NAMES)
