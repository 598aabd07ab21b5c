"""Users whose personal data was purged: their later events change nothing.

Such events come from other producers, from parked tasks, or from a topic that is read again. They are admitted to the
inbox like all others, and reach no handler.
"""

from collections.abc import Sequence

from usercenter.db import Transaction
from usercenter.messaging.batch import Item


async def without_erased(tx: Transaction, items: Sequence[Item]) -> list[Item]:
    """The items that may still have an effect."""
    mortal = {item.event.user_id for item in items if not item.event.outlives_erasure}
    if not mortal:
        return list(items)
    rows = await tx.fetch_all("select user_id from erasures where user_id = any(%b)", (list(mortal),))
    erased = {row[0] for row in rows}
    return [item for item in items if item.event.outlives_erasure or item.event.user_id not in erased]
