"""What the entry points ask of the application they run."""

from typing import Protocol

from starlette.types import Receive, Scope, Send


class Application(Protocol):
    """An ASGI application that can also be started and stopped by its own methods."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    async def startup(self) -> None:
        """Open what requests need."""
        ...

    async def shutdown(self) -> None:
        """Finish and close it."""
        ...


class Served(Application, Protocol):
    """One that can also say that it is about to stop."""

    def drain(self) -> None:
        """Answer /readyz with 503 from now on, and all else as before."""
        ...
