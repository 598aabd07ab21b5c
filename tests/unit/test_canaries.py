"""What looks for secrets finds one that was planted."""

import httpx
import pytest
from canaries import Canaries

TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl-_x"


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


def test_a_planted_leak_is_found_in_a_line_and_in_a_file(canaries, tmp_path) -> None:
    canaries.keep("token", TOKEN)
    canaries.keep("password", "correct horse battery-staple")
    file = tmp_path / "usercenter.log"
    file.write_text(f'{{"event": "x"}}\n{{"url": "/reset?token={TOKEN}"}}\n', encoding="utf-8")
    canaries.hear("a process", 'error: "battery-staple" is wrong')
    canaries.hear_files([file])

    assert canaries.leaks() == sorted([f"token in {file}", "password in a process"])


def test_what_is_no_secret_is_none(canaries) -> None:
    canaries.keep("token", TOKEN)
    canaries.keep("password", "short")
    canaries.hear("a process", f"short {TOKEN[:-1]} nothing")

    assert canaries.leaks() == []


async def test_a_client_tells_of_what_it_sends_and_gets(canaries) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(201, json={"user": {"webhooks": [{"secret": "whsec_of_the_answer"}]}, "token": TOKEN})

    hooks = {"request": [canaries.sent], "response": [canaries.answered]}
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), event_hooks=hooks) as client:
        headers = {"Idempotency-Key": "key-of-the-request", "Authorization": "Bearer bearer-of-the-request"}
        await client.post("http://x/", json={"password": "password-of-the-request"}, headers=headers)

    for secret in (
        "whsec_of_the_answer",
        TOKEN,
        "key-of-the-request",
        "bearer-of-the-request",
        "password-of-the-request",
    ):
        canaries.hear(secret, f"said: {secret}")
    assert len(canaries.leaks()) == 5
