"""GET /api/v1/users/{id}, through the cache; and GET /me/security-log."""

import time
from uuid import uuid4

import pytest
from doorway import Door, fields, problem
from harness import World
from msgspec.structs import replace
from owner import Owner, give_role, owner_at

from usercenter.config.model import Cache

NOWHERE = "redis://127.0.0.1:1"


@pytest.fixture(scope="module")
async def ada(door: Door) -> Owner:
    return await owner_at(door)


@pytest.fixture(scope="module")
async def root(door: Door) -> Owner:
    owner = await owner_at(door)
    await give_role(owner, "admin")
    return owner


async def reads(door: Door, outcome: str) -> float:
    """How often the cache was asked with this outcome."""
    wanted = f'usercenter_cache_reads_total{{outcome="{outcome}"}}'
    lines = (await door.client.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(wanted))


async def test_everybody_sees_oneself_with_the_version(ada: Owner):
    answer = await ada.send("GET", f"/{ada.id}")

    assert (answer.json()["user"]["id"], answer.headers["ETag"]) == (ada.id, '"1"')


@pytest.mark.parametrize("role", ["admin", "auditor"])
async def test_admins_and_auditors_see_others(door: Door, ada: Owner, role):
    looking = await owner_at(door)
    await give_role(looking, role)

    answer = await looking.send("GET", f"/{ada.id}")
    assert (answer.json()["user"]["email"], answer.headers["ETag"]) == (ada.body["email"], '"1"')
    problem(await looking.send("GET", f"/{uuid4()}"), 404, "user_not_found")


async def test_others_see_nobody_and_do_not_learn_who_exists(door: Door, ada: Owner):
    other = await owner_at(door)

    for id_ in (other.id, str(uuid4())):
        problem(await ada.send("GET", f"/{id_}"), 403, "not_allowed")


async def test_the_second_look_is_answered_by_the_cache(door: Door, root: Owner):
    seen = await owner_at(door)
    first = await root.send("GET", f"/{seen.id}")
    before = await reads(door, "hit")

    assert (await root.send("GET", f"/{seen.id}")).json() == first.json()
    assert await reads(door, "hit") == before + 1


@pytest.mark.alone
async def test_a_dead_cache_costs_one_short_wait_and_then_none(door: Door, ada: Owner, root: Owner):
    world = World(door.world.parts, replace(door.config, cache=Cache(url=NOWHERE)), door.world.database)
    async with world.service(roles=["api"]) as (_, client):
        await root.send("GET", "/me", client=client)  # connections and threads are there
        took = []
        for _ in range(5):
            began = time.monotonic()
            assert (await root.send("GET", f"/{ada.id}", client=client)).status_code == 200
            took.append(time.monotonic() - began)

    assert took[0] < 0.5
    assert min(took[1:]) < 0.05


async def test_the_security_log_is_read_page_by_page_newest_first(door: Door, ada: Owner):
    await door.world.rows(
        "insert into security_log (event_id, user_id, happened_at, kind, ip_address, details) "
        "select gen_random_uuid(), %s, now() - n / 2 * interval '1 minute', 'user.password_changed', '192.0.2.1', "
        "json_build_object('actor', 'system') from generate_series(1, 7) n returning event_id",
        ada.id,
    )
    found, cursor = [], ""
    while cursor is not None:
        page = (await ada.send("GET", f"/me/security-log?limit=3{cursor and '&cursor=' + cursor}")).json()
        found += page["entries"]
        cursor = page["next_cursor"]

    assert len({each["id"] for each in found}) == 7
    moments = [each["happened_at"] for each in found]
    assert moments == sorted(moments, reverse=True)
    assert set(found[0]) == {"id", "happened_at", "kind", "ip_address", "actor"}


async def test_nobody_reads_the_security_log_of_somebody_else(door: Door):
    other = await owner_at(door)

    assert (await other.send("GET", "/me/security-log")).json() == {"entries": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "wrong"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("cursor=x", "cursor"), ("cursor=WyIyMDI2Il0", "cursor")],
)
async def test_a_wrong_page_is_400(ada: Owner, query, wrong):
    assert wrong in fields(problem(await ada.send("GET", f"/me/security-log?{query}"), 400, "invalid_fields"))
