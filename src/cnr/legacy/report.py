"""What an import did, entry by entry where a person has to look, in numbers for the rest."""

from typing import Literal

import msgspec

Kind = Literal["refused", "differs", "note"]


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry that a person should look at. Empty text where a field does not apply.

    `refused`: it is not in the registry. `differs`: it is, but its bytes are not those that the old server recorded.
    `note`: it was left aside, or changed, as the rules of the import say. `suggestion`: a name that would be taken.
    """

    kind: Kind
    package: str = ""
    release: str = ""
    media_type: str = ""
    channel: str = ""
    reason: str
    suggestion: str = ""

    @property
    def subject(self) -> str:
        """What it is about, in the words of a command line."""
        if self.channel:
            return f"{self.package} channel {self.channel}"
        release = f"@{self.release}" if self.release else ""
        return f"{self.package}{release} {self.media_type}".strip()

    def because(self, reason: str, *, kind: Kind | None = None) -> "Finding":
        """The same entry, with its reason."""
        return msgspec.structs.replace(self, reason=reason, kind=kind or self.kind)


class Count(msgspec.Struct, kw_only=True):
    """How often each came about."""

    imported: int = 0
    already_there: int = 0
    refused: int = 0

    def add(self, other: "Count") -> None:
        """Count the other's too."""
        self.imported += other.imported
        self.already_there += other.already_there
        self.refused += other.refused


class Report(msgspec.Struct, kw_only=True):
    """An import as a whole. `packages` counts those with at least one manifest in the registry now.

    With `dry_run`, what would have been.
    """

    dry_run: bool = False
    packages: int = 0
    manifests: Count = msgspec.field(default_factory=Count)
    channels: Count = msgspec.field(default_factory=Count)
    findings: list[Finding] = []

    @property
    def clean(self) -> bool:
        """Whether all that the old server had is here now, with the digests that it had recorded."""
        return all(finding.kind == "note" for finding in self.findings)
