"""Receivers check our signatures with the library of the Standard Webhooks project."""

import base64
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from usercenter.webhooks.signing import is_secret, new_secret, signed_headers

ID = UUID("0197c0de-0000-7000-8000-000000000001")
BODY = '{"type":"user.updated","username":"李雷"}'.encode()


def test_the_librarys_own_verification_accepts_us():
    secret = new_secret()
    headers = signed_headers(ID, datetime.now(UTC), BODY, [secret])
    assert Webhook(secret).verify(BODY, headers)["username"] == "李雷"
    assert headers["webhook-id"] == str(ID)


def test_during_a_rotation_both_the_old_and_the_new_secret_verify():
    old, new = new_secret(), new_secret()
    headers = signed_headers(ID, datetime.now(UTC), BODY, [new, old])
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        Webhook(secret).verify(BODY, headers)


def test_another_secret_another_body_and_another_id_do_not_verify():
    secret = new_secret()
    headers = signed_headers(ID, datetime.now(UTC), BODY, [secret])
    for key, body, sent in (
        (new_secret(), BODY, headers),
        (secret, BODY + b" ", headers),
        (secret, BODY, headers | {"webhook-id": str(UUID(int=1))}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(body, sent, json_parse=False)


@given(st.text(), st.binary(min_size=24, max_size=64))
def test_any_text_and_any_secret_of_the_allowed_length_verify(text, key):
    secret = "whsec_" + base64.b64encode(key).decode()
    assert is_secret(secret)
    body = text.encode(errors="replace")
    Webhook(secret).verify(body, signed_headers(ID, datetime.now(UTC), body, [secret]), json_parse=False)


@pytest.mark.parametrize(
    "text",
    ["", "whsec_", "secret", base64.b64encode(bytes(32)).decode(), "whsec_" + base64.b64encode(bytes(23)).decode(),
     "whsec_" + base64.b64encode(bytes(65)).decode(), "whsec_" + "a" * 33, "whsec_" + "ä" * 40, "whsec_" + "=" * 40],
)  # fmt: skip
def test_what_is_no_secret_of_the_standard_is_refused(text):
    assert not is_secret(text)
