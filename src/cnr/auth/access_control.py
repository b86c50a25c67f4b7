"""Everything about accounts over one record store: made once by the composition root, and by verbs on a store."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cnr.auth.accounts import Accounts
from cnr.auth.authority import AccountAuthority, IsPublic
from cnr.auth.backoff import Backoff
from cnr.auth.bearer import Bearer
from cnr.auth.caller import Callers
from cnr.auth.htpasswd import Htpasswd
from cnr.auth.passwords import AT_ONCE, Passwords
from cnr.auth.token_service import TokenService
from cnr.auth.tokens import Tokens
from cnr.domain.audit import Who
from cnr.store.base import RecordStore
from cnr.store.update import Updater


class AccessControl:
    """Accounts, tokens, and who decides by them. `close` when no request is under way any more."""

    def __init__(
        self,
        store: RecordStore,
        updater: Updater,
        is_public: IsPublic,
        *,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        login_failures: int = 0,
        htpasswd: Path | None = None,
    ) -> None:
        """`login_failures`: wrong passwords for a user from an address before the next one waits; 0: any number."""
        # Threads of their own: hashes that wait for their turn must not keep the store's fsyncs waiting.
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="cnr-passwords")
        self.passwords = Passwords(self._pool, time.monotonic)
        self.accounts = Accounts(store, updater, clock=clock, new_id=new_id)
        self.tokens = Tokens(store, updater, self.accounts, clock=clock, new_id=new_id)
        self.bearers = Bearer(store, updater, clock)
        backoff = Backoff(time.monotonic, free=login_failures) if login_failures else None
        followed = Htpasswd(htpasswd, time.monotonic) if htpasswd is not None else None
        self.callers = Callers(self.accounts, self.tokens, self.passwords, self.bearers, backoff, htpasswd=followed)
        self.authority = AccountAuthority(self.callers, is_public)
        self.token_service = TokenService(self.callers, self.bearers, is_public)

    async def login(self, name: str, password: str, address: str) -> Who:
        """Who has this name and password, shown at this address. Raises Unauthorized, TooManyFailures."""
        return (await self.callers.named(name, password, address)).who

    async def close(self) -> None:
        """Finish what is being written, and end the threads."""
        await self.tokens.close()
        self._pool.shutdown()
