"""The Authorization header of each request, by what the registry asks for: nothing, Basic, or a bearer token.

Source: RFC 7617; distribution's token specification ("Token Authentication Specification", GET).
"""

import base64
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import msgspec

from cnr.client.challenge import Challenge, may_have_credentials, parse_challenge, token_address
from cnr.client.errors import BadAnswer, ClientError, NotAllowed, Unreachable
from cnr.client.reference import RegistryAddress
from cnr.client.transport import RETRIED_STATUSES, reaching, read_body, retry_after

_TOKEN_LIMIT = 256 * 1024
_LEAST_LIFE_S = 60
_LONGEST_LIFE_S = 3600
_EARLY_S = 10
"""A token is not used in its last seconds."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name and password for one registry; or `fixed`, an Authorization header as it is."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    fixed: str | None = field(default=None, repr=False)

    @property
    def basic(self) -> str | None:
        """The header of HTTP Basic; None without a name or password."""
        if not self.username and not self.password:
            return None
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class _TokenAnswer(msgspec.Struct):
    token: str = ""
    access_token: str = ""
    expires_in: float | None = None


class Authorizer:
    """What to send to one registry. For several threads. `http` reaches the realm; `clock` gives seconds."""

    def __init__(
        self,
        registry: RegistryAddress,
        http: httpx.Client,
        credentials: Credentials,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._http = http
        self._credentials = credentials
        self._clock = clock
        self._lock = threading.Lock()
        self._basic = False
        self._tokens: dict[str, tuple[str, float]] = {}

    def header(self, scope: str) -> str | None:
        """The header for a request of this scope, as far as it is known what the registry wants."""
        if self._credentials.fixed:
            return self._credentials.fixed
        if self._basic:
            return self._credentials.basic
        with self._lock:
            token, until = self._tokens.get(scope, ("", 0.0))
        return f"Bearer {token}" if token and self._clock() < until else None

    def meet(self, response: httpx.Response, scope: str, sent: str | None) -> bool:
        """Whether after this 401 to a request with the header `sent` another one is worth a try.

        Raises NotAllowed, BadAnswer, Unreachable.
        """
        challenge = parse_challenge(response.headers.get_list("www-authenticate"))
        if challenge is None or self._credentials.fixed:
            return False
        if challenge.scheme == "basic":
            self._basic = self._credentials.basic is not None
            return self._basic and sent != self._credentials.basic
        with self._lock:
            known = self._tokens.get(scope)
            if known is not None and f"Bearer {known[0]}" != sent:
                return True
            self._tokens[scope] = self._fetch(challenge, scope)
        return True

    def _fetch(self, challenge: Challenge, scope: str) -> tuple[str, float]:
        url = token_address(challenge, self._registry)
        scopes = (challenge.scope or scope).split()
        service = [("service", challenge.service)] if challenge.service else []
        query = httpx.QueryParams([*url.params.multi_items(), *service, *(("scope", each) for each in scopes)])
        headers = {}
        if self._credentials.basic and may_have_credentials(url.host, self._registry):
            headers["Authorization"] = self._credentials.basic
        with reaching(self._registry), self._http.stream("GET", url, params=query, headers=headers) as response:
            return self._token(response, url.host)

    def _token(self, response: httpx.Response, host: str) -> tuple[str, float]:
        status = response.status_code
        if status in (401, 403):
            who = "the name or password is wrong" if self._credentials.basic else "a name and password are needed"
            raise NotAllowed(f"{host} gives no token for {self._registry}: {who}", status=status)
        if status in RETRIED_STATUSES:
            raise Unreachable(f"{host} gives no token now ({status})", retry_after=retry_after(response))
        try:
            answer = (
                msgspec.json.decode(read_body(response, _TOKEN_LIMIT), type=_TokenAnswer) if status == 200 else None
            )
        except (msgspec.MsgspecError, UnicodeDecodeError):
            answer = None
        token = (answer.token or answer.access_token) if answer else ""
        if answer is None or not token or not (token.isascii() and token.isprintable()):
            raise BadAnswer(f"{host} answered {status} without a token for {self._registry}")
        life = min(max(answer.expires_in or _LEAST_LIFE_S, _LEAST_LIFE_S), _LONGEST_LIFE_S)
        return token, self._clock() + life - _EARLY_S


def check_header(text: str | None, variable: str) -> str | None:
    """`text`, which may go into a header. Raises ClientError, naming the variable that it came from."""
    if text and not (text.isascii() and text.isprintable()):
        raise ClientError(f"what is in {variable} has characters that cannot be sent")
    return text or None
