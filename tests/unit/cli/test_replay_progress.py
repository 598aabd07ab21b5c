"""What a replay says of itself without a terminal."""

import pytest

from usercenter.cli.replay_progress import Lines
from usercenter.events import new_id
from usercenter.messaging.operations.replays import Replay


def at(position: int) -> Replay:
    facts = {"group": "g", "handlers": ["h"], "is_missing": False, "rate": None, "state": "running", "by": "test"}
    return Replay(id=new_id(), total=1_000, position=position, done=position, failed=3, skipped=0, **facts)


def test_a_line_every_five_seconds_tells_the_rate_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 10.0, 10.0, 10.0])
    lines = Lines(lambda: next(times, 10.0))

    for position in (500, 600, 700):
        lines(at(position))

    assert capsys.readouterr().err.splitlines() == ["700 of 1,000 events, 3 failed, 20/s, 15 s left"]


def test_the_end_is_always_told(capsys: pytest.CaptureFixture[str]) -> None:
    Lines(lambda: 0.0)(at(1_000))

    assert capsys.readouterr().err == "1,000 of 1,000 events, 3 failed, 0/s, 0 s left\n"
