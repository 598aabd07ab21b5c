"""From the request to the mail."""

from harness import World, eventually


async def test_a_registration_over_http_ends_with_a_welcome_mail_at_the_smtp_server(world: World) -> None:
    async with world.service() as (_, client):
        answer = await client.post("/api/v1/users/register", json=world.registration("ada"))

        assert answer.status_code == 201
        mails = await eventually(_async(world.mails), what="the welcome mail")
        assert len(mails) == 1


def _async(function):
    async def call():
        return function()

    return call
