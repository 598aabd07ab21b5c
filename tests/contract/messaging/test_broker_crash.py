"""The broker goes away under a relay and a consumer that stay, and comes back."""

from uuid import uuid4

from harness import World, eventually
from wire import Handler, consuming, logged_in, make_topics, posting, with_consumer

from usercenter.messaging import outbox


async def test_what_was_committed_while_the_broker_was_away_is_sent_and_read_in_order_when_it_is_back(
    world: World,
) -> None:
    broker = world.parts.kafka
    assert broker is not None
    user, handler = uuid4(), Handler()
    events = [logged_in(user, sequence) for sequence in range(1, 52)]
    await make_topics(world)
    kafka = with_consumer(world.config.kafka, session_timeout_ms=30_000)
    async with posting(world) as post, consuming(kafka, handler) as consumer:
        async with world.database.transaction() as tx:
            await outbox.add(tx, events[0])
        await eventually(lambda: handler.done, what="the first event")
        await broker.kill()
        try:
            async with world.database.transaction() as tx:
                await outbox.add(tx, *events[1:])
            assert await world.count("outbox") >= 50
        finally:
            await broker.start()
        await eventually(lambda: len(set(handler.values)) == 51, what="all events")
        await eventually(lambda: world.count("outbox"), lambda left: left == 0, what="the end of the outbox")
        assert post.problems() == []
        assert consumer.problem is None

    found = [message.headers["ce_sequence"] for message in handler.done]
    assert list(dict.fromkeys(found)) == [str(number) for number in range(1, 52)]
