"""Registrations and changes before they are made: checked against every rule, in normal form."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from usercenter.config.model import Accounts
from usercenter.users import names
from usercenter.users.errors import InvalidFields, Problem
from usercenter.users.model import Draft
from usercenter.users.passwords import check_password

CHANGEABLE: Final = ("username", "first_name", "last_name", "phone", "locale")
"""What an owner may change directly; the address and the password have verbs of their own."""


def problems_of(settings: Accounts, fields: Mapping[str, Any]) -> list[Problem]:
    """Everything that is wrong with those fields of a registration or a change that are given."""
    checks: dict[str, Callable[[Any], Problem | None]] = {
        "username": names.check_username,
        "email": lambda email: names.check_email(email)[1],
        "password": lambda password: check_password(password, settings),
        "first_name": lambda name: names.check_personal_name("first_name", name),
        "last_name": lambda name: names.check_personal_name("last_name", name),
        "phone": names.check_phone,
    }
    given = ((check, fields.get(field)) for field, check in checks.items())
    return [problem for check, value in given if value is not None and (problem := check(value))]


def draft_of(settings: Accounts, *, username: str, email: str, password: str, **optional: str | None) -> Draft:
    """A registration that follows every rule, in normal form. Raises InvalidFields with every problem there is."""
    fields = {"username": username, "email": email, "password": password, **optional}
    if found := problems_of(settings, fields):
        raise InvalidFields(found)
    normal_email, _ = names.check_email(email)
    return Draft(
        username=username,
        username_key=names.key_of(username),
        email=normal_email,
        email_key=names.key_of(normal_email),
        password=password,
        **optional,
    )
