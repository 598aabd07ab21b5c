"""Opaque tokens that only we can make."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usercenter.users.errors import TokenInvalid
from usercenter.users.signed_tokens import SignedTokens

TOKENS = SignedTokens(b"k" * 32)


@given(st.uuids(), st.integers(min_value=0, max_value=2**32 - 1))
def test_a_token_names_its_id_and_number_and_is_the_same_each_time(id_, number):
    token = TOKENS.make(id_, number)

    assert TOKENS.read(token) == (id_, number)
    assert TOKENS.make(id_, number) == token


@given(st.text(max_size=100))
def test_what_we_did_not_make_is_refused(text):
    with pytest.raises(TokenInvalid):
        TOKENS.read(text)


def test_a_token_of_another_purpose_is_refused():
    with pytest.raises(TokenInvalid):
        SignedTokens(b"o" * 32).read(TOKENS.make(uuid4()))


def test_a_changed_token_is_refused():
    token = TOKENS.make(uuid4(), 7)

    for position in range(len(token)):
        other = "A" if token[position] != "A" else "B"
        changed = token[:position] + other + token[position + 1 :]
        try:
            read = TOKENS.read(changed)
        except TokenInvalid:
            continue
        assert read == TOKENS.read(token)  # the unused bits of the last character
