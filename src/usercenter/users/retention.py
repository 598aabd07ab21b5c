"""What is kept about people only for a time, and goes when the time is over."""

import asyncio
from typing import Final

import structlog

from usercenter.config.model import Config
from usercenter.db import Database, Transaction, is_transient
from usercenter.users import guess_queries, logins, queries, reset_limits

log = structlog.get_logger()

_FORGET_EVERY_SECONDS: Final = 600.0
_AT_ONCE: Final = 10_000


async def keep_forgetting(database: Database, config: Config) -> None:
    """Delete what is past its time, in small transactions, until cancelled."""
    while True:
        try:
            deleted = await forget_once(database, config)
        except Exception as error:
            if not is_transient(error):
                raise
            deleted = 0
        await asyncio.sleep(0 if deleted else _FORGET_EVERY_SECONDS)


async def forget_once(database: Database, config: Config, *, at_most: int = _AT_ONCE) -> int:
    """Delete at most so many rows of each kind, each kind in a transaction of its own; returns how many in all."""
    deleted = 0
    for what in ("login_failures", "login_log", "reset_requests", "password_guesses", "sessions"):
        async with database.transaction() as tx:
            rows = await _forget(tx, what, config, at_most)
        if rows:
            log.info("users.forgotten", what=what, rows=rows)
        deleted += rows
    return deleted


async def _forget(tx: Transaction, what: str, config: Config, at_most: int) -> int:
    if what == "login_failures":
        return await logins.forget_failures(tx, hours=config.logins.keep_failures_hours, at_most=at_most)
    if what == "login_log":
        return await logins.forget_logins(tx, days=config.retention.login_log_days, at_most=at_most)
    if what == "password_guesses":
        return await guess_queries.forget(tx, at_most=at_most)
    if what == "sessions":
        return await queries.forget_sessions(tx, days=config.retention.sessions_days, at_most=at_most)
    return await reset_limits.forget_requests(tx, at_most=at_most)
