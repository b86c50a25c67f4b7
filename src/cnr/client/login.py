"""Whether a registry takes somebody's credentials: asked before they are kept.

Source: OCI distribution 1.1, "Determining Support", as docker and helm log in; contracts/cnr.md 2.15.
"""

from dataclasses import replace

import httpx

from cnr.client.authorizer import Authorizer, check_header
from cnr.client.challenge import parse_challenge
from cnr.client.credentials import Credentials, Unshown
from cnr.client.errors import BadAnswer, NotAllowed, NotFound, Refusal
from cnr.client.transport import RETRIED_STATUSES, Connection, decode, reaching, unavailable

_LOGIN = "/api/v1/users/login"
_OCI_HEADER = "docker-distribution-api-version"


class _Token(Unshown):
    token: str


def checked(connection: Connection, who: Credentials) -> Credentials | None:
    """What `who` should show to the registry from now on; None where the registry asks nobody who he is.

    The password is sent only after the registry has asked for one, or where it has only the CNR API. Raises
    NotAllowed for a wrong name or password, Unreachable, BadAnswer.
    """
    bare = replace(connection, token=None)
    with replace(bare, prefix="").open() as http, reaching(connection.registry):
        answer = http.get("/v2/")
        if answer.status_code == 401 and parse_challenge(answer.headers.get_list("www-authenticate")):
            _met(Authorizer(connection.registry, http, who, insecure=connection.insecure), answer, connection, http)
            return who
        if answer.status_code in RETRIED_STATUSES:
            raise unavailable(answer, f"{connection.registry} is not available now")
        if answer.is_success and _OCI_HEADER in answer.headers:
            return None
    return _by_cnr(bare, who)


def _met(authorizer: Authorizer, first: httpx.Response, connection: Connection, http: httpx.Client) -> None:
    """Returns if the registry is content with what it asked for."""
    registry = connection.registry
    answer = first
    if authorizer.meet(first, "", None):
        if authorizer.withheld_from:
            raise BadAnswer(
                f"{registry} lets {authorizer.withheld_from} check its passwords, which is of another domain:"
                " the password was not shown to it, and cannot be"
            )
        header = authorizer.header("")
        answer = http.get("/v2/", headers={"Authorization": header} if header else {})
    status = answer.status_code
    if status in RETRIED_STATUSES:
        raise unavailable(answer, f"{registry} takes no login now")
    if status in (401, 403):
        raise _refused(connection, status)
    if status != httpx.codes.OK:
        raise BadAnswer(f"{registry} answered {status} to a login, not as an OCI registry does")


def _by_cnr(connection: Connection, who: Credentials) -> Credentials:
    body = {"user": {"username": who.username, "password": who.password}}
    registry = connection.registry
    try:
        with connection.open() as http, reaching(registry), http.stream("POST", _LOGIN, json=body) as response:
            token = decode(response, _Token).token
    except NotFound as exc:
        raise BadAnswer(f"{registry} has no accounts: neither the OCI API nor a login of the CNR API") from exc
    except NotAllowed as exc:
        raise _refused(connection, exc.status) from None
    except Refusal as exc:
        raise BadAnswer(f"{registry} refuses the login: {exc}") from None
    if token.partition(" ")[2] == str(who.basic).partition(" ")[2]:
        return who
    return Credentials(who.username, fixed=check_header(token, "the server's answer"))


def _refused(connection: Connection, status: int) -> NotAllowed:
    why = "the name or password is wrong" if status == httpx.codes.UNAUTHORIZED else "this user may not log in"
    return NotAllowed(f"{connection.registry} refuses the login: {why}", status=status)
