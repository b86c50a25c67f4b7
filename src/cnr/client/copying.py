"""`cnr copy` as a whole: what both ends speak, the way between them, and what came of each reference."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cnr.client.cnr import CnrClient
from cnr.client.cnr_side import CnrSide
from cnr.client.cnr_to_oci import CnrToOci
from cnr.client.copy_report import CopyReport, Item
from cnr.client.copy_routes import CnrToCnr, FromCnr, OciToOci, Route, Step, ToCnr
from cnr.client.credentials import Credentials
from cnr.client.errors import BadAnswer, ClientError, InvalidReference, Refusal, Unreachable
from cnr.client.image_reference import ImageReference
from cnr.client.oci import OciClient
from cnr.client.oci_copy import OciCopy, Options, Side
from cnr.client.patience import Patience
from cnr.client.transport import Connection
from cnr.domain.names import PackageName

Protocol = Literal["oci", "cnr"]
_PREFERRED: tuple[tuple[Protocol, Protocol], ...] = (("oci", "oci"), ("cnr", "cnr"), ("oci", "cnr"), ("cnr", "oci"))
"""Source and target: what keeps the most comes first."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a copy: the reference, how to reach its registry by each protocol, and the one to use if given."""

    reference: ImageReference
    connection: Connection
    credentials: Credentials
    protocol: Protocol | None = None


class Copying:
    """A copy from `source` to `target`. Close it, or use it as a context manager."""

    def __init__(self, source: End, target: End, options: Options) -> None:
        self._stack = ExitStack()
        self._options = options
        self._source = _Opened(source, self._stack)
        self._target = _Opened(target, self._stack)
        self.report = CopyReport()
        self.protocols: tuple[Protocol, Protocol] = ("oci", "oci")

    def __enter__(self) -> "Copying":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def one(self, done: Callable[[Item], None]) -> None:
        """Copies the source's reference to the target's. Raises what goes wrong."""
        for step in self._route().one(self._source.end.reference, self._target.end.reference):
            self._take(step, done)

    def everything(self, done: Callable[[Item], None]) -> None:
        """Copies the whole repository. What cannot be copied is an item of the report; no answer ends it all."""
        for step in self._route().everything():
            try:
                self._take(step, done)
            except Unreachable:
                raise
            except ClientError as exc:
                self._note(Item(step.reference, "failed", reason=str(exc)), done)

    def _take(self, step: Step, done: Callable[[Item], None]) -> None:
        digest, status = step.run()
        self._note(Item(step.reference, status, digest), done)

    def _note(self, item: Item, done: Callable[[Item], None]) -> None:
        self.report.items.append(item)
        done(item)

    def _route(self) -> Route:
        source, target = self._source, self._target
        self.protocols = _agreed(source, target)
        if self.protocols == ("oci", "oci"):
            return OciToOci(OciCopy(source.oci_side(), target.oci_side(), self._options, self.report))
        if self.protocols == ("cnr", "cnr"):
            return CnrToCnr(self._cnr_side(source), self._cnr_side(target))
        if self.protocols == ("cnr", "oci"):
            side = self._cnr_side(source)
            return FromCnr(side, CnrToOci(side, target.oci_side(), self.report))
        spool = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="cnr-copy-")))
        return ToCnr(source.oci_side(), self._cnr_side(target), spool)

    def _cnr_side(self, opened: "_Opened") -> CnrSide:
        repository = opened.end.reference.repository
        package = PackageName.of(repository)
        if package is None:
            raise InvalidReference(f"{repository} is no package: the CNR API has namespace/name")
        return CnrSide(opened.cnr, package, opened.patience, self._options.progress)


class _Opened:
    def __init__(self, end: End, stack: ExitStack) -> None:
        self.end = end
        self.patience = Patience()
        self.oci = stack.enter_context(OciClient(end.connection, end.credentials, self.patience))
        self.cnr = stack.enter_context(CnrClient(end.connection, end.credentials))
        self.speaks: set[Protocol] = set()

    def ask(self) -> set[Protocol]:
        """What the registry speaks. Raises Unreachable; BadAnswer where it is neither."""
        if self.oci.speaks_oci():
            self.speaks.add("oci")
        if self._speaks_cnr():
            self.speaks.add("cnr")
        if not self.speaks:
            raise BadAnswer(f"{self.end.connection.registry} has neither the OCI API nor the CNR API")
        if self.end.protocol is None:
            return self.speaks
        if self.end.protocol not in self.speaks:
            raise BadAnswer(f"{self.end.connection.registry} does not have the {self.end.protocol.upper()} API")
        return {self.end.protocol}

    def _speaks_cnr(self) -> bool:
        try:
            versions = self.patience.run(self.cnr.version)
        except (BadAnswer, Refusal):
            return False
        return any(name in versions for name in ("cnr-api", "appr-api"))

    def oci_side(self) -> Side:
        return Side(self.oci, self.end.reference.repository, ours=self.speaks == {"oci", "cnr"})


def _agreed(source: _Opened, target: _Opened) -> tuple[Protocol, Protocol]:
    left, right = source.ask(), target.ask()
    return next((one, other) for one, other in _PREFERRED if one in left and other in right)
