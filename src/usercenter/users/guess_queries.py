"""The SQL of wrong passwords: counted, noted, forgotten. None of it commits."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec

from usercenter.db import Transaction

WINDOW: Final = timedelta(minutes=15)
"""How long a wrong password counts."""
_REMEMBERED: Final = "100"
"""How many of a user's latest logins are looked at for a network."""


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What a guess is counted by."""

    name_hash: bytes
    network_hash: bytes
    network: str
    """For comparisons in memory; it is not kept."""


class Count(msgspec.Struct, frozen=True):
    """Wrong passwords within the window, counted up to a limit."""

    number: int
    oldest: datetime | None
    """The oldest of those that were counted, which are the newest ones: when it counts no more, one more may come."""


class Counts(msgspec.Struct, frozen=True):
    """What a guess meets."""

    of_name: Count
    of_network: Count


def _counted(condition: LiteralString, most: LiteralString) -> LiteralString:
    return f"""(
        select count(*) as number, min(guessed_at) as oldest from (
            select guessed_at from password_guesses where {condition} and guessed_at > %(guessed_since)s
            order by guessed_at desc limit {most}
        ) as newest
    )"""


COUNTS: Final = "of_name.number, of_name.oldest, of_network.number, of_network.oldest"
"""The columns of FROM; `counts` reads them."""
WIDTH: Final = 4
"""How many these are."""
FROM: Final = (
    f"{_counted('name_hash = %(name_hash)s', '%(name_most)s')} as of_name cross join "
    f"{_counted('network_hash = %(network_hash)s', '%(network_most)s')} as of_network"
)
"""One row, for statements that ask something else as well; `values` has its parameters."""
_ADDRESSES: Final = f"""
    (select ip_address from login_log where user_id = %(user)s order by logged_in_at desc limit {_REMEMBERED})
    union (select ip_address from sessions where user_id = %(user)s limit {_REMEMBERED})
"""
_OWN: Final = _counted("name_hash = %(name_hash)s and network_hash = %(network_hash)s", "%(name_most)s")


def values(tried: Tried, *, name_most: int, network_most: int, now: datetime) -> dict[str, Any]:
    """The parameters of FROM."""
    return {
        "name_hash": tried.name_hash,
        "network_hash": tried.network_hash,
        "name_most": name_most,
        "network_most": network_most,
        "guessed_since": now - WINDOW,
    }


def counts(row: tuple[Any, ...]) -> Counts:
    """The columns of COUNTS, read."""
    return Counts(Count(*row[:2]), Count(*row[2:]))


async def of_own_networks(tx: Transaction, user_id: UUID, asked: dict[str, Any]) -> tuple[list[str], Count]:
    """Where this user was seen before, and the wrong passwords for this name from this network alone. One statement.

    The addresses are those of the latest logins, and of sessions: the login log does not hold a registration, and
    follows a moment after a login. Where there are many sessions not all are looked at.
    """
    row = await tx.fetch_one(
        f"select array({_ADDRESSES}), number, oldest from {_OWN} as own", asked | {"user": user_id}
    )
    return (row[0], Count(*row[1:])) if row else ([], Count(0, None))


async def note(tx: Transaction, tried: Tried, *, user_id: UUID | None, ip_address: str | None, now: datetime) -> None:
    """Keep that a password was wrong: for the limits, and for the rules about strange logins (`logins`).

    `user_id` is None when there is no such account. One statement.
    """
    await tx.execute(
        "with failed as (insert into login_failures (user_id, ip_address, failed_at) "
        "values (%(user)s, %(address)s, %(now)s)) "
        "insert into password_guesses (name_hash, network_hash, guessed_at) values (%(name)s, %(network)s, %(now)s)",
        {
            "user": user_id,
            "address": ip_address,
            "now": now,
            "name": tried.name_hash,
            "network": tried.network_hash,
        },
    )


async def forgive(tx: Transaction, name_hashes: Collection[bytes]) -> None:
    """Forget the wrong passwords for these names."""
    await tx.execute("delete from password_guesses where name_hash = any(%s)", (list(name_hashes),))


async def forget(tx: Transaction, *, at_most: int) -> int:
    """Delete the oldest ones that count no more; returns how many."""
    cursor = await tx.execute(
        "delete from password_guesses where id in (select id from password_guesses "
        "where guessed_at < now() - %s order by guessed_at limit %s)",
        (WINDOW, at_most),
    )
    return cursor.rowcount
