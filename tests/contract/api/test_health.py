"""What the service says about itself: /live, /ready, /health, /metrics, /openapi.json."""

from typing import Any

import pytest
from doorway import LOGIN, ME, REGISTER, Door, Lines
from harness import eventually
from prometheus_client.parser import text_string_to_metric_families

from usercenter import __version__


async def test_live_and_ready_say_so(door: Door):
    assert (await door.client.get("/live")).json() == {"status": "ok", "reasons": []}
    ready = await eventually(lambda: door.client.get("/ready"), lambda answer: answer.status_code == 200, what="ready")
    assert ready.json() == {"status": "ok", "reasons": []}


async def test_health_knows_the_brokers_release_and_its_api_versions(door: Door):
    health = await eventually(lambda: health_of(door), lambda seen: seen["status"] == "ok", what="a healthy service")

    (broker,) = health["kafka"]["brokers"]
    assert health["version"] == __version__
    assert health["kafka"]["is_reachable"]
    assert health["kafka"]["asked"] == [broker["address"]] == door.config.kafka.brokers
    assert broker["release"].startswith("4.")
    assert {"Produce", "Fetch", "Metadata", "ApiVersions"} <= set(broker["api_versions"])
    assert broker["error"] is None


async def test_health_knows_postgresql_and_the_cache(door: Door):
    health = await health_of(door)

    assert health["postgresql"]["is_reachable"]
    assert health["postgresql"]["version"].startswith("18")
    assert health["cache"]["is_reachable"]
    assert health["cache"]["version"]
    assert health["problems"] == []


async def test_health_tells_no_secret(door: Door):
    written = (await door.client.get("/health")).text

    assert "://" not in written
    assert "password" not in written


async def test_looking_at_the_health_is_not_logged(door: Door, lines: Lines):
    for path in ("/live", "/ready", "/health", "/metrics"):
        await door.client.get(path)

    assert [line for line in lines() if line["event"] == "http.request_answered"] == []


async def test_the_metrics_are_prometheus_text(door: Door):
    await door.register(door.person())
    answer = await door.client.get("/metrics")

    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert {"kafka_producer_messages", "kafka_consumer_messages", "usercenter_outbox_depth", "usercenter_tasks"} <= set(
        families
    )
    assert all(family.documentation for name, family in families.items() if name.startswith(("kafka", "usercenter")))


async def test_requests_are_counted_by_route_and_never_by_what_strangers_write(door: Door):
    await door.register(door.person())
    for number in range(5):
        await door.client.get(f"/stranger/{number}")
        await door.client.request("PROPFIND", "/live")

    counted = {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families((await door.client.get("/metrics")).text)
        for sample in family.samples
        if sample.name == "usercenter_http_request_duration_seconds_count"
    }
    assert counted["POST", REGISTER, "201"] >= 1
    assert counted["GET", "other", "404"] >= 5
    assert counted["other", "other", "405"] >= 5
    assert not [labels for labels in counted if "stranger" in str(labels) or "PROPFIND" in str(labels)]


@pytest.fixture(scope="module")
async def description(door: Door) -> dict[str, Any]:
    """The service described for machines."""
    answer = await door.client.get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_the_description_lists_every_route(description):
    assert description["openapi"].startswith("3.1")
    known = {(method, path) for path, item in description["paths"].items() for method in item}
    assert {
        ("post", REGISTER), ("post", LOGIN), ("get", ME),
        ("get", "/live"), ("get", "/ready"), ("get", "/health"), ("get", "/metrics"),
    } <= known  # fmt: skip


async def test_the_description_knows_the_bodies_of_requests(description):
    register, login = (
        schema_of(description, description["paths"][path]["post"]["requestBody"]) for path in (REGISTER, LOGIN)
    )

    assert set(register["required"]) == {"username", "email", "password"}
    assert set(register["properties"]) == {
        "username",
        "email",
        "password",
        "first_name",
        "last_name",
        "phone",
        "locale",
    }
    assert login["required"] == ["password"]
    assert set(login["properties"]) == {"username", "email", "password"}
    assert "3 to 32" in register["properties"]["username"]["description"]


async def test_the_description_knows_every_error_as_a_problem(description):
    expected = {
        REGISTER: {"400", "409", "413", "415", "422", "500", "503"},
        LOGIN: {"400", "401", "403", "413", "415", "429", "500", "503"},
    }
    for path, statuses in expected.items():
        responses = description["paths"][path]["post"]["responses"]
        assert {status for status in responses if status >= "400"} == statuses
        for status in statuses:
            schema = schema_of(description, responses[status], "application/problem+json")
            assert {"type", "title", "status", "detail", "instance", "error", "message", "code", "request_id"} <= set(
                schema["required"]
            )


async def test_the_description_knows_the_answers(description):
    answer = schema_of(description, description["paths"][REGISTER]["post"]["responses"]["201"])

    assert {"user", "token", "refresh_token", "message"} <= set(answer["required"])


async def test_the_description_says_where_a_token_is_needed(description):
    assert description["paths"][ME]["get"]["security"] == [{"bearer": []}]
    assert description["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "security" not in description["paths"][REGISTER]["post"]


async def test_the_description_names_the_header_that_makes_a_request_repeatable(description):
    (parameter,) = description["paths"][REGISTER]["post"]["parameters"]

    assert (parameter["name"], parameter["in"], parameter["required"]) == ("Idempotency-Key", "header", False)


async def test_every_reference_in_the_description_leads_somewhere(description):
    for reference in references(description):
        found = description
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


async def test_every_operation_has_a_name_and_says_what_it_does(description):
    operations = [operation for item in description["paths"].values() for operation in item.values()]

    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert {operation["operationId"] for operation in operations} >= {"register", "logIn", "me"}
    assert all(operation.get("description") for operation in operations)


async def health_of(door: Door) -> Any:
    """What /health says."""
    return (await door.client.get("/health")).json()


def schema_of(
    description: dict[str, Any], part: dict[str, Any], media_type: str = "application/json"
) -> dict[str, Any]:
    """The schema of a body, found by its reference."""
    schema: dict[str, Any] = part["content"][media_type]["schema"]
    return description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema


def references(part: Any) -> list[str]:
    """All `$ref` inside."""
    if isinstance(part, list):
        return [found for each in part for found in references(each)]
    if not isinstance(part, dict):
        return []
    inside = [found for each in part.values() for found in references(each)]
    return [part["$ref"], *inside] if "$ref" in part else inside
