"""A path below /v2/ is split at its rightmost marker."""

import pytest

from cnr.api.oci_router import OciRouter
from cnr.http.routes import MethodNotAllowed, Route, RouteNotFound


async def handler() -> None: ...


PATHS = (
    *("/v2/", "/v2/_catalog", "/v2/{name}/tags/list", "/v2/{name}/blobs/uploads/"),
    *(f"/v2/{{name}}/{marker}/{{reference}}" for marker in ("blobs/uploads", "blobs", "manifests", "referrers")),
)
ROUTER = OciRouter([Route("GET", path, handler, "pull") for path in PATHS])  # type: ignore[arg-type]  # never called


@pytest.mark.parametrize(
    ("path", "pattern", "name", "reference"),
    [
        ("/v2", "/v2/", None, None),
        ("/v2/", "/v2/", None, None),
        ("/v2/_catalog", "/v2/_catalog", None, None),
        ("/v2/a/tags/list", "/v2/{name}/tags/list", "a", None),
        ("/v2/a/tags/list/tags/list", "/v2/{name}/tags/list", "a/tags/list", None),
        ("/v2/a/b/manifests/v1", "/v2/{name}/manifests/{reference}", "a/b", "v1"),
        ("/v2/a/manifests/b/manifests/v1", "/v2/{name}/manifests/{reference}", "a/manifests/b", "v1"),
        ("/v2/a/blobs/uploads/b/manifests/v1", "/v2/{name}/manifests/{reference}", "a/blobs/uploads/b", "v1"),
        ("/v2/a/blobs/uploads/manifests/v1", "/v2/{name}/manifests/{reference}", "a/blobs/uploads", "v1"),
        ("/v2/a/blobs/sha256:x", "/v2/{name}/blobs/{reference}", "a", "sha256:x"),
        ("/v2/a/blobs/uploads/", "/v2/{name}/blobs/uploads/", "a", None),
        ("/v2/a/manifests/uploads", "/v2/{name}/manifests/{reference}", "a", "uploads"),
        ("/v2/blobs/manifests/v1", "/v2/{name}/manifests/{reference}", "blobs", "v1"),
        ("/v2/a/blobs/uploads", "/v2/{name}/blobs/uploads/", "a", None),
        ("/v2/a/blobs/uploads/x", "/v2/{name}/blobs/uploads/{reference}", "a", "x"),
        ("/v2/a/referrers/sha256:x", "/v2/{name}/referrers/{reference}", "a", "sha256:x"),
    ],
)
def test_match(path: str, pattern: str, name: str | None, reference: str | None) -> None:
    route, values = ROUTER.match("HEAD", path)
    assert route.path == pattern
    assert (values.get("name"), values.get("reference")) == (name, reference)


@pytest.mark.parametrize("path", ["/v2/x", "/v2/a/manifest/v1", "/v2/manifests/v1", "/v2/tags", "/v2/blobs/uploads"])
def test_no_route(path: str) -> None:
    with pytest.raises(RouteNotFound):
        ROUTER.match("GET", path)


def test_another_method() -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        ROUTER.match("PUT", "/v2/a/manifests/v1")
    assert caught.value.allow == ("GET", "HEAD", "OPTIONS")
