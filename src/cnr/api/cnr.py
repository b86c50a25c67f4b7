"""The CNR API over the registry: routes and handlers. Source: contracts/cnr.md sections 1 to 6, label R."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cnr.api import cnr_messages as messages
from cnr.api.cnr_admin import admin_place, admin_routes
from cnr.api.cnr_errors import CODES, ERRORS, render
from cnr.api.cnr_fields import LIST_LIMIT, FieldReader, format_filter, page, push, rank, text_field
from cnr.api.cnr_files import BlobFiles
from cnr.api.cnr_names import locate, readable, writable
from cnr.api.cnr_site import Site
from cnr.api.docs_page import Docs
from cnr.auth.access_control import AccessControl
from cnr.domain.audit import Record
from cnr.domain.names import Channel
from cnr.domain.version import parse_channel, parse_release
from cnr.http.adapter import Adapter, Authorize
from cnr.http.admission import Admission
from cnr.http.audited import note
from cnr.http.json_response import json_response, pretty_list, pretty_response
from cnr.http.routes import Route, Router
from cnr.http.security import NOSNIFF, OPEN_TO_READ, PREFLIGHT
from cnr.registry.registry import Registry

P = "/api/v1/packages"
BASIC: Final = 'Basic realm="cnr", charset="UTF-8"'
PREFIXES = ("", "/cnr")


def adapter(
    registry: Registry,
    fields: FieldReader,
    site: Site,
    authorize: Authorize,
    *,
    admission: Admission | None = None,
    control: AccessControl | None = None,
    record: Record | None = None,
) -> Adapter:
    """The CNR API as an ASGI application, under both prefixes. CORS is open, without credentials.

    `control`: the accounts of a server that has them.
    """
    api = CnrApi(registry, fields)
    docs = Docs()
    administration = admin_routes(registry, control)
    router = Router([*site.routes(), *docs.routes(), *api.routes(), *administration], prefixes=PREFIXES)
    site.describe(router)
    docs.describe(router)
    return Adapter(
        router,
        errors=ERRORS,
        render=render,
        authorize=authorize,
        locate=locate,
        place=admin_place,
        challenge=lambda request, error, access: BASIC,
        codes=CODES,
        headers=(OPEN_TO_READ, NOSNIFF),
        preflight=PREFLIGHT,
        protocol="cnr",
        record=record,
        admission=admission,
    )


class CnrApi:
    """The handlers. What they raise, `cnr_errors` renders."""

    def __init__(self, registry: Registry, fields: FieldReader) -> None:
        self._registry = registry
        self._fields = fields
        self._files = BlobFiles(registry)

    def routes(self) -> list[Route]:
        """The route table."""
        package, release, file = P + "/{namespace}/{name}", "/{release}", "/{release}/{media_type}"
        files = self._files
        return [
            Route("GET", P, self.list, "list"),
            Route("GET", P + "/search", self.search, "list"),
            Route("GET", "/api/v1/search", self.ranked_search, "list"),
            Route("GET", package, self.releases, "pull"),
            Route("POST", package, self.push, "push"),
            Route("GET", package + release, self.manifests, "pull"),
            Route("GET", package + file, self.show, "pull"),
            Route("DELETE", package + file, self.delete, "delete"),
            Route("POST", package + release + "/yank", self.yank, "push"),
            Route("DELETE", package + release + "/yank", self.restore, "push"),
            Route("GET", package + file + "/pull", files.pull, "pull"),
            Route("GET", package + file + "/pull/json", files.pull_json, "pull"),
            Route("GET", package + "/blobs/sha256/{digest}", files.blob, "pull"),
            Route("GET", package + "/blobs/sha256/{digest}/json", files.blob_json, "pull"),
            Route("GET", package + "/channels", self.channels, "pull"),
            Route("GET", package + "/channels/{channel}", self.channel, "pull"),
            Route("DELETE", package + "/channels/{channel}", self.delete_channel, "push"),
            Route("POST", package + "/channels/{channel}/{release}", self.add_to_channel, "push"),
            Route("DELETE", package + "/channels/{channel}/{release}", self.remove_from_channel, "push"),
        ]

    async def push(self, request: Request, namespace: str, name: str) -> Response:
        package = writable(namespace, name)
        async with self._fields.spooled(request) as fields:
            wanted = push(fields, self._registry.limits)
            note(request, release=wanted.release, media_type=wanted.format, force=wanted.force)
            await self._registry.publisher.publish(
                package,
                wanted.release,
                wanted.format,
                wanted.source,
                force=wanted.force,
                metadata=wanted.metadata,
                by=request.scope["grant"],
            )
        return pretty_response(messages.Pushed())

    async def show(self, request: Request, namespace: str, name: str, release: str, media_type: str) -> Response:
        found, channels = await self._registry.packages.shown(readable(namespace, name), release, media_type)
        return pretty_response(messages.show(found, list(channels)))

    async def manifests(self, request: Request, namespace: str, name: str, release: str) -> Response:
        wanted = format_filter((await self._fields.of(request)).get("media_type"))
        found = await self._registry.packages.manifests(readable(namespace, name), release)
        return pretty_response([messages.manifest(item) for item in found if wanted in (None, item.format)])

    async def releases(self, request: Request, namespace: str, name: str) -> Response:
        wanted = format_filter((await self._fields.of(request)).get("media_type"))
        found = await self._registry.packages.all(readable(namespace, name), wanted)
        return await pretty_list(found, messages.manifest)

    async def delete(self, request: Request, namespace: str, name: str, release: str, media_type: str) -> Response:
        gone = await self._registry.packages.delete(
            readable(namespace, name), release, media_type, by=request.scope["grant"]
        )
        return pretty_response(messages.Deleted(package=str(gone.package), release=gone.release))

    async def yank(self, request: Request, namespace: str, name: str, release: str) -> Response:
        package = writable(namespace, name)
        reason = text_field(await self._fields.of(request), "reason")
        yanked = await self._registry.yanks.yank(package, parse_release(release), reason, by=request.scope["grant"])
        answer = messages.Yanked(status="yanked", package=str(package), release=release, reason=yanked.reason)
        return pretty_response(answer)

    async def restore(self, request: Request, namespace: str, name: str, release: str) -> Response:
        package = writable(namespace, name)
        await self._registry.yanks.restore(package, parse_release(release), by=request.scope["grant"])
        return pretty_response(messages.Yanked(status="restored", package=str(package), release=release))

    async def list(self, request: Request) -> Response:
        fields = await self._fields.of(request)
        limits = page(fields)
        format = format_filter(fields.get("media_type"))
        namespace = fields.get("namespace")
        views = await self._registry.catalog.packages(
            namespace=None if namespace is None else str(namespace),
            query=str(fields.get("query") or ""),
            format=format,
            after=limits.after,
            limit=limits.limit,
            sees=request.scope["grant"].sees,
        )
        if request.scope["grant"].caller is None:
            items = [messages.package_item(view) for view in views]
        else:
            visible = await self._registry.policies.visible([view.name.repository for view in views])
            items = [messages.package_item(view, each) for view, each in zip(views, visible, strict=True)]
        return json_response(items, limits.link(request, items[-1].name if items else "", len(items)))

    async def search(self, request: Request) -> Response:
        query = (await self._fields.of(request)).get("q")
        names = (
            []
            if query is None
            else await self._registry.catalog.names(query=str(query), sees=request.scope["grant"].sees)
        )
        return pretty_response(names)

    async def ranked_search(self, request: Request) -> Response:
        fields = await self._fields.of(request)
        limits = page(fields, default=20)
        query = str(fields.get("q") or "")
        hits = await self._registry.catalog.search(
            query,
            after=rank(limits.after),
            limit=limits.limit or LIST_LIMIT,
            sees=request.scope["grant"].sees,
        )
        items = [messages.search_item(hit) for hit in hits]
        last = f"{items[-1].score!r},{items[-1].name}" if items else ""
        return json_response(items, limits.link(request, last, len(items)))

    async def channels(self, request: Request, namespace: str, name: str) -> Response:
        found = await self._registry.channels.all(readable(namespace, name))
        return json_response([messages.channel(view) for view in found])

    async def channel(self, request: Request, namespace: str, name: str, channel: str) -> Response:
        return pretty_response(
            messages.channel(await self._registry.channels.get(readable(namespace, name), Channel(channel)))
        )

    async def add_to_channel(self, request: Request, namespace: str, name: str, channel: str, release: str) -> Response:
        package, wanted = writable(namespace, name), parse_channel(channel)
        view = await self._registry.channels.add(package, wanted, release, by=request.scope["grant"])
        return pretty_response(messages.channel(view))

    async def remove_from_channel(
        self, request: Request, namespace: str, name: str, channel: str, release: str
    ) -> Response:
        package = readable(namespace, name)
        await self._registry.channels.remove(package, Channel(channel), release, by=request.scope["grant"])
        return pretty_response(messages.MemberRemoved(name=channel, package=str(package), release=release))

    async def delete_channel(self, request: Request, namespace: str, name: str, channel: str) -> Response:
        package = readable(namespace, name)
        await self._registry.channels.delete(package, Channel(channel), by=request.scope["grant"])
        return pretty_response(messages.ChannelDeleted(channel=channel, package=str(package)))
