import pytest

from usercenter.config.model import Accounts
from usercenter.users.drafts import draft_of, problems_of
from usercenter.users.errors import InvalidFields

POLICY = Accounts()


def test_a_draft_holds_the_normal_forms_beside_what_was_written():
    draft = draft_of(POLICY, username="Ada", email="Ada@EXAMPLE.com", password="password123", first_name="Ada")

    assert (draft.username, draft.username_key) == ("Ada", "ada")
    assert (draft.email, draft.email_key) == ("Ada@example.com", "ada@example.com")
    assert draft.first_name == "Ada"
    assert draft.phone is None


def test_every_problem_is_named_at_once():
    with pytest.raises(InvalidFields) as caught:
        draft_of(POLICY, username="a", email="b", password="c", first_name="", last_name="\n", phone="1")

    assert [problem.field for problem in caught.value.problems] == [
        "username",
        "email",
        "password",
        "first_name",
        "last_name",
        "phone",
    ]


def test_what_is_not_given_has_no_problem():
    assert problems_of(POLICY, {}) == []
    assert problems_of(POLICY, {"phone": None, "first_name": None}) == []


def test_a_draft_does_not_show_its_password():
    draft = draft_of(POLICY, username="ada", email="ada@example.com", password="password123")

    assert "password123" not in f"{draft} {draft!r}"
