"""The moment beside an offset: ours is read back, anybody else's text is no moment."""

from datetime import UTC, datetime

import pytest

from usercenter.messaging.commits import moment_of, note


def test_a_moment_is_read_back_to_the_millisecond() -> None:
    moment = datetime(2026, 11, 24, 12, 30, 15, 123_000, UTC)
    assert moment_of(note(moment)) == moment


@pytest.mark.parametrize("text", [None, "", "flink-checkpoint-7", "2026-11-24T12:30:15", "2026-13-99T00:00:00Z"])
def test_what_other_clients_write_is_no_moment(text: str | None) -> None:
    assert moment_of(text) is None
