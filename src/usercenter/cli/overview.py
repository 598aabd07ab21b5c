"""What the brokers say, as the service saw it a moment ago; asked of them only where that is wanted or needed."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, TypeVar

from cyclopts import Parameter

from usercenter.cli.terminal import say

if TYPE_CHECKING:
    from usercenter.config import Config
    from usercenter.messaging.overviews import Aged, Overview

T = TypeVar("T")

Live = Annotated[bool, Parameter(name="--live", negative="", help="Ask the brokers now.")]
_PATIENCE_SECONDS: Final = 2


@dataclass(frozen=True, kw_only=True)
class Seen(Generic[T]):
    """What there is to show, and as of when."""

    what: T
    at: datetime
    seconds: float
    """Its age."""
    is_live: bool

    def told(self, **what: Any) -> dict[str, Any]:
        """For programs: the age, and beside it these."""
        return {"as_of": self.at, "age_seconds": round(self.seconds, 1), "is_live": self.is_live, **what}


def seen(
    config: "Config",
    pick: "Callable[[Overview], T | None]",
    ask: Callable[[], Coroutine[Any, Any, T]],
    *,
    is_live: bool = False,
) -> Seen[T]:
    """What the service saw a moment ago, or the brokers' answer; which of them, and how old it is, is said on stderr.

    The brokers are asked when that is wanted, when nothing fresh is kept, and when `pick` finds not in it what is
    wanted. Raises what `ask` raises.
    """
    kept = None if is_live else asyncio.run(_latest(config))
    found = pick(kept.overview) if kept else None
    if kept is not None and found is not None:
        say(f"as the service saw it {kept.seconds:.0f} s ago; --live asks the brokers now")
        return Seen(what=found, at=kept.overview.taken_at, seconds=kept.seconds, is_live=False)
    if not is_live:
        say(f"asked the brokers: {_why_not(kept)}")
    return Seen(what=asyncio.run(ask()), at=datetime.now(UTC), seconds=0.0, is_live=True)


def _why_not(kept: "Aged | None") -> str:
    if kept is None:
        return "no worker has looked lately"
    return "this is not in the last look" if kept.overview.cluster else "the last look reached none of them"


async def _latest(config: "Config") -> "Aged | None":
    """The overview that is kept; None without a database, or with one that has not our schema."""
    from msgspec.structs import replace
    from psycopg.errors import UndefinedTable

    from usercenter.db import Database, DatabaseUnavailable
    from usercenter.messaging import overviews

    if not config.database.url:
        return None
    settings = replace(config.database, pool_min=1, pool_max=1, pool_timeout_seconds=_PATIENCE_SECONDS)
    database = Database(settings)
    await database.open()
    try:
        async with database.transaction() as tx:
            return await overviews.latest(tx, seconds=overviews.fresh_seconds(config))
    except (DatabaseUnavailable, UndefinedTable):
        return None
    finally:
        await database.close()
