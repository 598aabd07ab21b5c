"""Open breakers of all processes, as they tell of them: since when, and no longer than they are open."""

from datetime import UTC, datetime, timedelta

from harness import World

from usercenter.messaging import open_breakers
from usercenter.messaging.open_breakers import OpenBreaker, Teller, Told

NOW = datetime.now(UTC)


def breaker(handler: str) -> OpenBreaker:
    return OpenBreaker(handler=handler, since=NOW, next_try_at=NOW + timedelta(seconds=30))


async def told(world: World) -> list[Told]:
    async with world.database.transaction() as tx:
        return await open_breakers.everywhere(tx)


async def test_what_is_open_is_told_and_once_that_it_is_no_more(world: World) -> None:
    found = [breaker("send_mail"), breaker("deliver_webhook/7")]
    teller = Teller(world.database, lambda: found)

    await teller.tell()
    first = await told(world)
    found.pop()
    await teller.tell()
    second = await told(world)
    found.clear()
    await teller.tell()
    rows = await world.count("snapshots")
    await teller.tell()

    assert [each.breakers for each in first] == [[breaker("send_mail"), breaker("deliver_webhook/7")]]
    assert [each.breakers for each in second] == [[breaker("send_mail")]]
    assert await told(world) == []
    assert await world.count("snapshots") == rows, "who has nothing to tell writes nothing"


async def test_a_process_that_died_is_soon_not_believed_any_more(world: World) -> None:
    await Teller(world.database, lambda: [breaker("send_mail")]).tell()
    async with world.database.transaction() as tx:
        await tx.execute("update snapshots set taken_at = taken_at - interval '20 seconds'")
    assert await told(world) == []
