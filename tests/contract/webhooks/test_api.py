"""The routes of the administrators, and an event's whole way from a request to a receiver."""

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from harness import World, eventually
from msgspec.structs import replace
from standardwebhooks import Webhook as Verifier

from usercenter.config.model import Webhooks as Settings

PATH = "/api/v1/admin/webhooks"


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """The service, and ada, who is its administrator."""
    config = replace(world.config, webhooks=Settings(allowed_hosts=["localhost"], timeout_seconds=2))
    async with world.service(config=config) as (service, client):
        await eventually(service.is_reading, what="the consumers")
        registered = await client.post("/api/v1/users/register", json=world.registration("ada"))
        client.headers["Authorization"] = f"Bearer {registered.json()['token']}"
        await become(world, "admin")
        read = "select count(*) from inbox where group_name = %s"
        group = f"{world.config.kafka.group_id}.webhooks"
        await eventually(lambda: world.value(read, group), what="the reading of ada's own registration")
        yield client


async def become(world: World, role: str) -> None:
    async with world.database.transaction() as tx:
        await tx.execute("update users set role = %s where username = 'ada'", (role,))


async def test_a_registration_reaches_the_receiver_signed(world, client, receiver):
    created = await client.post(PATH, json={"url": receiver.url, "event_types": ["user.registered"]})
    assert created.status_code == 201, created.text
    webhook, secret = created.json()["webhook"], created.json()["secret"]

    bob = await client.post("/api/v1/users/register", json=world.registration("bob"))
    await eventually(lambda: receiver.calls, what="the call")
    event = Verifier(secret).verify(receiver.calls[0].body, receiver.calls[0].headers)
    assert (event["type"], event["username"], event["user_id"]) == ("user.registered", "bob", bob.json()["user"]["id"])

    path = f"{PATH}/{webhook['id']}/deliveries"
    page = await eventually(
        lambda: client.get(path), lambda answer: answer.json()["deliveries"], what="the record of the call"
    )
    (delivery,) = page.json()["deliveries"]
    assert (delivery["status"], delivery["answer"], delivery["event_id"]) == (200, "thanks", event["id"])
    again = await client.post(f"{path}/{delivery['id']}/redeliver")
    assert (again.status_code, again.json()["attempt"]) == (200, 2)
    assert receiver.calls[1].headers["webhook-id"] == event["id"]
    older = await client.get(path, params={"limit": 1})
    assert [each["attempt"] for each in older.json()["deliveries"]] == [2]
    rest = await client.get(path, params={"limit": 1, "before": older.json()["next_before"]})
    assert [each["attempt"] for each in rest.json()["deliveries"]] == [1]


async def test_a_webhook_is_changed_rotated_tested_and_deleted(client, receiver):
    created = (await client.post(PATH, json={"url": receiver.url, "event_types": ["*"]})).json()
    path = f"{PATH}/{created['webhook']['id']}"
    assert "secret" not in (await client.get(path)).json()

    changed = await client.patch(path, json={"event_types": ["user.deleted"], "is_enabled": False})
    assert changed.json()["event_types"] == ["user.deleted"]
    assert changed.json()["disabled_reason"] == "disabled by an administrator"
    assert (await client.patch(path, json={"is_enabled": True})).json()["disabled_reason"] is None

    rotated = (await client.post(f"{path}/rotate-secret", json={})).json()
    assert rotated["webhook"]["secrets"] == 2
    tested = await client.post(f"{path}/test")
    assert (tested.status_code, tested.json()["status"]) == (200, 200)
    for secret in (created["secret"], rotated["secret"]):
        Verifier(secret).verify(receiver.calls[0].body, receiver.calls[0].headers)
    assert (await client.post(f"{path}/end-rotation")).json()["secrets"] == 1

    assert [each["id"] for each in (await client.get(PATH)).json()["webhooks"]] == [created["webhook"]["id"]]
    assert (await client.delete(path)).status_code == 204
    for method, rest in (("GET", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/deliveries")):
        missing = await client.request(method, path + rest)
        assert (missing.status_code, missing.json()["error"]) == (404, "webhook_not_found")


async def test_a_private_address_is_refused_with_the_field_and_the_way_out(client):
    refused = await client.post(PATH, json={"url": "https://169.254.169.254/latest", "event_types": ["user.gone"]})
    assert refused.status_code == 400
    assert [(each["field"], each["code"]) for each in refused.json()["errors"]] == [
        ("url", "url"),
        ("event_types", "event_types"),
    ]
    assert "webhooks.allowed_hosts" in refused.text


async def test_auditors_look_on_users_do_not_and_strangers_neither(world, client, receiver):
    body = {"url": receiver.url, "event_types": ["*"]}
    await become(world, "auditor")
    assert (await client.get(PATH)).status_code == 200
    assert (await client.post(PATH, json=body)).status_code == 403
    await become(world, "user")
    assert (await client.get(PATH)).status_code == 403
    del client.headers["Authorization"]
    for method, path in (("GET", PATH), ("POST", PATH), ("POST", f"{PATH}/{uuid4()}/test")):
        answer = await client.request(method, path, json=body if method == "POST" and path == PATH else None)
        assert answer.status_code == 401


async def test_the_command_subscribes_tests_lists_and_deletes(world, receiver, monkeypatch):
    monkeypatch.setenv("USERCENTER_WEBHOOKS__ALLOWED_HOSTS", "localhost")
    status, said = await world.command("webhooks", "create", receiver.url, "--events", "user.updated")
    assert status == 0, said
    id_, secret = said.splitlines()[0].split()
    assert (await world.command("webhooks", "test", id_))[0] == 0
    Verifier(secret).verify(receiver.calls[0].body, receiver.calls[0].headers)
    assert b'"actor":"operator:' in receiver.calls[0].body
    assert receiver.url in (await world.command("webhooks", "list"))[1]
    assert "webhook.test  attempt 1" in (await world.command("webhooks", "deliveries", id_))[1]
    assert (await world.command("webhooks", "redeliver", id_, "1"))[0] == 1
    status, said = await world.command("webhooks", "delete", id_)
    assert (status, "Nothing was changed: say --yes to do it." in said) == (0, True)
    assert (await world.command("webhooks", "delete", id_, "--yes"))[0] == 0
    for verb, *more in (("delete",), ("delete", "--yes"), ("deliveries",), ("test",), ("redeliver", "1")):
        status, said = await world.command("webhooks", verb, id_, *more)
        assert (status, "usercenter webhooks list" in said) == (2, True), verb


@pytest.mark.parametrize(
    "words", [("nonsense",), ("https://crm.example.com/", "--events", "user.nonsense"), ("http://10.0.0.1/",)]
)
async def test_a_subscription_that_cannot_be_is_wrong_usage(world, words):
    status, said = await world.command("webhooks", "create", *words)

    assert status == 2
    assert "Traceback" not in said
