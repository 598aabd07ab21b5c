import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usercenter.api.reading import Malformed, read
from usercenter.api.views import LoginRequest, RegisterRequest
from usercenter.config.model import Accounts
from usercenter.users.errors import InvalidFields

POLICY = Accounts()
GOOD = {"username": "ada", "email": "ada@example.com", "password": "password123"}


def problems(body, kind=RegisterRequest):
    """What is wrong with a body, by field."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(InvalidFields) as caught:
        read(raw, kind, POLICY)
    return {problem.field: (problem.code, problem.message) for problem in caught.value.problems}


def codes(body, kind=RegisterRequest):
    return {field: code for field, (code, _) in problems(body, kind).items()}


def test_a_good_body_becomes_the_request():
    assert read(json.dumps(GOOD).encode(), RegisterRequest, POLICY) == RegisterRequest(**GOOD)


def test_optional_fields_may_be_null_or_absent():
    nothing = dict.fromkeys(("first_name", "last_name", "phone", "locale"))

    assert read(json.dumps(GOOD | nothing).encode(), RegisterRequest, POLICY) == RegisterRequest(**GOOD)


def test_every_wrong_field_is_named_at_once():
    body = {
        "username": "a",
        "email": 7,
        "first_name": "A\n",
        "phone": "1",
        "locale": "fr",
        "is_admin": True,
        "id": None,
    }

    assert codes(body) == {
        "is_admin": "unknown",
        "id": "unknown",
        "email": "type",
        "password": "missing",
        "locale": "type",
        "username": "length",
        "first_name": "character",
        "phone": "format",
    }


def test_every_message_says_what_is_allowed():
    found = problems({"username": "a", "email": None, "locale": "fr", "surname": "L"})

    assert found["username"][1] == "has 1 characters; 3 to 32 are allowed"
    assert found["email"][1] == "expected string, got null"
    assert found["password"][1] == "is required"
    assert found["locale"][1] == "is none of en, zh-CN"
    assert found["surname"][1].endswith(
        "its fields are username, email, password, first_name, last_name, phone, locale"
    )


@pytest.mark.parametrize("value", [None, 1, 1.5, True, [], {}, ["a"], {"a": 1}], ids=str)
@pytest.mark.parametrize("field", ["username", "email", "password"])
def test_a_wrong_type_is_refused_and_never_guessed_at(field, value):
    assert codes(GOOD | {field: value}) == {field: "type"}


@pytest.mark.parametrize("body", [[], [GOOD], "text", 7, True, None], ids=str)
def test_a_body_that_is_no_object_is_told_so(body):
    assert problems(body) == {"": ("type", "the body must be a JSON object")}


def test_what_is_wrong_with_the_body_as_a_whole_is_a_sentence_of_its_own():
    with pytest.raises(InvalidFields, match=r"^the body must be a JSON object$"):
        read(b"[]", RegisterRequest, POLICY)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b'{"username":"ada"',
        b'{"username":"ada",}',
        b"{'username':'ada'}",
        b"username=ada",
        b"\xff\xfe{}",
        b'{"username":"\xff"}',
        b'{"username":"\xed\xa0\x80abc"}',
        b'{"username":"\\ud800abc"}',
        b'{"username":"abc\\udc00"}',
        b'{"username":"a\nb"}',
        b"\xef\xbb\xbf{}",
        b"{}{}",
        b"NaN",
        b'{"username":1e99999}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
    ],
    ids=lambda raw: ascii(raw[:24]),
)
def test_what_is_no_json_is_refused_with_the_place(raw):
    with pytest.raises(Malformed, match="the body is not JSON: "):
        read(raw, RegisterRequest, POLICY)


def test_a_deep_body_that_is_json_is_refused_as_well():
    deep = b'{"username":' + b"[" * 500 + b"]" * 500 + b"}"

    assert codes(deep) == {"username": "type", "email": "missing", "password": "missing"}


def test_null_characters_are_refused_wherever_they_are():
    names = {"username": "a\x00da", "email": "a\x00@example.com", "first_name": "A\x00", "last_name": "L\x00"}

    assert set(codes(GOOD | names | {"password": "pass\x00word"})) == {*names, "password"}


def test_a_strange_name_of_a_field_is_shown_without_its_strange_characters():
    assert set(problems(GOOD | {"\x1b[31m\u202e": 1})) == {"\ufffd[31m\ufffd"}
    assert max(len(field) for field in problems(GOOD | {"x" * 10_000: 1})) == 60


def test_ten_thousand_wrong_fields_get_a_short_answer():
    assert len(problems({f"field{number}": 1 for number in range(10_000)})) == 50


def test_of_two_fields_with_one_name_the_last_one_counts():
    raw = json.dumps(GOOD).encode()[:-1] + b',"username":"eve"}'

    assert read(raw, RegisterRequest, POLICY).username == "eve"


def test_a_login_needs_exactly_one_name():
    both = {"username": "ada", "email": "ada@example.com", "password": "x"}

    assert codes({"password": "x"}, LoginRequest) == {"email": "missing"}
    assert codes(both, LoginRequest) == {"email": "missing"}
    assert read(json.dumps(both | {"email": None}).encode(), LoginRequest, POLICY).username == "ada"


def test_a_login_names_no_rule_but_the_null_character():
    assert read(b'{"username":"?","password":""}', LoginRequest, POLICY).password == ""
    assert codes({"username": "a\x00da", "password": "x"}, LoginRequest) == {"username": "character"}
    assert codes({"email": "a\x00da", "password": "x"}, LoginRequest) == {"email": "character"}


def test_a_request_does_not_show_its_password():
    for request in (RegisterRequest(**GOOD), LoginRequest(username="ada", password="password123")):
        assert "password123" not in f"{request} {request!r}"


@given(st.binary())
def test_no_body_is_too_strange(raw):
    try:
        read(raw, RegisterRequest, POLICY)
    except (Malformed, InvalidFields):
        return
    raise AssertionError("no random bytes are a registration")


@given(
    st.dictionaries(
        st.sampled_from([*RegisterRequest.__struct_fields__, "other"]), st.text() | st.none() | st.integers()
    )
)
def test_a_body_is_either_read_or_every_wrong_field_is_named(fields):
    named: list[str] = []
    try:
        read(msgspec.json.encode(fields), RegisterRequest, POLICY)
    except InvalidFields as error:
        named = [problem.field for problem in error.problems]
    assert len(set(named)) == len(named)
    assert set(named) <= {*fields, "username", "email", "password"}
    assert "other" not in fields or "other" in named
