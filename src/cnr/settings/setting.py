"""One row of the table of settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cnr.domain.store_url import without_secrets


class ConfigError(Exception):
    """A setting that cannot be used. The message is one sentence for whoever starts the server."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `default` as a user would write it, or computed from the settings above it.

    `parse` raises ValueError with the end of a sentence that began with the setting's name and value.
    """

    name: str
    parse: Callable[[str], Any]
    default: str | Callable[[Mapping[str, Any]], str]
    env: tuple[str, ...]
    flag: str | None
    help: str
    default_text: str = ""

    def value(self, environ: Mapping[str, str], flags: Mapping[str, Any], above: Mapping[str, Any]) -> Any:
        """The parsed value. Raises ConfigError."""
        source, text = self._given(environ, flags, above)
        try:
            return self.parse(text)
        except ValueError as exc:
            raise ConfigError(f"{source} is {without_secrets(text)!r}: {exc}.") from None

    def _given(self, environ: Mapping[str, str], flags: Mapping[str, Any], above: Mapping[str, Any]) -> tuple[str, str]:
        if self.name in flags:
            return self.flag or self.name, str(flags[self.name])
        for name in self.env:
            if environ.get(name):
                return name, environ[name]
        return f"the default of {self.name}", self.default if isinstance(self.default, str) else self.default(above)
