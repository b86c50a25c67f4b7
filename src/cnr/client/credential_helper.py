"""Docker's credential helpers: programs that keep passwords.

Source: docker/docker-credential-helpers, "Development".
"""

import os
import re
import shutil
import subprocess

import msgspec

from cnr.client.credentials import Credentials, Unshown
from cnr.client.errors import HelperFailed

LIMIT_S = 30.0
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_IDENTITY = "<token>"
_NONE = "credentials not found"
_SENTENCE = re.compile(r"[A-Za-z][A-Za-z0-9 ,.:;'()/_-]{0,199}")


class _Answer(Unshown):
    Username: str
    Secret: str


def ask_helper(name: str, server: str, *, limit_s: float = LIMIT_S) -> Credentials | None:
    """What the helper `name` keeps for `server`; None where it has nothing. Raises HelperFailed.

    It is a program on PATH, given the server by its standard input, so that no shell and no process list sees it.
    """
    program = f"docker-credential-{name}"
    try:
        done = subprocess.run(  # noqa: S603
            [_found(name, program), "get"], input=server.encode(), capture_output=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise HelperFailed(f"{program} did not answer within {limit_s:g} seconds") from None
    except OSError as exc:
        raise HelperFailed(f"{program} cannot be run: {exc.strerror}") from None
    if done.returncode != 0:
        if _NONE in done.stdout.decode(errors="replace").lower():
            return None
        raise HelperFailed(f"{program} ended with status {done.returncode}{_reason(done.stderr, done.stdout)}")
    return _credentials(program, done.stdout)


def _found(name: str, program: str) -> str:
    if not _NAME.fullmatch(name):
        raise HelperFailed(f"{name[:100]!a} is no name of a credential helper")
    found = shutil.which(program)
    # An empty entry of PATH, or `.`, would take a program from whatever folder this is.
    if found is None or not os.path.isabs(found):
        raise HelperFailed(f"{program} is not on PATH")
    return found


def _credentials(program: str, printed: bytes) -> Credentials | None:
    try:
        answer = msgspec.json.decode(printed, type=_Answer)
        answer.Secret.encode()
    except (msgspec.MsgspecError, UnicodeError):
        raise HelperFailed(f"{program} printed something else than credentials") from None
    if answer.Username == _IDENTITY:
        return Credentials(identity_token=answer.Secret)
    return Credentials(answer.Username, answer.Secret) if answer.Secret else None


def _reason(*printed: bytes) -> str:
    """The first line that is a sentence: neither JSON nor anything with marks that tokens have."""
    for text in printed:
        line = text.decode(errors="replace").strip().partition("\n")[0].strip()
        if " " in line and _SENTENCE.fullmatch(line):
            return f": {line}"
    return ""
