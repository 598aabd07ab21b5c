import base64
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from usercenter.clock import HeldClock
from usercenter.config.model import Tokens as Settings
from usercenter.users.errors import TokenInvalid
from usercenter.users.tokens import Claims, Tokens

USER = UUID("01980000-0000-7000-8000-00000000000a")
SESSION = UUID("01980000-0000-7000-8000-000000000009")
START = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)


def private_key(seed: int) -> str:
    """The same key for the same seed, as PEM."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def clock():
    return HeldClock(START)


def tokens_of(clock, seed=1, **settings):
    return Tokens(Settings(private_key=private_key(seed), **settings), clock=clock)


def signed(claims, *, header=None, seed=1):
    """A token with a good signature over any claims."""
    key = OKPKey.import_key(private_key(seed))
    return jwt.encode({"alg": "Ed25519", **(header or {})}, claims, key, algorithms=["Ed25519"])


def part(content):
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def good_claims(**changes):
    now = int(START.timestamp())
    claims = {
        "iss": "usercenter",
        "aud": "usercenter",
        "sub": str(USER),
        "sid": str(SESSION),
        "iat": now,
        "exp": now + 60,
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}


def test_a_token_says_who_and_which_session(clock):
    tokens = tokens_of(clock)

    assert tokens.check_access(tokens.issue_access(USER, SESSION)) == Claims(USER, SESSION)


def test_the_helper_of_these_tests_makes_tokens_that_pass(clock):
    assert tokens_of(clock).check_access(signed(good_claims())) == Claims(USER, SESSION)


def test_a_token_names_its_key_and_algorithm(clock):
    header = tokens_of(clock).issue_access(USER, SESSION).split(".")[0]

    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {
        "typ": "JWT",
        "alg": "Ed25519",
        "kid": OKPKey.import_key(private_key(1)).thumbprint(),
    }


def test_a_token_lasts_as_long_as_configured_and_not_a_second_longer(clock):
    tokens = tokens_of(clock, access_minutes=10)
    token = tokens.issue_access(USER, SESSION)

    clock.advance(timedelta(minutes=10, seconds=-1))
    assert tokens.check_access(token).user_id == USER
    clock.advance(timedelta(seconds=1))
    with pytest.raises(TokenInvalid, match="log in again"):
        tokens.check_access(token)


def test_a_token_that_was_refused_as_too_early_is_let_in_in_its_time(clock):
    tokens = tokens_of(clock)
    token = signed(good_claims(nbf=int(START.timestamp()) + 30))

    with pytest.raises(TokenInvalid):
        tokens.check_access(token)
    clock.advance(timedelta(seconds=30))
    assert tokens.check_access(token).user_id == USER


def test_a_key_that_was_replaced_counts_no_more_for_tokens_that_were_checked_before(clock):
    old = tokens_of(clock, seed=1)
    token = old.issue_access(USER, SESSION)
    assert old.check_access(token).user_id == USER

    with pytest.raises(TokenInvalid):
        tokens_of(clock, seed=2).check_access(token)


def test_a_checked_token_helps_no_other_one(clock):
    tokens = tokens_of(clock)
    token = tokens.issue_access(USER, SESSION)
    tokens.check_access(token)

    for other in (token + "A", token[:-1], " " + token):
        with pytest.raises(TokenInvalid):
            tokens.check_access(other)


def test_every_process_with_the_key_accepts_the_token(clock):
    assert tokens_of(clock).check_access(tokens_of(clock).issue_access(USER, SESSION)).session_id == SESSION


def test_a_token_of_another_key_is_refused(clock):
    with pytest.raises(TokenInvalid):
        tokens_of(clock, seed=2).check_access(tokens_of(clock, seed=1).issue_access(USER, SESSION))


def test_a_token_of_another_issuer_is_refused(clock):
    foreign = tokens_of(clock, issuer="elsewhere").issue_access(USER, SESSION)

    with pytest.raises(TokenInvalid):
        tokens_of(clock).check_access(foreign)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None},
        {"iss": ["usercenter", "elsewhere"]},
        {"aud": None},
        {"aud": "elsewhere"},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": 0},
        {"sub": None},
        {"sub": "ada"},
        {"sub": 7},
        {"sub": ["01980000-0000-7000-8000-00000000000a"]},
        {"sid": None},
        {"sid": ""},
        {"nbf": int(START.timestamp()) + 30},
    ],
    ids=str,
)
def test_a_token_with_wrong_claims_is_refused_however_well_it_is_signed(clock, changes):
    with pytest.raises(TokenInvalid):
        tokens_of(clock).check_access(signed(good_claims(**changes)))


def test_a_token_whose_claims_were_changed_is_refused(clock):
    tokens = tokens_of(clock)
    header, _, signature = tokens.issue_access(USER, SESSION).split(".")

    with pytest.raises(TokenInvalid):
        tokens.check_access(f"{header}.{part(good_claims(sub=str(SESSION)))}.{signature}")


@pytest.mark.parametrize("position", [5, 80, 200, -5])
def test_a_token_with_one_other_character_is_refused(clock, position):
    tokens = tokens_of(clock)
    letters = list(tokens.issue_access(USER, SESSION))
    letters[position] = "A" if letters[position] != "A" else "B"

    with pytest.raises(TokenInvalid):
        tokens.check_access("".join(letters))


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "", "HS256", "EdDSA", None, ["Ed25519"], {"a": 1}, 7], ids=str
)
def test_no_other_algorithm_is_believed(clock, algorithm):
    tokens = tokens_of(clock)
    _, _, signature = tokens.issue_access(USER, SESSION).split(".")

    for ending in ("", signature):
        with pytest.raises(TokenInvalid):
            tokens.check_access(f"{part({'alg': algorithm})}.{part(good_claims())}.{ending}")


def test_the_public_key_is_no_shared_secret(clock):
    public = OKPKey.import_key(private_key(1)).as_pem(private=False)
    forged = jwt.encode(
        {"alg": "HS256"}, good_claims(), OctKey.import_key(base64.b64encode(public)), algorithms=["HS256"]
    )

    with pytest.raises(TokenInvalid):
        tokens_of(clock).check_access(forged)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a",
        "a.b",
        "a.b.c",
        "é.é.é",
        "\x00.\x00.\x00",
        "a.b.c.d",
        "a.b.c.d.e",
        "=.=.=",
        "\ud800",
        "x" * 50_000,
    ],
    ids=ascii,
)
def test_garbage_is_refused(clock, token):
    with pytest.raises(TokenInvalid):
        tokens_of(clock).check_access(token)


@pytest.mark.parametrize("content", [[], "text", None, 7, {"alg": "Ed25519", "crit": ["x"], "x": 1}], ids=str)
def test_a_header_that_is_none_is_refused(clock, content):
    with pytest.raises(TokenInvalid):
        tokens_of(clock).check_access(f"{part(content)}.{part(good_claims())}.AAAA")


@pytest.mark.parametrize(
    "claims", [b"[" * 40_000, b"[]", b"7", b'"text"', b"{", b"\xff", b'{"exp":1e999}'], ids=lambda c: c[:9]
)
def test_a_header_or_claims_that_cannot_be_read_are_refused(clock, claims):
    raw = base64.urlsafe_b64encode(claims).rstrip(b"=").decode()

    for token in (f"{raw}.{part(good_claims())}.AAAA", f"{part({'alg': 'Ed25519'})}.{raw}.AAAA"):
        with pytest.raises(TokenInvalid):
            tokens_of(clock).check_access(token)


def test_derived_keys_are_the_same_for_ever(clock):
    tokens = tokens_of(clock)

    assert tokens.derive_key("a purpose").hex() == "5f3aa5e178d97ad339873fc3f87332c7b668b647d942c224a051b94d7b17e3a8"
    assert (
        tokens.derive_key("a purpose", salt=b"salt").hex()
        == "e5d0017d032c074ca74ef55e04e75ce3be1aeb6e85a894f33320eed24f898553"
    )


def test_derived_keys_differ_by_purpose_salt_and_signing_key(clock):
    tokens = tokens_of(clock)
    keys = {
        tokens.derive_key("one"),
        tokens.derive_key("two"),
        tokens.derive_key("one", salt=b"salt"),
        tokens_of(clock, seed=2).derive_key("one"),
    }

    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}
