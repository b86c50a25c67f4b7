"""Who somebody is for a registry."""

import base64
from dataclasses import dataclass, field

import msgspec


class Unshown(msgspec.Struct):
    """What is read from a file or an answer and must not get into a traceback or log by its repr."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name and password for one registry; or one of the others. None of it is in its repr.

    `fixed`: an Authorization header as it is. `identity_token`: what a token server made of a password once; it is
    shown to token servers alone. Source: docker's "identitytoken"; distribution, "OAuth2 Token Authentication".
    """

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    fixed: str | None = field(default=None, repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str | None:
        """The header of HTTP Basic; None without a name or password."""
        if not self.username and not self.password:
            return None
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    def __bool__(self) -> bool:
        return self != NOBODY


NOBODY = Credentials()
