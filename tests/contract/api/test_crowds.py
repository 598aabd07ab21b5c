"""Many at once."""

import asyncio
import collections
import statistics
import time

import pytest
from doorway import Door


async def test_of_a_hundred_that_want_one_name_exactly_one_gets_it(door: Door):
    before = await door.stored()
    bodies = [door.person(username="TheOne" if number % 2 else "theone") for number in range(100)]

    answers = await asyncio.gather(*(door.register(body) for body in bodies))

    assert collections.Counter(answer.status_code for answer in answers) == {201: 1, 409: 99}
    after = await door.stored()
    assert {after[table] - before[table] for table in ("users", "sessions", "event_log", "outbox")} == {1}


async def test_of_thirty_that_want_one_address_exactly_one_gets_it(door: Door):
    address = door.world.email("shared")

    answers = await asyncio.gather(*(door.register(door.person(email=address)) for _ in range(30)))

    assert collections.Counter(answer.status_code for answer in answers) == {201: 1, 409: 29}


async def test_logins_of_one_user_at_one_time_take_one_sequence_number_each(door: Door):
    body = door.person()
    await door.register(body)
    login = {"username": body["username"], "password": body["password"]}

    answers = await asyncio.gather(*(door.log_in(login) for _ in range(20)))

    assert sorted(answer.json()["user"]["sequence"] for answer in answers) == list(range(2, 22))


@pytest.mark.alone
async def test_the_service_stays_responsive_while_it_hashes(door: Door):
    registrations = asyncio.gather(*(door.register(door.person()) for _ in range(50)))
    seconds = []
    while not registrations.done():
        began = time.perf_counter()
        assert (await door.client.get("/live")).status_code == 200
        seconds.append(time.perf_counter() - began)

    assert {answer.status_code for answer in await registrations} == {201}
    assert len(seconds) > 20
    assert statistics.median(seconds) < 0.1
