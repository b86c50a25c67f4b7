"""The composition root: from settings to an ASGI application. The only module that knows all the others."""

import asyncio
import itertools
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from cnr.api import cnr as cnr_api
from cnr.api import helm as helm_api
from cnr.api import oci as oci_api
from cnr.api.cnr_fields import FieldReader
from cnr.api.cnr_site import Site
from cnr.audit.log import AuditLog, open_sink, server_event
from cnr.auth.access_control import AccessControl
from cnr.auth.authority import OpenAuthority
from cnr.auth.gate import Gate, read_only
from cnr.config import Config
from cnr.domain.audit import OPEN, Event, Who
from cnr.domain.errors import StoreTrouble, StoreUnavailable
from cnr.http.access_log import AccessLog, LogFile, open_log
from cnr.http.admission import Admission, Rate
from cnr.http.body import EarlyAnswers
from cnr.http.fields import BodyLimits
from cnr.http.free_memory import limit_arenas
from cnr.http.proxies import Proxies
from cnr.http.security import StrictTransport
from cnr.registry.catalog import Catalog
from cnr.registry.chart_entries import ChartEntries
from cnr.registry.core import Core
from cnr.registry.gc import Collector
from cnr.registry.gc_report import Report
from cnr.registry.gc_schedule import Schedule
from cnr.registry.registry import Registry
from cnr.settings.setting import ConfigError
from cnr.store.base import BlobAddresses, StoreRefused
from cnr.store.format_watch import FormatWatch
from cnr.store.open import Stores, open_store
from cnr.store.update import Updater
from cnr.store.views_sqlite import SqliteViews

_IDS_AT_ONCE = 256
POOL_THREADS = 8
"""Threads for fsyncs, hashing and gunzip: more than cores, since fsyncs wait."""


def random_ids(random: Callable[[int], bytes] = os.urandom) -> Callable[[], str]:
    """32 hex digits each, that nobody had before and nobody can guess. For one process: make it after the fork.

    The kernel is asked for many at once: a push takes a dozen, and asking for each took a twelfth of its time.
    """
    batch: list[str] = []

    def new_id() -> str:
        if not batch:
            digits = random(16 * _IDS_AT_ONCE).hex()
            batch.extend(digits[at : at + 32] for at in range(0, len(digits), 32))
        return batch.pop()

    return new_id


def numbered_ids() -> Callable[[], str]:
    """32 hex digits each: a random half of this process, and a number. For requests, which need no secret.

    Asking the kernel for randomness took a twelfth of a request's time.
    """
    prefix, numbers = secrets.token_hex(8), itertools.count()
    return lambda: f"{prefix}{next(numbers):016x}"


SET_BACK_US = 1_000_000
"""A clock that is so far behind what it showed last was set: the corrections of time services are far smaller."""


def strict_clock(wall: Callable[[], int] = time.time_ns) -> Callable[[], int]:
    """Microseconds UTC from `wall` (nanoseconds), each call later than the one before, unless `wall` was set back.

    To stand still until the time comes again would be worse: no token would expire, and nothing would be counted anew.
    """
    last = 0

    def now() -> int:
        nonlocal last
        read = wall() // 1000
        last = read if read < last - SET_BACK_US else max(last + 1, read)
        return last

    return now


def by_first_segment(protocols: Mapping[str, ASGIApp], others: ASGIApp) -> ASGIApp:
    """Gives each request to the protocol whose name is the first segment of its path."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = protocols.get(scope["path"][1:].partition("/")[0], others)
        await chosen(scope, receive, send)

    return app


AT_A_ROOT = frozenset({"v2", "cnr", "docs", "openapi.json", "version", "healthz", "readyz"})
"""First segments that stay what they are where a host has the classic Helm repository at its root; and `/api/v1/`."""


def by_host(hosts: Sequence[str], at_root: ASGIApp, others: ASGIApp) -> ASGIApp:
    """Gives requests for `hosts` to `at_root`, but for the addresses of other protocols."""
    names = frozenset(host.encode() for host in hosts)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        path: str = scope["path"]
        here = host.partition(b":")[0].lower() in names
        elsewhere = path.startswith("/api/v1/") or path[1:].partition("/")[0] in AT_A_ROOT
        await (at_root if here and not elsewhere else others)(scope, receive, send)

    return app


async def open_stores(config: Config, pool: Executor, *, own_only: bool = False) -> Stores:
    """The stores of `config`; as open_registry does."""
    return await open_store(
        config.records_url,
        pool=pool,
        blobs=config.blob_storage,
        local=config.database_url,
        own_only=own_only,
        prefix=config.kv_prefix,
        chunked_bytes=config.max_chunked_blob,
    )


@asynccontextmanager
async def open_registry(config: Config, *, own_only: bool = False) -> AsyncIterator[Registry]:
    """The registry over the stores of `config`, for one event loop, while the block runs.

    `own_only` refuses a store of another user, whose server could not use the files made in it. Raises StoreRefused
    and StoreUnavailable with one sentence for whoever started it.
    """
    async with AsyncExitStack() as stack:
        limit_arenas()
        pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="cnr")
        stack.callback(pool.shutdown)
        stores = await open_stores(config, pool, own_only=own_only)
        stack.push_async_callback(stores.close)
        if config.blob_redirect is not None and not isinstance(stores.blobs, BlobAddresses):
            raise StoreRefused("CNR_BLOB_REDIRECT needs files on an object store (BLOB_STORAGE)")
        views = SqliteViews(config.database_url)
        stack.push_async_callback(views.close)
        catalog = Catalog(stores.records, views, ChartEntries(stores.records, stores.blobs, config.limits))
        stack.push_async_callback(catalog.close)
        _make_spool(config.spool)
        ids = random_ids()
        core = Core(
            records=stores.records,
            blobs=stores.blobs,
            updater=Updater(stores.records, ids),
            catalog=catalog,
            clock=strict_clock(lambda: stores.clock() * 1000),
            new_id=ids,
            pool=pool,
            spool_folder=config.spool,
            limits=config.limits,
            grace=timedelta(seconds=config.gc_grace),
            policy=config.policy,
            redirect_from=config.blob_redirect,
            quota=config.quota,
            upload_idle=timedelta(seconds=config.upload_timeout),
        )
        yield Registry(core)


def _make_spool(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as exc:
        raise StoreRefused(f"{folder} cannot be used as the spool (CNR_SPOOL): {exc.strerror}") from exc


async def _bring_views_up(registry: Registry) -> None:
    """Begin at start what the first list would wait for: after an upgrade the views are built anew."""
    with suppress(StoreTrouble):
        await registry.catalog.sync()


def access_control(registry: Registry, htpasswd: Path | None = None, login_failures: int = 0) -> AccessControl:
    """The accounts in the registry's record store, and in an htpasswd file; the rest as AccessControl has it."""
    core = registry.core
    return AccessControl(
        core.records,
        core.updater,
        registry.policies.is_public,
        clock=core.clock,
        new_id=core.new_id,
        login_failures=login_failures,
        htpasswd=htpasswd,
    )


async def _access_control(config: Config, registry: Registry, stack: AsyncExitStack) -> AccessControl | None:
    """None where the server is open."""
    if config.auth == "open":
        return None
    if config.htpasswd is not None and not os.access(config.htpasswd, os.R_OK):
        raise ConfigError(f"the htpasswd file {config.htpasswd} cannot be read (CNR_HTPASSWD)")
    control = access_control(registry, config.htpasswd, config.login_failures)
    stack.push_async_callback(control.close)
    return control


def _admission(config: Config) -> Admission | None:
    """None where no rate is set: then nothing is counted."""
    wanted = (
        config.rate_per_address,
        config.write_rate_per_address,
        config.rate_per_caller,
        config.write_rate_per_caller,
    )
    if all(rate is None for rate in wanted):
        return None
    return Admission(*(None if rate is None else Rate(rate, config.rate_burst) for rate in wanted))


async def _anybody(name: str, password: str, address: str) -> Who:
    """An open server takes every login. Source: contracts/cnr.md 2.15."""
    return OPEN


def open_audit_log(config: Config, clock: Callable[[], int]) -> AuditLog | None:
    """The audit log of `config`; None where there is none. Raises ConfigError where it cannot be written."""
    days = timedelta(days=config.audit_days)
    sink = open_sink(
        config.audit_log,
        most_bytes=config.audit_size,
        most_s=int(days.total_seconds()),
        keep=config.audit_keep,
        clock=clock,
    )
    if sink is None:
        return None
    try:
        sink.start()
    except OSError as exc:
        reason = exc.strerror
        raise ConfigError(f"{config.audit_log} cannot be used as the audit log (CNR_AUDIT_LOG): {reason}") from exc
    return AuditLog(sink, clock=clock, strict=config.audit_strict)


def collected(report: Report) -> Event:
    """A collection in the audit log."""
    removed = {"records": report.count, "files": report.unnamed, "bytes": report.size}
    return server_event("collect-garbage", removed | ({"left_alone": len(report.failed)} if report.failed else {}))


def _open_access_log(setting: str) -> LogFile | None:
    try:
        return open_log(setting)
    except OSError as exc:
        raise ConfigError(f"{setting} cannot be used as the access log (CNR_ACCESS_LOG): {exc.strerror}") from exc


def _checks(config: Config, watch: FormatWatch, audit: AuditLog | None) -> list[Callable[[], None]]:
    """What keeps changes out."""
    checks = [read_only if config.read_only else watch.check]
    return checks if audit is None else [*checks, audit.check]


class App:
    """The server as one ASGI application. Nothing is opened before `startup`.

    Under a server that speaks the lifespan protocol that starts and ends it; others call startup and shutdown.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stack = AsyncExitStack()
        self._app: ASGIApp | None = None
        self._draining = False

    async def startup(self) -> None:
        """Open the stores in this process and this event loop. Raises as open_registry does; then nothing is open."""
        async with AsyncExitStack() as stack:
            self._app = await self._make(stack)
            self._stack = stack.pop_all()

    async def _make(self, stack: AsyncExitStack) -> ASGIApp:
        config = self._config
        registry = await stack.enter_async_context(open_registry(config))
        views_begun = asyncio.create_task(_bring_views_up(registry))
        stack.callback(views_begun.cancel)
        watch = FormatWatch(registry.core.records)
        await stack.enter_async_context(watch.running())
        audit = open_audit_log(config, strict_clock())
        record = None
        if audit is not None:
            stack.callback(audit.close)
            record = audit.record
        if config.gc_interval and not config.read_only:
            collector = Collector(registry.core, registry.manifests)
            told = None if record is None else lambda report: record(collected(report))
            schedule = Schedule(registry.core, collector, config.gc_interval, told=told, may=lambda: not watch.is_newer)
            await stack.enter_async_context(schedule.running())
        fields = FieldReader(
            BodyLimits(json=config.max_json_body, form=config.max_form_body, stall_s=config.body_timeout), config.spool
        )
        control = await _access_control(config, registry, stack)
        authorize = OpenAuthority().authorize if control is None else control.authority.authorize
        authorize = Gate(authorize, _checks(config, watch, audit)).authorize
        check = _anybody if control is None else control.login
        site = Site(fields, partial(self._ready, registry), check=check, public_url=config.public_url)
        admission = _admission(config)
        oci = oci_api.adapter(
            registry,
            authorize,
            stall_s=config.body_timeout,
            tokens=None if control is None else control.token_service,
            scheme=config.auth_scheme,
            public_url=config.public_url,
            admission=admission,
            record=record,
        )
        protocols: dict[str, ASGIApp] = {"v2": oci, "token": oci}
        helm = partial(
            helm_api.adapter, registry, authorize, stall_s=config.body_timeout, admission=admission, record=record
        )
        protocols[config.helm_path[1:]] = helm(context_path=config.helm_path)
        cnr = cnr_api.adapter(registry, fields, site, authorize, control=control, admission=admission, record=record)
        app = by_first_segment(protocols, cnr)
        if config.helm_hosts:
            app = by_host(config.helm_hosts, helm(context_path=""), app)
        app = EarlyAnswers(app)
        log = _open_access_log(config.access_log)
        if log is not None:
            stack.callback(log.close)
        app = AccessLog(app, log, clock=strict_clock(), ids=numbered_ids())
        if config.hsts:
            app = StrictTransport(app, config.hsts)
        return Proxies(app, config.trusted_proxies) if config.trusted_proxies else app

    def drain(self) -> None:
        """Answer /readyz with 503 from now on, and all else as before."""
        self._draining = True

    async def _ready(self, registry: Registry) -> None:
        if self._draining:
            raise StoreUnavailable("this server is about to stop")
        await registry.ready()

    async def shutdown(self) -> None:
        """Let go of everything; open requests must have ended."""
        self._app = None
        await self._stack.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            assert self._app is not None, "startup comes first"
            await self._app(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.startup()
        except Exception as exc:
            await send({"type": "lifespan.startup.failed", "message": str(exc)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.shutdown()
        await send({"type": "lifespan.shutdown.complete"})
