"""Users whose personal data was purged: their later events change nothing.

Such events come from other producers, from parked tasks, or from a topic that is read again. They are admitted to the
inbox like all others, and reach no handler.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from usercenter.db import Transaction
from usercenter.events import Undecodable
from usercenter.messaging.batch import Broken, Item

_ERASED: Final = "nobody can read it, and its key is that of an erased user"


async def without_erased(tx: Transaction, items: Sequence[Item]) -> list[Item]:
    """The items that may still have an effect."""
    mortal = {item.event.user_id for item in items if not item.event.outlives_erasure}
    if not mortal:
        return list(items)
    erased = await _erased(tx, mortal)
    return [item for item in items if item.event.outlives_erasure or item.event.user_id not in erased]


async def without_their_bytes(tx: Transaction, broken: Sequence[Broken]) -> list[Broken]:
    """Messages that nobody can read; of those under the key of an erased user only the place is left."""
    users = {user for each in broken if (user := _user_of(each))}
    erased = await _erased(tx, users) if users else set()
    return [_emptied(each) if _user_of(each) in erased else each for each in broken]


async def _erased(tx: Transaction, users: set[UUID]) -> set[UUID]:
    rows = await tx.fetch_all("select user_id from erasures where user_id = any(%b)", (list(users),))
    return {row[0] for row in rows}


def _user_of(broken: Broken) -> UUID | None:
    """Whom its key names."""
    try:
        return UUID((broken.message.key or b"").decode())
    except ValueError:
        return None


def _emptied(broken: Broken) -> Broken:
    return Broken(broken.message._replace(key=None, value=None, headers={}), Undecodable(_ERASED))
