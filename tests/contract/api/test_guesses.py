"""Wrong passwords: how many a name and a network may have, who is let in all the same, and what nobody learns."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx
import pytest
from doorway import LOGIN, REGISTER, Door, Lines, problem
from harness import eventually
from msgspec.structs import replace
from owner import USERS, Owner, one_time_token, owner_at

from usercenter import bootstrap
from usercenter.clock import HeldClock
from usercenter.users import guess_queries
from usercenter.users.passwords import Passwords

NAME_LIMIT, NETWORK_LIMIT = 3, 8
WRONG = "not the password"
NUMBERS = count(1)


class Gate(Passwords):
    """Compares passwords once it is told to, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.opened = asyncio.Event()
        self.opened.set()

    async def matches(self, password: str, password_hash: str | None) -> bool:
        self.asked += 1
        await self.opened.wait()
        return await super().matches(password, password_hash)


class Guarded:
    """A front door with small limits behind a proxy that it believes, and a clock of its own."""

    def __init__(self, door: Door, service: Any, client: httpx.AsyncClient, clock: HeldClock, gate: Gate) -> None:
        self.door = door
        self.service = service
        self.client = client
        self.clock = clock
        self.gate = gate

    async def log_in(self, name: str, password: str = WRONG, *, network: str) -> httpx.Response:
        field = "email" if "@" in name else "username"
        body = {field: name, "password": password}
        return await self.client.post(LOGIN, json=body, headers={"X-Forwarded-For": network})

    async def statuses(self, name: str, times: int, password: str = WRONG, *, network: str) -> list[int]:
        return [(await self.log_in(name, password, network=network)).status_code for _ in range(times)]

    async def used_up(self, name: str) -> None:
        """The name has no guess left, by a network that nobody else is in."""
        assert await self.statuses(name, NAME_LIMIT, network=a_network()) == [401] * NAME_LIMIT

    async def register(self, *, network: str) -> dict[str, Any]:
        body = self.door.person()
        answer = await self.client.post(REGISTER, json=body, headers={"X-Forwarded-For": network})
        assert answer.status_code == 201, answer.text
        return body

    def refused(self, limit: str) -> float:
        return self.service.metrics.registry.get_sample_value("usercenter_guesses_refused_total", {"limit": limit}) or 0


Opening = Callable[..., AbstractAsyncContextManager[Guarded]]


def a_network() -> str:
    """An address that no other test has."""
    number = next(NUMBERS)
    return f"198.18.{number // 250}.{number % 250 + 1}"


@asynccontextmanager
async def guarded_at(door: Door) -> AsyncIterator[Guarded]:
    logins = replace(door.config.logins, wrong_passwords_per_name=NAME_LIMIT, wrong_passwords_per_network=NETWORK_LIMIT)
    server = replace(door.config.server, trusted_proxies=["127.0.0.1"])
    clock = HeldClock(datetime.now(UTC) + timedelta(minutes=1))  # later than every token of the other door
    gate = Gate()
    async with (
        bootstrap.running(
            replace(door.config, logins=logins, server=server), roles=["api"], clock=clock, passwords=gate
        ) as service,
        httpx.AsyncClient(base_url=service.url, timeout=30) as client,
    ):
        yield Guarded(door, service, client, clock, gate)


@pytest.fixture
async def guarded(door: Door) -> AsyncIterator[Guarded]:
    async with guarded_at(door) as opened:
        yield opened


@pytest.fixture
async def ada(door: Door) -> Owner:
    return await owner_at(door)


async def test_a_name_with_too_many_wrong_passwords_is_refused_before_anything_is_hashed(guarded: Guarded, ada: Owner):
    name, here = ada.body["username"], a_network()
    await guarded.used_up(name)
    hashed = guarded.gate.asked

    for password in (WRONG, ada.password):
        answer = await guarded.log_in(name, password, network=here)
        assert "reset the password" in problem(answer, 429, "too_many_requests")["message"]
    assert guarded.gate.asked == hashed
    assert guarded.refused("name") == 2


async def test_retry_after_says_when_one_more_guess_is_allowed(guarded: Guarded, ada: Owner):
    name, here = ada.body["username"], a_network()
    for _ in range(NAME_LIMIT):
        await guarded.log_in(name, network=here)
        guarded.clock.advance(timedelta(minutes=4))

    seconds = int((await guarded.log_in(name, network=here)).headers["Retry-After"])
    assert 175 <= seconds <= 181
    guarded.clock.advance(timedelta(seconds=seconds))
    assert await guarded.statuses(name, 2, network=here) == [401, 429]


async def test_whoever_was_refused_gets_in_with_the_right_password_later(guarded: Guarded, ada: Owner):
    await guarded.used_up(ada.body["username"])
    guarded.clock.advance(timedelta(minutes=15, seconds=1))

    assert (await guarded.log_in(ada.body["username"], ada.password, network=a_network())).status_code == 200


async def test_right_passwords_are_not_counted(guarded: Guarded, ada: Owner):
    here = a_network()

    assert await guarded.statuses(ada.body["username"], NETWORK_LIMIT + 1, ada.password, network=here) == [200] * 9


@pytest.mark.parametrize("how", ["username", "email"])
async def test_a_name_without_an_account_is_answered_like_one_with_an_account(guarded: Guarded, ada: Owner, how):
    nobody = {"username": "nobody.at.all", "email": "nobody@example.com"}[how]
    told = []
    for name in (ada.body[how], nobody):
        here, answers = a_network(), []
        for each in (name, name.upper(), name, name, name):
            answers.append(await guarded.log_in(each, network=here))
            guarded.clock.advance(timedelta(seconds=30))
        answers += [await guarded.log_in(name, network=a_network())]
        told.append([_told(answer) for answer in answers])

    assert [status for status, *_ in told[0]] == [401, 401, 401, 429, 429, 429]
    assert told[0] == told[1]


def _told(answer: httpx.Response) -> tuple[int, str | None, dict[str, Any], set[str]]:
    """Everything that an answer says, but for what belongs to its request alone."""
    body = {name: value for name, value in answer.json().items() if name != "request_id"}
    return answer.status_code, answer.headers.get("Retry-After"), body, set(answer.headers)


async def test_the_limit_does_not_tell_that_a_username_and_an_address_belong_together(guarded: Guarded, ada: Owner):
    await guarded.used_up(ada.body["username"])

    here = a_network()
    assert (await guarded.log_in(ada.body["email"], network=here)).status_code == 401
    assert (await guarded.log_in(ada.body["email"], ada.password, network=here)).status_code == 200


async def test_a_network_with_too_many_wrong_passwords_is_refused_for_every_name(guarded: Guarded, ada: Owner):
    here = "2001:db8:1:2::7"
    tried = [await guarded.log_in(f"name.{number}", network=here) for number in range(NETWORK_LIMIT)]
    assert {answer.status_code for answer in tried} == {401}

    answer = await guarded.log_in(ada.body["username"], ada.password, network="2001:db8:1:2:ffff::8")
    assert "your network" in problem(answer, 429, "too_many_requests")["message"]
    assert int(answer.headers["Retry-After"]) in {900, 901}
    assert guarded.refused("network") == 1
    assert (await guarded.log_in(ada.body["username"], ada.password, network="2001:db8:1:3::7")).status_code == 200


async def test_nobody_locks_the_owner_out_of_a_network_where_the_account_was_opened(guarded: Guarded):
    home = a_network()
    body = await guarded.register(network=home)
    await guarded.used_up(body["username"])

    assert await guarded.statuses(body["username"], 1, body["password"], network=home) == [200]
    assert await guarded.statuses(body["username"], 1, body["password"], network=a_network()) == [429]


async def test_nobody_locks_the_owner_out_of_a_network_of_earlier_logins(guarded: Guarded, ada: Owner):
    await guarded.door.world.rows(
        "insert into login_log (event_id, user_id, logged_in_at, ip_address) "
        "values (gen_random_uuid(), %s, now(), '2001:db8:5:5::1') returning event_id",
        ada.id,
    )
    await guarded.used_up(ada.body["username"])

    here = "2001:db8:5:5:ffff::2"
    assert await guarded.statuses(ada.body["username"], 1, ada.password, network=here) == [200]


async def test_a_known_network_may_guess_no_more_than_others(guarded: Guarded):
    home = a_network()
    body = await guarded.register(network=home)
    await guarded.used_up(body["username"])

    assert await guarded.statuses(body["username"], 4, network=home) == [401, 401, 401, 429]
    assert await guarded.statuses(body["username"], 1, body["password"], network=home) == [429]


async def test_a_network_that_another_account_knows_is_not_let_in(guarded: Guarded, ada: Owner):
    office = a_network()
    await guarded.register(network=office)
    await guarded.used_up(ada.body["username"])

    assert await guarded.statuses(ada.body["username"], 1, ada.password, network=office) == [429]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/me/password", {"old_password": WRONG, "new_password": "another-one"}),
        ("DELETE", "/me", {"password": WRONG}),
        ("POST", "/me/email", {"email": "new@example.com", "password": WRONG}),
    ],
)
async def test_whoever_is_signed_in_may_guess_no_more(guarded: Guarded, ada: Owner, method, path, body):
    here = {"X_Forwarded_For": a_network()}
    answers = [await ada.send(method, path, body, client=guarded.client, **here) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [403, 403, 403, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0

    right = {name: ada.password if value == WRONG else value for name, value in body.items()}
    answer = await ada.send(method, path, right, client=guarded.client, **here | {"X_Forwarded_For": a_network()})
    assert answer.status_code == 429
    assert await guarded.statuses(ada.body["username"], 1, ada.password, network=a_network()) == [200]


async def test_many_guesses_at_once_are_no_more_than_one_by_one(guarded: Guarded, ada: Owner):
    guarded.gate.opened.clear()
    many = [asyncio.create_task(guarded.log_in(ada.body["username"], network=a_network())) for _ in range(12)]
    await eventually(lambda: guarded.gate.asked, lambda asked: asked >= NAME_LIMIT, what="the first guesses")
    guarded.gate.opened.set()
    answers = await asyncio.gather(*many)

    assert sorted(answer.status_code for answer in answers) == [401] * NAME_LIMIT + [429] * 9
    assert guarded.gate.asked == NAME_LIMIT


async def test_many_guesses_of_one_network_at_once_are_no_more_than_one_by_one(guarded: Guarded):
    here = a_network()
    guarded.gate.opened.clear()
    many = [asyncio.create_task(guarded.log_in(f"at.once.{number}", network=here)) for number in range(20)]
    await eventually(lambda: guarded.gate.asked, lambda asked: asked >= NETWORK_LIMIT, what="the first guesses")
    guarded.gate.opened.set()
    answers = await asyncio.gather(*many)

    assert sorted(answer.status_code for answer in answers) == [401] * NETWORK_LIMIT + [429] * 12


async def test_many_right_passwords_at_once_are_all_let_in(guarded: Guarded, ada: Owner):
    here = a_network()
    logins = (guarded.log_in(ada.body["username"], ada.password, network=here) for _ in range(12))

    assert [answer.status_code for answer in await asyncio.gather(*logins)] == [200] * 12


async def test_a_password_that_was_reset_lets_the_owner_in_at_once(guarded: Guarded, ada: Owner):
    for name in (ada.body["username"], ada.body["email"]):
        await guarded.used_up(name)
    await guarded.client.post(f"{USERS}/password/forgot", json={"email": ada.body["email"]})
    token = one_time_token(guarded.door, (await ada.asked("password_reset"))[-1]["parameters"]["token_id"])
    body = {"token": token, "new_password": "another-password"}
    assert (await guarded.client.post(f"{USERS}/password/reset", json=body)).status_code == 200

    for name in (ada.body["username"], ada.body["email"]):
        assert await guarded.statuses(name, 1, "another-password", network=a_network()) == [200]


async def test_another_process_counts_what_this_one_has_noted(guarded: Guarded, door: Door, ada: Owner):
    await guarded.used_up(ada.body["username"])
    async with guarded_at(door) as other:
        assert await other.statuses(ada.body["username"], 1, ada.password, network=a_network()) == [429]


async def test_what_is_counted_names_nobody(guarded: Guarded, ada: Owner):
    here = a_network()
    await guarded.log_in(ada.body["username"], network=here)
    await guarded.log_in(ada.body["email"], network=here)

    kept = str(await guarded.door.world.rows("select g::text, name_hash, network_hash from password_guesses g"))
    for personal in (ada.body["username"], ada.body["email"], ada.id, here):
        assert personal not in kept


async def test_a_refusal_is_a_line_of_the_log_that_names_nobody(guarded: Guarded, ada: Owner, lines: Lines):
    await guarded.used_up(ada.body["username"])
    here = a_network()
    await guarded.log_in(ada.body["username"], network=here)

    [line] = [line for line in lines() if line["event"] == "logins.guess_refused"]
    assert line["limit"] == "name"
    assert ada.body["username"] not in str(line)
    assert here not in str(line)


async def test_both_counts_of_a_login_are_read_from_an_index(door: Door):
    asked = guess_queries.values(
        guess_queries.Tried(name_hash=b"a", network_hash=b"b", network=""),
        name_most=10,
        network_most=200,
        now=datetime.now(UTC),
    )
    async with door.world.database.transaction() as tx:
        await tx.execute("set local enable_seqscan = off")
        plan = await tx.fetch_all(f"explain select {guess_queries.COUNTS} from {guess_queries.FROM}", asked)  # noqa: S608  # our own
    text = str(plan)
    assert "password_guesses_name_hash_guessed_at_idx" in text
    assert "password_guesses_network_hash_guessed_at_idx" in text


async def test_the_description_says_which_routes_refuse_and_for_how_long(door: Door):
    paths = (await door.client.get("/openapi.json")).json()["paths"]
    answers = [
        paths[path][method]["responses"]["429"]
        for path, method in (
            (LOGIN, "post"),
            (f"{USERS}/me", "delete"),
            (f"{USERS}/me/password", "put"),
            (f"{USERS}/me/email", "post"),
        )
    ]

    assert {answer["headers"]["Retry-After"]["schema"]["type"] for answer in answers} == {"integer"}
