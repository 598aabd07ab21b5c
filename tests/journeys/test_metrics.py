"""A running system says exactly what the list of metrics promises: nothing that is unlisted, and nothing less."""

import httpx
from harness import World, eventually
from msgspec.structs import replace
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from wire import add_raw, raw

from usercenter.measures import ALL

TOO_LARGE = b"x" * 1_500_000  # the client library refuses it, so the relay tries it alone and then gives it up


async def scrape(client: httpx.AsyncClient) -> dict[str, Metric]:
    """The families that have samples, by their names in the list."""
    text = (await client.get("/metrics")).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    named = {f"{name}_total" if family.type == "counter" else name: family for name, family in families.items()}
    return {name: family for name, family in named.items() if family.samples}


def unlisted(families: dict[str, Metric]) -> list[str]:
    """What is said and not in the list, or not as it is listed."""
    listed = {each.name: each for each in ALL}
    found = [name for name, family in families.items() if name not in listed or listed[name].kind != family.type]
    for name in families.keys() & listed.keys():
        allowed = {*listed[name].labels, *(["le"] if listed[name].kind == "histogram" else [])}
        labels = {label for sample in families[name].samples for label in sample.labels}
        found += [f"{name}: {label}" for label in sorted(labels - allowed)]
    return found


async def test_a_system_at_work_says_what_is_listed_and_nothing_else(world: World) -> None:
    often = replace(world.config, monitoring=replace(world.config.monitoring, books_every_seconds=1))
    async with world.service(config=often) as (_, client):
        person = world.registration("ada")
        answer = await client.post("/api/v1/users/register", json=person)
        headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        await client.get("/api/v1/users/me", headers=headers)
        await client.patch("/api/v1/users/me", json={"first_name": "Ada"}, headers=headers)
        await add_raw(world, raw("huge", TOO_LARGE), raw("poison", b"no event"))

        async def missing() -> list[str]:
            families = await scrape(client)
            return sorted(each.name for each in ALL if each.name not in families)

        await eventually(missing, lambda names: not names, what="every metric of the list")
        assert unlisted(await scrape(client)) == []
