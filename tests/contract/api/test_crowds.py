"""Many at once."""

import asyncio
import collections
import statistics
import time

import pytest
from doorway import Door
from owner import owner_at


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


async def test_changes_of_one_user_at_one_time_all_count_and_each_tells_its_own(door: Door):
    user = await owner_at(door)

    answers = await asyncio.gather(*(user.send("PATCH", "/me", {"first_name": f"Ada {n}"}) for n in range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["user"]["sequence"] for answer in answers) == list(range(2, 22))
    told = [(event["sequence"], event["changes"]["first_name"]) for event in (await user.events())[1:]]
    answered = [(answer.json()["user"]["sequence"], answer.json()["user"]["first_name"]) for answer in answers]
    assert told == sorted(answered)
    assert (await door.me(user.token)).json()["user"]["first_name"] == told[-1][1]


async def test_events_of_one_user_go_out_in_the_order_of_their_sequences_whichever_way_they_came(door: Door):
    user = await owner_at(door)
    login = {"email": user.body["email"], "password": user.password}

    answers = await asyncio.gather(
        *(user.send("PATCH", "/me", {"first_name": f"Ada {n}"}) for n in range(10)),
        *(user.send("PATCH", "/me", {"username": f"{user.body['username']}.{n}"}) for n in range(5)),
        *(user.send("PATCH", "/me/settings", {"time_zone": zone}) for zone in ("Asia/Tokyo", "Europe/Rome")),
        *(door.log_in(login) for _ in range(5)),
    )

    assert {answer.status_code for answer in answers} == {200}
    sent = (
        "select (headers ->> 'ce_sequence')::int from outbox where aggregateid = %s and aggregatetype = 'user_events'"
    )
    in_order = [row[0] for row in await door.world.rows(f"{sent} order by position", user.id)]
    assert in_order == [event["sequence"] for event in await user.events()] == list(range(1, len(answers) + 2))


async def test_of_twenty_changes_of_one_version_exactly_one_is_made(door: Door):
    user = await owner_at(door)

    answers = await asyncio.gather(
        *(user.send("PATCH", "/me", {"first_name": f"Ada {n}"}, If_Match='"1"') for n in range(20))
    )

    assert collections.Counter(answer.status_code for answer in answers) == {200: 1, 412: 19}
    assert len(await user.events()) == 2


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
