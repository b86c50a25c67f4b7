"""Certificates from files, which may be replaced while the server runs."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

LOOK_S: Final = 5.0
"""How often the files are looked at."""
HANDSHAKE_S: Final = 10.0
"""Seconds that a client has for a handshake."""
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"
"""Of TLS 1.2: with forward secrecy and authenticated. TLS 1.3 has no others."""
_OTHERS_READ: Final = 0o004
_MISMATCHES: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")

_log = logging.getLogger("cnr.tls")


class CertificateRefused(Exception):
    """Files that cannot be used. The message is one sentence."""


class Certificate:
    """The certificate with its chain in `cert`, and its key in `key`; both PEM. They may be one file.

    Raises CertificateRefused where they cannot be used.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert = cert
        self._key = key
        self._seen = self._state()
        self._current = self._load()
        self.context = self._context()
        """For a server. New connections get the certificate that is current; nothing happens to open ones."""
        self._warn()

    @asynccontextmanager
    async def watched(self, look_s: float = LOOK_S) -> AsyncIterator[None]:
        """Take over new files while the block runs. Broken ones change nothing, and are an error in the log."""
        task = asyncio.create_task(self._forever(look_s))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _forever(self, look_s: float) -> None:
        while True:
            await asyncio.sleep(look_s)
            self.look()

    def look(self) -> None:
        """Take over the files if they are others than before."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            self._current = self._load()
        except CertificateRefused as exc:
            _log.error("the old certificate stays in use: %s", exc)
        else:
            _log.warning("a new certificate is in use, from %s", self._cert)
            self._warn()

    def _context(self) -> ssl.SSLContext:
        context = self._load()

        def choose(connection: ssl.SSLObject, name: str | None, of: ssl.SSLContext) -> None:
            connection.context = self._current

        # Called in every handshake. Loading new files into a context in use would leave it broken where they are.
        context.sni_callback = choose
        return context

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
        try:
            context.load_cert_chain(self._cert, self._key, password=self._no_password)
        except ssl.SSLError as exc:
            raise CertificateRefused(self._reason(exc)) from None
        except OSError as exc:
            raise CertificateRefused(self._unreadable(exc)) from None
        return context

    def _warn(self) -> None:
        if self._key.stat().st_mode & _OTHERS_READ:
            _log.warning("every user of this machine can read the key %s: chmod 640 or less", self._key)

    def _no_password(self) -> str:
        raise CertificateRefused(f"the key {self._key} is encrypted; a server needs one that is not")

    def _unreadable(self, error: OSError) -> str:
        for file in (self._cert, self._key):
            try:
                file.read_bytes()
            except OSError as exc:
                return f"{file} cannot be read: {exc.strerror}"
        return f"{self._cert} and {self._key} cannot be read: {error.strerror}"

    def _reason(self, error: ssl.SSLError) -> str:
        if error.reason in _MISMATCHES:
            return f"the key in {self._key} does not belong to the first certificate in {self._cert}"
        cert, key = self._cert.read_bytes(), self._key.read_bytes()
        if b"-----BEGIN CERTIFICATE-----" not in cert:
            return f"there is no certificate in {self._cert}: it must be a PEM file"
        if b"PRIVATE KEY-----" not in key:
            return f"there is no key in {self._key}: it must be a PEM file"
        why = (error.reason or "damaged").lower().replace("_", " ")
        return f"the certificate in {self._cert} with the key in {self._key} cannot be used: {why}"

    def _state(self) -> tuple[tuple[int, int, int], ...]:
        """What is different after a file was replaced or written; also when a link leads elsewhere."""
        found = []
        for file in (self._cert, self._key):
            try:
                stat = file.stat()
                found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
            except OSError:
                found.append((0, 0, 0))
        return tuple(found)
