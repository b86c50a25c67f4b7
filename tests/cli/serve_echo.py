"""`cnr serve` with the small application of tests/api in place of the registry. Run as a program."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.api.echo_app import EchoApp, tell

from cnr.cli.listening import bind
from cnr.cli.prefork import StartFailed
from cnr.cli.serve import serve
from cnr.config import Config


class Crashing(EchoApp):
    """Ends its process at start when the file that ECHO_CRASH names is there."""

    async def startup(self) -> None:
        if os.access(os.environ.get("ECHO_CRASH", "/nonexistent"), os.F_OK):
            tell("crashed")
            os._exit(3)
        await super().startup()


def main() -> None:
    config = Config.load(os.environ)
    try:
        serve(config, bind(config.host, config.port, config.workers), lambda _: Crashing())
    except StartFailed as exc:
        sys.exit(f"cnr: {exc}")


if __name__ == "__main__":
    main()
