"""An error as text that can be stored, whatever the exception is like."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usercenter.messaging.reasons import LONGEST_ERROR, describe

texts = st.text(st.characters(exclude_categories=()))


class Unprintable(Exception):
    """Cannot be shown."""

    def __init__(self, raised: Exception) -> None:
        super().__init__()
        self._raised = raised

    def __str__(self) -> str:
        raise self._raised


class NoText(Exception):
    """Is shown as something that is no text."""

    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307  # that is the point


exceptions = st.one_of(
    st.builds(ValueError, texts),
    st.builds(OSError, st.integers(), texts),
    st.builds(KeyError, st.binary()),
    st.builds(UnicodeDecodeError, st.just("utf-8"), st.binary(min_size=1), st.just(0), st.just(1), texts),
    st.builds(KeyboardInterrupt, texts),
    st.builds(Unprintable, st.builds(RuntimeError, texts)),
    st.just(NoText()),
    st.builds(lambda parts: ExceptionGroup("several", parts), st.lists(st.builds(ValueError, texts), min_size=1)),
)


@given(exceptions)
def test_every_error_becomes_a_text_that_a_database_and_a_header_can_hold(error: BaseException) -> None:
    text = describe(error)

    assert text.startswith(type(error).__name__)
    assert len(text) <= LONGEST_ERROR
    assert "\x00" not in text
    assert text.encode("utf-8").decode("utf-8") == text
    assert json.loads(json.dumps(text)) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such thing"), "ValueError: no such thing"),
        (ValueError(), "ValueError"),
        (Unprintable(RecursionError()), "Unprintable: (its message cannot be shown)"),
        (NoText(), "NoText: (its message cannot be shown)"),
        (ValueError("half \ud800 nul \x00"), "ValueError: half \\ud800 nul \\0"),
        (
            ExceptionGroup("two calls", [OSError("away"), ValueError("bad")]),
            "ExceptionGroup: two calls (2 sub-exceptions): OSError: away; ValueError: bad",
        ),
    ],
)
def test_an_error_says_its_kind_and_its_reason(error: Exception, text: str) -> None:
    assert describe(error) == text


def test_a_very_long_error_is_cut() -> None:
    assert len(describe(ValueError("\x00" * 10_000_000))) == LONGEST_ERROR
