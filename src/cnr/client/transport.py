"""HTTP as the client needs it: one connection to one registry, its failures as sentences."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NoReturn, TypeVar

import httpx
import msgspec

from cnr import __version__
from cnr.client.errors import BadAnswer, ClientError, Exists, NoConnection, NotAllowed, NotFound, Refusal, Unreachable
from cnr.client.messages import ErrorBody, WrappedError
from cnr.client.reference import RegistryAddress

T = TypeVar("T")

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 60.0
"""Longest silence while sending or receiving."""

ANSWER_LIMIT = 64 * 1024 * 1024
"""Bytes of a JSON answer: a list of 100,000 packages has about 30 MiB."""

_ERROR_LIMIT = 64 * 1024
_MESSAGE_LIMIT = 1000
RETRIED_STATUSES = frozenset({429, 502, 503, 504})
"""Answers of a server that is not available now."""
_REFUSALS: dict[int, type[Refusal]] = {401: NotAllowed, 403: NotAllowed, 404: NotFound, 409: Exists}


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a registry. `prefix` stands before every path; `token` goes into Authorization as it is.

    `/cnr` is the prefix that all servers but those of 2016 have. Source: contracts/cnr.md section 0, "URL prefix".
    """

    registry: RegistryAddress
    prefix: str = "/cnr"
    token: str | None = field(default=None, repr=False)
    insecure: bool = False
    cacert: Path | None = None

    def open(self) -> httpx.Client:
        """A client for this registry. Proxies of the environment are used, except to reach this machine itself.

        Raises ClientError for a certificate file that cannot be used, or a token that no header can carry.
        """
        return httpx.Client(
            base_url=self.registry.url + self.prefix,
            headers=self._headers(),
            verify=self._tls(),
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            trust_env=not self.registry.is_loopback,
        )

    def _headers(self) -> dict[str, str]:
        headers = {
            "User-Agent": f"cnr/{__version__}",
            "Accept": "application/json, */*;q=0.5",
            "Accept-Encoding": "identity",
        }
        if self.token:
            if not (self.token.isascii() and self.token.isprintable()):
                raise ClientError("the token in CNR_TOKEN has characters that cannot be sent")
            headers["Authorization"] = self.token
        return headers

    def _tls(self) -> ssl.SSLContext | bool:
        if self.insecure:
            return False
        context = httpx.create_ssl_context()
        context.load_default_certs()
        if self.cacert is not None:
            try:
                context.load_verify_locations(self.cacert)
            except (OSError, ssl.SSLError) as exc:
                raise ClientError(f"the certificate file {self.cacert} cannot be used: {_reason(exc)}") from None
        return context


@contextmanager
def reaching(registry: RegistryAddress) -> Iterator[None]:
    """Turns what httpx raises within the block into Unreachable or BadAnswer."""
    try:
        yield
    except httpx.ConnectTimeout:
        raise NoConnection(f"{registry} did not answer within {CONNECT_TIMEOUT_S:.0f} seconds") from None
    except httpx.TimeoutException:
        raise Unreachable(f"{registry} was silent for {ANSWER_TIMEOUT_S:.0f} seconds") from None
    except httpx.ConnectError as exc:
        raise NoConnection(_why_not_connected(registry, exc)) from None
    except (httpx.NetworkError, httpx.RemoteProtocolError) as exc:
        raise Unreachable(f"{registry} broke off the connection: {_reason(exc)}") from None
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise BadAnswer(f"{registry} cannot be used: {_reason(exc)}") from None


def _why_not_connected(registry: RegistryAddress, exc: httpx.ConnectError) -> str:
    reason = _reason(exc)
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER_FAILURE" in reason:
        return f"{registry} does not speak TLS: write http://{registry} if that is meant"
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        detail = reason.rpartition("CERTIFICATE_VERIFY_FAILED] ")[2].partition(" (_ssl")[0]
        return f"the certificate of {registry} cannot be trusted ({detail}): give its authority with --cacert, or -k"
    return f"{registry} cannot be reached: {reason}"


def decode(response: httpx.Response, kind: type[T]) -> T:
    """The JSON answer as `kind`. Raises Refusal for an error status, BadAnswer for anything unexpected."""
    if not response.is_success:
        fail(response)
    try:
        return msgspec.json.decode(read_body(response, ANSWER_LIMIT), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise BadAnswer(_not_a_registry(response, str(exc))) from None


def fail(response: httpx.Response) -> NoReturn:
    """Raises what an answer that is no success means."""
    if response.has_redirect_location:
        raise BadAnswer(f"{host_of(response)} sends this request elsewhere: use {response.headers['location']} instead")
    status = response.status_code
    error = _error(read_body(response, _ERROR_LIMIT, cut=True))
    if error is None:
        if status in RETRIED_STATUSES:
            sentence = f"{host_of(response)} is not available now ({status} {response.reason_phrase})"
            raise Unreachable(sentence, retry_after=retry_after(response))
        raise BadAnswer(_not_a_registry(response, "it has no error in JSON"))
    message = error.message[:_MESSAGE_LIMIT] or f"{status} {response.reason_phrase}"
    if status in RETRIED_STATUSES:
        raise Unreachable(f"{host_of(response)} is not available now: {message}", retry_after=retry_after(response))
    details = error.details if isinstance(error.details, dict) else {}
    raise _REFUSALS.get(status, Refusal)(message, status=status, code=error.code, details=details)


def retry_after(response: httpx.Response) -> float | None:
    """The seconds that the server asks to wait; None where it says nothing. Source: RFC 9110, 10.2.3."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
        return max(0.0, (moment - datetime.now(moment.tzinfo)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


def unavailable(response: httpx.Response, sentence: str) -> Unreachable:
    """The error of an answer in RETRIED_STATUSES: `sentence`, and for how long, where the server says that."""
    pause = retry_after(response)
    when = f", and asks to come again in {pause:.0f} seconds" if pause else ""
    return Unreachable(f"{sentence} ({response.status_code}{when})", retry_after=pause)


def read_body(response: httpx.Response, limit: int, *, cut: bool = False) -> bytes:
    """The body, decoded. Above `limit` bytes: BadAnswer, or with `cut` only its beginning."""
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > limit:
            if cut:
                break
            raise BadAnswer(f"the answer of {host_of(response)} is longer than {limit:,} bytes")
    return bytes(body[:limit])


def _error(body: bytes) -> ErrorBody | None:
    try:
        return msgspec.json.decode(body, type=WrappedError).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    try:
        bare = msgspec.json.decode(body, type=ErrorBody)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return bare if bare.message or bare.code else None


def _not_a_registry(response: httpx.Response, why: str) -> str:
    kind = response.headers.get("content-type", "no content type").partition(";")[0]
    hint = " (a server without /cnr in its paths needs APPR_URL_PREFIX= in the environment)"
    return (
        f"{host_of(response)} answered {response.status_code} with {kind}, not as an app registry does: {why}"
        f"{hint if response.status_code == 404 else ''}"
    )


def host_of(response: httpx.Response) -> str:
    """Who answered."""
    return response.request.url.netloc.decode("ascii")


def _reason(exc: BaseException) -> str:
    """The shortest sentence in an exception: the system's own words where there are any."""
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror
    text = str(exc) or type(exc).__name__
    return text.partition("] ")[2] if text.startswith("[Errno") else text
