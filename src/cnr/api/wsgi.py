"""The registry for WSGI servers: `gunicorn cnr.api.wsgi:app`.

Importing it reads the settings, so that a server refuses to start with bad ones, and builds nothing.
"""

import os
import sys

from cnr.config import Config, warn_if_open
from cnr.http.application import Application
from cnr.http.wsgi_bridge import WsgiBridge
from cnr.settings.setting import ConfigError


def _make() -> Application:
    from cnr.app import App  # building the registry's modules is left to the process that serves

    config = Config.load(os.environ)
    warn_if_open(config)
    return App(config)


def _check_settings() -> None:
    try:
        Config.load(os.environ)
    except ConfigError as exc:
        gunicorn = sys.modules.get("gunicorn.errors")
        if gunicorn is None:
            raise
        # The one error that gunicorn prints as a sentence, and after which it does not start workers again.
        raise gunicorn.AppImportError(str(exc)) from None


_check_settings()
app = WsgiBridge(_make)
