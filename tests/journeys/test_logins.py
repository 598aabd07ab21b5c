"""Logins through the front door: the log that their owner reads, and the warning when somebody else was there."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from harness import World, eventually
from msgspec.structs import replace

from usercenter.users import logins
from usercenter.users.logins import Entry

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
RIGHT = "password123"


async def log_in(client: httpx.AsyncClient, address: str, agent: str, password: str = RIGHT) -> httpx.Response:
    return await client.post(
        "/api/v1/users/login",
        json={"username": "ada", "password": password},
        headers={"User-Agent": agent, "X-Forwarded-For": address},
    )


async def test_five_wrong_passwords_and_a_login_from_elsewhere_are_logged_marked_and_warned_of(world: World) -> None:
    config = replace(world.config, server=replace(world.config.server, trusted_proxies=["127.0.0.1"]))
    async with world.service(config=config) as (_, client):
        await client.post("/api/v1/users/register", json=world.registration("ada"))
        home = (await log_in(client, "192.0.2.7", FIREFOX)).json()["token"]
        await eventually(lambda: world.count("login_log"), what="the first login")
        for _ in range(5):
            assert (await log_in(client, "198.51.100.9", "curl/8.5.0", password="guessed")).status_code == 401
        unknown = {"username": "nobody", "password": "guessed"}
        assert (await client.post("/api/v1/users/login", json=unknown)).status_code == 401
        assert (await log_in(client, "198.51.100.9", "curl/8.5.0")).status_code == 200
        await eventually(lambda: world.count("login_log"), lambda number: number == 2, what="the second login")

        answer = await client.get("/api/v1/users/me/logins", headers={"Authorization": f"Bearer {home}"})
        await eventually(
            lambda: world.messages("user_notifications"), lambda found: len(found) == 2, what="the request"
        )

    assert answer.status_code == 200
    strange, ordinary = answer.json()["logins"]
    assert (strange["ip_address"], strange["device"], strange["verdict"]) == ("198.51.100.9", "curl 8", "suspicious")
    assert [reason["rule"] for reason in strange["reasons"]] == ["new_device_and_network", "failures_before"]
    assert strange["reasons"][1]["words"] == "5 wrong passwords just before"
    assert (ordinary["device"], ordinary["verdict"], ordinary["reasons"]) == ("Firefox 140 on Linux", "ordinary", [])
    assert await world.rows("select ip_address, is_suspicious from sessions order by id desc limit 2") == [
        ("198.51.100.9", True),
        ("192.0.2.7", False),
    ]
    failures = "select user_id is null, ip_address, count(*) from login_failures group by 1, 2 order by 1"
    assert await world.rows(failures) == [(False, "198.51.100.9", 5), (True, "127.0.0.1", 1)]
    requests = [json.loads(message.value) for message in world.messages("user_notifications")]
    [warning] = [request for request in requests if request["template"] == "suspicious_login"]
    assert (warning["category"], warning["to"], warning["causation_id"]) == (
        "security",
        world.email("ada"),
        strange["id"],
    )


async def test_the_log_is_read_page_by_page_newest_first_by_its_owner_alone(world: World) -> None:
    async with world.service(roles=["api"]) as (_, client):
        ada = (await client.post("/api/v1/users/register", json=world.registration("ada"))).json()
        eve = (await client.post("/api/v1/users/register", json=world.registration("eve"))).json()
        begin = datetime(2026, 3, 1, tzinfo=UTC)
        entries = [
            Entry(
                event_id=UUID(int=number),
                logged_in_at=begin + timedelta(hours=number // 2),  # two at each moment
                ip_address=None,
                device=None,
                country=None,
                verdict="ordinary",
                score=0.0,
                reasons=[],
            )
            for number in range(7)
        ]
        async with world.database.transaction() as tx:
            await logins.append(tx, [(UUID(ada["user"]["id"]), None, entry) for entry in entries])

        async def page(token: str, **query: object) -> httpx.Response:
            headers = {"Authorization": f"Bearer {token}"}
            return await client.get("/api/v1/users/me/logins", params=query, headers=headers)

        seen, query = [], {"limit": 3}
        while True:
            body = (await page(ada["token"], **query)).json()
            seen.append([UUID(line["id"]).int for line in body["logins"]])
            if body["next_cursor"] is None:
                break
            query = {"limit": 3, "cursor": body["next_cursor"]}
        assert seen == [[6, 5, 4], [3, 2, 1], [0]]
        assert (await page(eve["token"])).json() == {"logins": [], "next_cursor": None}
        assert (await page("forged")).status_code == 401
        for wrong in ({"cursor": "no cursor"}, {"cursor": "é"}, {"limit": 0}, {"limit": 101}):
            answer = await page(ada["token"], **wrong)
            assert answer.status_code == 400, answer.text
            assert answer.json()["status"] == 400
