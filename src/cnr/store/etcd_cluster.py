"""Calls to an etcd cluster: connections, fail-over between endpoints, tokens. Knows no key.

The messages are aetcd's (generated from etcd's own .proto); its client is not used: it takes one endpoint, no TLS, and
answers of at most 4 MiB.
"""

import asyncio
from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
from aetcd import rpc

from cnr.domain.errors import OutcomeUnknown, StoreUnavailable
from cnr.store.base import StoreRefused
from cnr.store.etcd_address import Address
from cnr.store.etcd_faults import Fault, RevisionGone, SpaceExceeded, TooLarge, fault_of

CONNECT_S: Final = 2.0
"""How long an endpoint may take to accept a connection."""
ATTEMPTS_S: Final = (1.0, 2.0, 3.0)
"""How long the attempts of a read may take: a hung member is left soon, and a large answer gets its time at last."""
ANSWER_S: Final = 3.0
"""How long a call may take that is not repeated."""
READ_S: Final = 6.0
"""How long a read goes on over all attempts: an election takes one to two seconds."""
WRITE_S: Final = 6.0
"""How long a write waits for its only answer."""
_PAUSE_S: Final = 0.05
ANSWER_BYTES: Final = 96 * 1024 * 1024
"""The largest answer taken: a range of 128 records."""

_OPTIONS: Final = (
    ("grpc.enable_retries", 0),  # also its transparent ones: a write is sent once
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", ANSWER_BYTES),
    ("grpc.max_send_message_length", ANSWER_BYTES),
    ("grpc.keepalive_time_ms", 10_000),  # etcd hangs up on who asks more often than every 5 s
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
)
_CALLS: Final = {
    "Txn": ("KV", rpc.TxnRequest, rpc.TxnResponse),
    "Range": ("KV", rpc.RangeRequest, rpc.RangeResponse),
    "Authenticate": ("Auth", rpc.AuthenticateRequest, rpc.AuthenticateResponse),
    "Status": ("Maintenance", rpc.StatusRequest, rpc.StatusResponse),
    "Alarm": ("Maintenance", rpc.AlarmRequest, rpc.AlarmResponse),
    "MemberList": ("Cluster", rpc.MemberListRequest, rpc.MemberListResponse),
}


class Endpoint:
    """One member's address and the connection to it."""

    def __init__(self, target: str, credentials: Any) -> None:
        self.target = target
        self._channel = (
            grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
            if credentials
            else grpc.aio.insecure_channel(target, options=_OPTIONS)
        )
        self._calls = {
            name: self._channel.unary_unary(
                f"/etcdserverpb.{service}/{name}",
                request_serializer=request.SerializeToString,
                response_deserializer=answer.FromString,
            )
            for name, (service, request, answer) in _CALLS.items()
        }
        self._watch = self._channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=rpc.WatchRequest.SerializeToString,
            response_deserializer=rpc.WatchResponse.FromString,
        )

    async def call(self, name: str, request: Any, metadata: Sequence[tuple[str, str]], timeout_s: float) -> Any:
        """The answer. Raises AioRpcError."""
        return await self._calls[name](request, metadata=metadata, timeout=timeout_s)

    def watch(self, metadata: Sequence[tuple[str, str]]) -> Any:
        """A stream of watch answers."""
        return self._watch(metadata=metadata)

    async def connected(self) -> bool:
        """Whether there is a connection, made within CONNECT_S where there was none."""
        state = self._channel.get_state(try_to_connect=True)
        if state is grpc.ChannelConnectivity.READY:
            return True
        try:
            async with asyncio.timeout(CONNECT_S):
                while state is not grpc.ChannelConnectivity.READY:
                    if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                        return False
                    await self._channel.wait_for_state_change(state)
                    state = self._channel.get_state(try_to_connect=True)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Let calls under way end, then hang up."""
        await self._channel.close(grace=WRITE_S)


class Cluster:
    """The members behind an address. One is used until it fails, then the next."""

    def __init__(self, address: Address) -> None:
        tls = address.tls
        credentials = tls and grpc.ssl_channel_credentials(tls.ca, tls.key, tls.cert)
        self.address = address
        self.endpoints = [Endpoint(target, credentials) for target in address.endpoints]
        self._at = 0
        self._token = ""
        self._login = asyncio.Lock()

    async def read(self, name: str, request: Any) -> Any:
        """The answer to a call that changes nothing; sent again, elsewhere too, for up to READ_S.

        Raises StoreUnavailable, and RevisionGone.
        """
        end = asyncio.get_running_loop().time() + READ_S
        logins = 0
        attempts = chain(ATTEMPTS_S, repeat(ATTEMPTS_S[-1])) if len(self.endpoints) > 1 else repeat(READ_S)
        while True:
            endpoint, token = await self._endpoint(), self._token
            left = end - asyncio.get_running_loop().time()
            try:
                return await endpoint.call(name, request, self._metadata(), max(0.1, min(left, next(attempts))))
            except grpc.aio.AioRpcError as exc:
                fault = fault_of(exc)
                if fault in (Fault.COMPACTED, Fault.FUTURE):
                    raise RevisionGone from None
                if fault is Fault.LOGIN and logins < 2:
                    logins += 1
                    await self._log_in(token)
                    continue
                if fault not in (Fault.LOST, Fault.UNSENT) or left <= 0:
                    self._fail(exc)
                self._leave(endpoint)
                await asyncio.sleep(_PAUSE_S)

    async def write(self, request: Any) -> Any:
        """The answer to a transaction; sent again only where it was certainly not handled.

        Raises StoreUnavailable, OutcomeUnknown, and TooLarge and SpaceExceeded of etcd_faults.
        """
        end = asyncio.get_running_loop().time() + WRITE_S
        logins = 0
        while True:
            endpoint, token = await self._endpoint(), self._token
            try:
                return await endpoint.call("Txn", request, self._metadata(), WRITE_S)
            except grpc.aio.AioRpcError as exc:
                fault = fault_of(exc)
                if fault is Fault.LOGIN and logins < 2:
                    logins += 1
                    await self._log_in(token)
                    continue
                if fault is Fault.NO_SPACE:
                    raise SpaceExceeded from None
                if fault is Fault.TOO_LARGE:
                    raise TooLarge from None
                if fault is Fault.LOST:
                    self._leave(endpoint)
                    raise OutcomeUnknown(f"etcd did not answer a write ({_why(exc)}); it is safe to repeat it") from exc
                if fault is not Fault.UNSENT or asyncio.get_running_loop().time() >= end:
                    self._fail(exc)
                self._leave(endpoint)
                await asyncio.sleep(_PAUSE_S)

    async def watch(self) -> Any:
        """A new stream for watches. Raises StoreUnavailable; what the stream raises goes to `broken`."""
        return (await self._endpoint()).watch(self._metadata())

    async def broken(self, exc: Any) -> None:
        """Tell that a watch ended with this AioRpcError, so that the next one is made where it can work."""
        if fault_of(exc) is Fault.LOGIN:
            await self._log_in(self._token)
        else:
            self._at = (self._at + 1) % len(self.endpoints)

    async def compacted(self, key: bytes) -> int:
        """The oldest revision that is kept; 0: nothing was ever compacted.

        Only a watch from before says it. Raises StoreUnavailable.
        """
        try:
            await self.read("Range", rpc.RangeRequest(key=key, revision=1))
        except RevisionGone:
            stream = await self.watch()
            try:
                await stream.write(rpc.WatchRequest(create_request={"key": key, "start_revision": 1}))
                async for answer in stream:
                    if answer.compact_revision:
                        return int(answer.compact_revision)
            except grpc.aio.AioRpcError as exc:
                self._fail(exc)
            finally:
                stream.cancel()
            raise StoreUnavailable(f"{self.address} does not say what it has compacted") from None
        return 0

    async def ask_each(self, name: str, request: Any) -> list[tuple[Endpoint, Any]]:
        """Every endpoint's own answer; None where it gives none."""

        async def ask(endpoint: Endpoint) -> tuple[Endpoint, Any]:
            try:
                return endpoint, await endpoint.call(name, request, self._metadata(), ANSWER_S)
            except grpc.aio.AioRpcError:
                return endpoint, None

        return await asyncio.gather(*map(ask, self.endpoints))

    async def log_in(self) -> None:
        """Get a token where the address has a user. Raises StoreRefused, StoreUnavailable."""
        await self._log_in(self._token)

    async def close(self) -> None:
        """Let calls under way end, then hang up."""
        await asyncio.gather(*(endpoint.close() for endpoint in self.endpoints))

    async def _endpoint(self) -> Endpoint:
        """An endpoint with a connection. Raises StoreUnavailable: nothing was sent."""
        for _ in self.endpoints:
            endpoint = self.endpoints[self._at]
            if await endpoint.connected():
                return endpoint
            self._leave(endpoint)
        raise StoreUnavailable(f"{self.address} cannot be reached")

    def _leave(self, endpoint: Endpoint) -> None:
        """Use the next one from now on, unless another task was first."""
        if self.endpoints[self._at] is endpoint:
            self._at = (self._at + 1) % len(self.endpoints)

    def _metadata(self) -> Sequence[tuple[str, str]]:
        if self._token:
            return (("hasleader", "true"), ("token", self._token))
        return (("hasleader", "true"),)

    async def _log_in(self, token: str) -> None:
        """Replace `token`, unless another task has."""
        async with self._login:
            if self._token != token:
                return
            if not self.address.user:
                raise StoreUnavailable(f"{self.address} wants a user and a password in its address")
            self._token = ""
            request = rpc.AuthenticateRequest(name=self.address.user, password=self.address.password)
            endpoint = await self._endpoint()
            try:
                self._token = (await endpoint.call("Authenticate", request, (), ANSWER_S)).token
            except grpc.aio.AioRpcError as exc:
                self._leave(endpoint)
                self._fail(exc)

    def _fail(self, exc: Any) -> NoReturn:
        raise StoreUnavailable(f"{self.address} does not work: {_why(exc)}") from exc


def _why(exc: Any) -> str:
    """One line without addresses of connections."""
    details = (exc.details() or "").partition("\n")[0]
    return details if details.startswith("etcdserver:") else exc.code().name.lower().replace("_", " ")


def refuse_denied(exc: StoreUnavailable) -> StoreUnavailable | StoreRefused:
    """At open, what no waiting mends is a refusal."""
    cause = exc.__cause__
    denied = isinstance(cause, grpc.aio.AioRpcError) and fault_of(cause) is Fault.DENIED
    return StoreRefused(exc.message) if denied or "wants a user" in exc.message else exc
