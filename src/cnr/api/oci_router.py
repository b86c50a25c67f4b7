"""Routes below /v2/: repository names have slashes, so a path is split at its rightmost marker.

`v2/a/manifests/b/manifests/latest` is repository `a/manifests/b`. Source: contracts/oci-helm.md 1.1.
"""

from collections.abc import Sequence
from typing import Final

from cnr.http.routes import PatternRouter, Route

MARKERS: Final = ("/blobs/uploads/", "/blobs/", "/manifests/", "/referrers/")
"""What stands between a name and what is asked of it; a longer one wins over a shorter at the same place."""
FIXED: Final = ("/v2/", "/v2/_catalog", "/v2/_oci/ext/discover", "/token")
TAGS: Final = "/tags/list"

_START: Final = "/v2/"
_PLAIN: Final = frozenset({"blobs", "manifests", "referrers"})


class OciRouter(PatternRouter):
    """Finds routes whose paths are `/v2/{name}<marker>{reference}`, `/v2/{name}/tags/list` or one of FIXED."""

    def __init__(self, routes: Sequence[Route]) -> None:
        super().__init__(routes, _split)


def _split(path: str) -> tuple[str, dict[str, str]]:
    """The pattern of a path, and the values of its variables."""
    head, _, reference = path.rpartition("/")
    kind = head.rpartition("/")[2]
    if kind in _PLAIN and reference not in ("", "uploads") and len(head) > len(_START) + len(kind):
        # What most paths are: a reference has no slash, so no marker can stand behind this one.
        return f"/v2/{{name}}/{kind}/{{reference}}", {
            "name": head[len(_START) : -len(kind) - 1],
            "reference": reference,
        }
    if path == "/v2":
        return _START, {}
    if path in FIXED:
        return path, {}
    if path.endswith(TAGS):
        return "/v2/{name}/tags/list", {"name": path[len(_START) : -len(TAGS)]}
    if path.endswith("/blobs/uploads"):
        path += "/"
    at, marker = max(((path.rfind(marker), marker) for marker in MARKERS), key=lambda found: (found[0], len(found[1])))
    if at < len(_START):
        return "", {}
    name, reference = path[len(_START) : at], path[at + len(marker) :]
    if not reference and marker == MARKERS[0]:
        return "/v2/{name}/blobs/uploads/", {"name": name}
    return f"/v2/{{name}}{marker}{{reference}}", {"name": name, "reference": reference}
