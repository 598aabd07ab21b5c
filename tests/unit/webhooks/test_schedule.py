"""The retry schedule, the receivers' wish to be left alone, and the sealed secrets."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from usercenter.webhooks.errors import SecretUnreadable
from usercenter.webhooks.schedule import STANDARD
from usercenter.webhooks.sealing import Seal
from usercenter.webhooks.sender import retry_after_seconds

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def test_the_waits_are_those_of_the_standard_and_then_it_is_given_up():
    plain = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    for attempts, seconds in enumerate(plain, start=1):
        wait = STANDARD.wait_seconds(attempts)
        assert wait is not None
        assert seconds <= wait <= seconds * 1.1
    assert STANDARD.wait_seconds(STANDARD.attempts) is None
    assert STANDARD.attempts == len(plain) + 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120), ("0", 0), ("999999999", 86_400), ("Tue, 24 Nov 2026 12:01:00 GMT", 60),
     ("Tue, 24 Nov 2026 11:00:00 GMT", 0), ("Tue, 24 Nov 2027 12:00:00 GMT", 86_400),
     ("Tue, 24 Nov 2026 12:01:00 -0000", 60), ("", None), ("soon", None), ("-5", None), ("1.5", None), ("²", None),
     ("9" * 5000, 86_400), ("Tue, 99 Nov 2026 12:01:00 GMT", None)],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_a_date_and_kept_within_a_day(value, seconds):
    assert retry_after_seconds(value, NOW) == seconds


def test_a_sealed_secret_opens_for_its_own_webhook_and_key_alone():
    seal, webhook, other = Seal(b"k" * 32), UUID(int=1), UUID(int=2)
    sealed = seal.close(webhook, "whsec_x")
    assert b"whsec" not in sealed
    assert seal.open(webhook, sealed) == "whsec_x"
    for stranger, id_, data in ((seal, other, sealed), (Seal(b"j" * 32), webhook, sealed), (seal, webhook, b"")):
        with pytest.raises(SecretUnreadable, match="rotate the secret"):
            stranger.open(id_, data)
        assert not stranger.opens(id_, data)
