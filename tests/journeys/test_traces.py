"""One request, one trace: through outbox, relay, Kafka, batches, handlers and tasks to the SMTP server."""

import logging

import pytest
from harness import World, eventually
from msgspec.structs import replace
from opentelemetry.sdk.trace import ReadableSpan
from spans import Kept, facts, links, trace_of, traceparent, tree, words

from usercenter.config.model import Tracing

REGISTER = "POST /api/v1/users/register"


def of_the_request(kept: Kept, name: str = REGISTER) -> list[ReadableSpan]:
    """The spans of the trace that the request of this name began."""
    return [span for request in kept.named(name) for span in kept.spans() if trace_of(span) == trace_of(request)]


async def test_a_registration_is_one_trace_from_the_request_to_the_mail(world: World) -> None:
    kept, topics, group = Kept(), world.config.kafka.topics, world.config.kafka.group_id
    events, notifications = topics.user_events, topics.user_notifications
    wanted = sorted(
        [
            (REGISTER, "SERVER", ""),
            (f"send {events}", "PRODUCER", REGISTER),
            (f"process {events}", "CONSUMER", REGISTER),
            (f"process {events}", "CONSUMER", REGISTER),
            ("create_settings", "INTERNAL", f"process {events}"),
            ("ask_for_welcome_mail", "INTERNAL", f"process {events}"),
            ("publish_facts", "INTERNAL", f"process {events}"),
            (f"send {notifications}", "PRODUCER", REGISTER),
            (f"process {notifications}", "CONSUMER", REGISTER),
            ("send_mail", "CONSUMER", REGISTER),
            ("send SMTP", "CLIENT", "send_mail"),
        ]
    )
    async with world.service(tracing=kept.tracing) as (service, client):
        await eventually(service.is_reading, what="the consumers")
        body = world.registration("ada", first_name="Augusta", phone="+491701234567")
        answer = await client.post("/api/v1/users/register", json=body, headers={"User-Agent": "a browser"})
        assert answer.status_code == 201
        await eventually(lambda: of_the_request(kept), lambda seen: len(seen) >= len(wanted), what="the whole tree")

    assert tree(of_the_request(kept)) == wanted
    (request,) = kept.named(REGISTER)
    assert facts(request) == {
        "http.request.method": "POST",
        "http.route": "/api/v1/users/register",
        "http.response.status_code": 201,
        "url.scheme": "http",
    }
    assert request.resource.attributes["service.name"] == "usercenter"
    assert request.resource.attributes["service.version"]

    (message,) = world.messages("user_events")
    (wish,) = world.messages("user_notifications")
    (fact,) = world.messages("user_analytics")
    assert [each.headers["traceparent"] for each in (message, wish)] == [traceparent(request)] * 2
    assert "traceparent" not in fact.headers  # who has the log and the topic must not find out whose pseudonym it is

    (sent,) = kept.named(f"send {events}")
    place = {"messaging.destination.partition.id": str(message.partition), "messaging.kafka.offset": message.offset}
    assert facts(sent) == {
        "messaging.system": "kafka",
        "messaging.destination.name": events,
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.message.id": message.headers["ce_id"],
        "messaging.message.body.size": len(message.value or b""),
        "usercenter.event.type": "user.registered",
        **place,
    }
    assert links(sent) == [(traceparent(request), {})]

    batches = kept.named(f"process {events}")
    assert {facts(batch)["messaging.consumer.group.name"] for batch in batches} == {group, f"{group}.webhooks"}
    for batch in batches:
        assert {**facts(batch), "messaging.consumer.group.name": ""} == {
            "messaging.system": "kafka",
            "messaging.destination.name": events,
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": "",
            "messaging.message.id": message.headers["ce_id"],
            **place,
        }
        assert [target for target, _ in links(batch)] == [traceparent(request)]

    (attempt,) = kept.named("send_mail")
    assert facts(attempt) == {
        "usercenter.handler": "send_mail",
        "usercenter.attempt": 1,
        "usercenter.event.type": "notification.requested",
        "messaging.message.id": wish.headers["ce_id"],
        "messaging.consumer.group.name": f"{group}.notifications",
    }
    (smtp,) = kept.named("send SMTP")
    mail = world.config.mail
    assert facts(smtp) == {
        "network.protocol.name": "smtp",
        "server.address": mail.host,
        "server.port": mail.port,
    }

    said = "\n".join(words(kept.spans()))
    user_id = answer.json()["user"]["id"]
    for personal in ("ada", "Augusta", "@", "+49170", "password123", "a browser", user_id):
        assert personal not in said


async def test_a_change_is_one_trace_from_the_request_to_the_cache(world: World) -> None:
    kept, events = Kept(), world.config.kafka.topics.user_events
    change = "PATCH /api/v1/users/me"
    wanted = sorted(
        [
            (change, "SERVER", ""),
            (f"send {events}", "PRODUCER", change),
            (f"process {events}", "CONSUMER", change),
            (f"process {events}", "CONSUMER", change),
            ("tell_old_address", "INTERNAL", f"process {events}"),
            ("publish_facts", "INTERNAL", f"process {events}"),
            ("refresh_cache", "CONSUMER", change),
        ]
    )
    async with world.service(tracing=kept.tracing) as (service, client):
        await eventually(service.is_reading, what="the consumers")
        answer = await client.post("/api/v1/users/register", json=world.registration("ada"))
        await eventually(lambda: world.count("inbox"), lambda n: n == 4, what="the registration in every inbox")
        headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        await client.patch("/api/v1/users/me", json={"first_name": "Ada"}, headers=headers)
        await eventually(lambda: of_the_request(kept, change), lambda seen: len(seen) >= len(wanted), what="the tree")

    assert tree(of_the_request(kept, change)) == wanted


async def test_a_collector_that_is_down_delays_nothing_and_is_told_of_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(world.config, tracing=Tracing(endpoint="http://127.0.0.1:1/v1/traces"))
    async with world.service(config=config) as (service, client):
        await eventually(service.is_reading, what="the consumers")
        answer = await client.post("/api/v1/users/register", json=world.registration("ada"))
        assert answer.status_code == 201
        await eventually(world.mails, what="the welcome mail")

    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [line["event"] for line in lines].count("traces.not_sent") == 1
    assert world.domain not in caplog.text


CLIENTS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_client_s_trace_goes_on_here(world: World) -> None:
    kept = Kept(sample_ratio=0.0)
    async with world.service(roles=["api"], tracing=kept.tracing) as (_, client):
        await client.post("/api/v1/users/register", json=world.registration("ada"), headers={"traceparent": CLIENTS})
        await client.post("/api/v1/users/register", json=world.registration("grace"))
        for path in ("/live", "/metrics"):
            await client.get(path, headers={"traceparent": CLIENTS})

    (request,) = kept.spans()
    assert (request.name, trace_of(request)) == (REGISTER, CLIENTS[3:35])
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == CLIENTS[36:52]
    carried = await world.rows("select headers ->> 'traceparent' from outbox order by position")
    assert carried[0] == (traceparent(request),)
    assert carried[1][0].endswith(("-00", "-02"))  # grace's is kept nowhere: others are told so


async def test_without_tracing_a_client_s_trace_is_carried_and_logged_as_it_came(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with world.service(roles=["api"]) as (_, client):
        for name, header in (("ada", CLIENTS), ("grace", "00-nonsense-01")):
            body = world.registration(name)
            headers = {"traceparent": header, "X-Request-Id": f"request-of-{name}"}
            await client.post("/api/v1/users/register", json=body, headers=headers)
        await client.post(
            "/api/v1/users/login",
            json={"username": "ada", "password": "wrong-password"},
            headers={"traceparent": CLIENTS},
        )

    carried = await world.rows("select aggregatetype, headers ->> 'traceparent' from outbox order by position")
    assert carried == [("user_events", CLIENTS), ("user_events", None), ("user_analytics", None)]

    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    answered = [line for line in lines if line["event"] == "http.request_answered"]
    assert [line.get("trace_id") for line in answered] == [CLIENTS[3:35], None, CLIENTS[3:35]]
    assert [line["request_id"] for line in answered[:2]] == ["request-of-ada", "request-of-grace"]
