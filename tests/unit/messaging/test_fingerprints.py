"""One cause, one fingerprint: values do not count, classes and constraints do."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usercenter.messaging.fingerprints import fingerprint, fingerprint_of_text, without_values

texts = st.text(st.characters(exclude_categories=()))


class Odd(Exception):
    """Has an attribute that cannot be looked at."""

    @property
    def diag(self) -> object:
        raise RuntimeError("not now")


def raised(error: Exception, *, because: Exception | None = None) -> Exception:
    """The error as it looks when it was raised from another one."""
    error.__cause__ = because
    return error


def in_a_ring() -> Exception:
    """An error that is its own cause by way of another one."""
    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    return first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("user 17 has no mail", "user 4 has no mail"),
        ("no user 8c9f4f0e-6c0b-4f8e-9d3a-0b7a2f3c1d5e", "no user 1b2d7c64-3a5f-4e21-8f0c-9e6d5a4b3c2f"),
        ("'Ada' is taken", "'O\u2019Neil' is taken"),
        ('"Ada" is taken', '"Bob" is taken'),
        ("ada@example.com refused", "bob@example.org refused"),
        ("took 1.5 s at 0x7f3a90bc12", "took 20,000.25 s at 0x7f3a90ff77"),
        ("at 2026-11-24T10:00:00", "at 2025-01-02T03:04:05"),
        ("two  spaces", "two\nspaces"),
    ],
)
def test_values_do_not_count(one: str, other: str) -> None:
    assert fingerprint(ValueError(one)) == fingerprint(ValueError(other))
    assert fingerprint_of_text("unsendable", one) == fingerprint_of_text("unsendable", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ValueError("too long"), ValueError("too short")),
        (ValueError("too long"), TypeError("too long")),
        (raised(ValueError("x"), because=KeyError("k")), raised(ValueError("x"))),
        (ExceptionGroup("both", [ValueError("a")]), ExceptionGroup("both", [OSError("a")])),
        (ValueError("can't be read"), ValueError("can't be sent")),
    ],
)
def test_what_is_said_and_raised_counts(one: Exception, other: Exception) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_it_is_the_same_in_every_process() -> None:
    assert fingerprint(ValueError("user 17 has no mail")) == "bcae32ce3a2f"


def test_an_apostrophe_opens_no_quotation() -> None:
    assert without_values("ada's name can't be 'bob'") == "ada's name can't be …"


@given(
    st.one_of(
        st.builds(ValueError, texts),
        st.builds(KeyError, st.binary()),
        st.builds(lambda parts: ExceptionGroup("several", parts), st.lists(st.builds(OSError, texts), min_size=1)),
        st.just(Odd("odd")),
        st.builds(in_a_ring),
    )
)
def test_every_error_has_one(error: Exception) -> None:
    assert re.fullmatch("[0-9a-f]{12}", fingerprint(error))


def test_a_huge_message_takes_no_time() -> None:
    assert fingerprint(ValueError("'" * 10_000_000)) == fingerprint(ValueError("'" * 20_000_000))
