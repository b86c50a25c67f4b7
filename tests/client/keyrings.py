"""Keyrings to choose with PYTHON_KEYRING_BACKEND: one that works, and some that must not be used."""

import json
import os
import time
from pathlib import Path

from keyring.backend import KeyringBackend


class _InFile(KeyringBackend):
    """Keeps secrets in the file that TEST_KEYRING names, as no keyring should."""

    def _all(self) -> dict[str, str]:
        file = Path(os.environ["TEST_KEYRING"])
        return dict(json.loads(file.read_text())) if file.exists() else {}

    def _write(self, secrets: dict[str, str]) -> None:
        Path(os.environ["TEST_KEYRING"]).write_text(json.dumps(secrets))

    def get_password(self, service: str, username: str) -> str | None:
        return self._all().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._write(self._all() | {f"{service} {username}": password})

    def delete_password(self, service: str, username: str) -> None:
        self._write({name: secret for name, secret in self._all().items() if name != f"{service} {username}"})


class Good(_InFile):
    priority = 5


class Plain(_InFile):
    """A stopgap by its own word, as the plain text file of keyrings.alt."""

    priority = 0.5


class Forgetful(_InFile):
    priority = 5

    def get_password(self, service: str, username: str) -> str | None:
        return None


class Talkative(_InFile):
    """Fails with the secret in its words."""

    priority = 5

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(f"cannot keep {password}")


class Hanging(_InFile):
    """Waits for somebody to unlock it."""

    priority = 5

    def set_password(self, service: str, username: str, password: str) -> None:
        time.sleep(600)

    def get_password(self, service: str, username: str) -> str | None:
        time.sleep(600)
        return None
