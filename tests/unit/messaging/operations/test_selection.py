"""Tokens of frozen selections."""

from datetime import UTC, datetime

import pytest

from usercenter.events import new_id
from usercenter.messaging.operations.selection import Filter, Selection, SelectionInvalid, from_token

SELECTION = Selection(
    action="retry",
    filter=Filter(handler="send_mail", user=new_id(), since=datetime(2026, 1, 2, tzinfo=UTC), cause="ab12"),
    upper=71,
    count=12,
)


def test_a_token_holds_the_whole_selection() -> None:
    assert from_token(SELECTION.token(), "retry") == SELECTION


def test_a_token_can_be_typed_into_a_shell() -> None:
    assert SELECTION.token().replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("position", range(0, 200, 7))
def test_a_mistyped_token_is_refused(position: int) -> None:
    token = SELECTION.token()
    at = position % len(token)
    wrong = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]

    with pytest.raises(SelectionInvalid):
        from_token(wrong, "retry")


@pytest.mark.parametrize("token", ["", "x", "not a token", "äöü", SELECTION.token()[:-5]])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(SelectionInvalid):
        from_token(token, "retry")


def test_a_token_of_a_retry_does_not_discard() -> None:
    with pytest.raises(SelectionInvalid, match="made for retry, not for discard"):
        from_token(SELECTION.token(), "discard")


def test_a_filter_that_says_nothing_means_everything() -> None:
    assert Filter().is_empty
    assert not SELECTION.filter.is_empty
