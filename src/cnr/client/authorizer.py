"""The Authorization header of each request, by what the registry asks for: nothing, Basic, or a bearer token.

Source: RFC 7617; distribution's token specifications ("Token Authentication", "OAuth2 Token Authentication").
"""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx
import msgspec

from cnr.client.challenge import Challenge, may_have_credentials, parse_challenge, token_address
from cnr.client.credentials import NOBODY, Credentials, Unshown
from cnr.client.errors import BadAnswer, ClientError, NotAllowed
from cnr.client.reference import RegistryAddress
from cnr.client.transport import RETRIED_STATUSES, reaching, read_body, unavailable

_TOKEN_LIMIT = 256 * 1024
_LEAST_LIFE_S = 60
_LONGEST_LIFE_S = 3600
_EARLY_S = 10
"""A token is not used in its last seconds."""


class _TokenAnswer(Unshown):
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
        *,
        insecure: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._http = http
        self._credentials = credentials
        self._insecure = insecure
        self._clock = clock
        self._lock = threading.Lock()
        self._basic = False
        self._tokens: dict[str, tuple[str, float]] = {}
        self.withheld_from: str | None = None
        """A token server to which the registry sent us, and which may not have the credentials."""

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
        url = token_address(challenge, self._registry, insecure=self._insecure)
        scopes = (challenge.scope or scope).split()
        with reaching(self._registry), self._asked(url, challenge.service, scopes) as response:
            return self._token(response, url.host)

    def _asked(self, url: httpx.URL, service: str | None, scopes: list[str]) -> AbstractContextManager[httpx.Response]:
        """The answer of the token server. Source: distribution's two token specifications: GET, and OAuth2's POST."""
        who = self._credentials
        if who and not may_have_credentials(url.host, self._registry):
            self.withheld_from = url.host
            who = NOBODY
        named = [("service", service)] if service else []
        if who.identity_token:
            form = {"grant_type": "refresh_token", "client_id": "cnr", "refresh_token": who.identity_token}
            form |= dict(named) | ({"scope": " ".join(scopes)} if scopes else {})
            return self._http.stream("POST", url, data=form)
        query = httpx.QueryParams([*url.params.multi_items(), *named, *(("scope", each) for each in scopes)])
        headers = {"Authorization": who.basic} if who.basic else {}
        return self._http.stream("GET", url, params=query, headers=headers)

    def _why_not(self, host: str) -> str:
        if self.withheld_from:
            return f"{host} is of another domain, so that the password was not shown to it"
        if self._credentials.identity_token:
            return "the token that was kept is not valid any more: log in again"
        return "the name or password is wrong" if self._credentials.basic else "a name and password are needed"

    def _token(self, response: httpx.Response, host: str) -> tuple[str, float]:
        status = response.status_code
        if status in (401, 403) or (status == 400 and self._credentials.identity_token):
            raise NotAllowed(f"{host} gives no token for {self._registry}: {self._why_not(host)}", status=status)
        if status in RETRIED_STATUSES:
            raise unavailable(response, f"{host} gives no token now")
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
