"""A user goes: everything personal is purged, it is confirmed at the end, and nothing brings it back."""

import json

import confluent_kafka
from harness import World, eventually

from usercenter.handlers.erasure import ELSEWHERE, PURGES

PERSONAL_COLUMNS = """
    select c.relname, a.attname from pg_description d
    join pg_class c on c.oid = d.objoid and d.classoid = 'pg_class'::regclass
    join pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid
    where d.description = 'personal'
"""


async def test_every_table_with_personal_columns_is_purged_or_says_why_not(world: World) -> None:
    tables = {row[0] for row in await world.rows(PERSONAL_COLUMNS)}

    assert {"users", "event_log", "login_log"} < tables
    assert tables - set(PURGES) - set(ELSEWHERE) == set()
    assert set(PURGES) & set(ELSEWHERE) == set()


async def test_a_deletion_purges_what_is_personal_then_confirms_it_and_later_events_change_nothing(
    world: World,
) -> None:
    async with world.service() as (service, client):
        await eventually(service.is_reading, what="the consumers")
        body = world.registration("ada", first_name="Adelheid", phone="+4915112345678")
        signed_in = (await client.post("/api/v1/users/register", json=body)).json()
        user_id = signed_in["user"]["id"]
        login = {"username": "ada", "password": body["password"]}
        token = (await client.post("/api/v1/users/login", json=login)).json()["token"]
        await client.post("/api/v1/users/login", json=login | {"password": "not the right one"})
        await client.post("/api/v1/users/password/forgot", json={"email": body["email"]})
        await eventually(world.mails, lambda mails: len(mails) == 2, what="the mails before")
        await eventually(lambda: world.count("login_log"), what="the login log")

        owner = {"Authorization": f"Bearer {token}"}
        answer = await client.request("DELETE", "/api/v1/users/me", json={"password": body["password"]}, headers=owner)
        assert answer.status_code == 204, answer.text
        assert (await client.get("/api/v1/users/me", headers=owner)).status_code == 401
        mails = await eventually(world.mails, lambda mails: len(mails) == 3, what="the confirmation")
        await eventually(lambda: world.count("tasks"), lambda number: number == 0, what="the end of the tasks")
        await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="an empty outbox")

        late = {
            "id": "01980000-0000-7000-8000-000000000001",
            "type": "user.logged_in",
            "source": "another",
            "timestamp": "2026-01-02T03:04:05Z",
            "user_id": user_id,
            "username": "ada",
            "email": body["email"],
        }
        producer = confluent_kafka.Producer({"bootstrap.servers": ",".join(world.config.kafka.brokers)})
        producer.produce(world.config.kafka.topics.user_events, json.dumps(late), key=user_id)
        producer.flush(10)
        await eventually(
            lambda: world.value("select count(*) from inbox where event_id = %s", late["id"]), what="the late event"
        )

        again = await client.post("/api/v1/users/register", json=body)
        assert again.status_code == 201, "the name and the address are free again"

    assert "ada" in mails[2].text()
    assert await world.rows("select deleted_by, confirmed_at is not null from erasures") == [(user_id, True)]
    found = await everything_about(world, user_id)
    for personal in ("Adelheid", "15112345678", body["email"], "127.0.0.1"):
        assert personal not in found


async def everything_about(world: World, user_id: str) -> str:
    """All rows that name this user, of all tables, as one text."""
    texts = []
    for (table,) in await world.rows("select table_name from information_schema.tables where table_schema = 'public'"):
        rows = await world.rows(f"select t::text from {table} t where t::text like %s", f"%{user_id}%")  # noqa: S608
        texts += [row[0] for row in rows]
    for event_id in await world.rows("select payload::text from event_log where user_id = %s", user_id):
        texts.append(event_id[0])
    return "\n".join(texts)
