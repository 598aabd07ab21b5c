import asyncio
import subprocess
import sys
import unicodedata
from collections.abc import AsyncIterator

import argon2
import pytest

from usercenter.config.model import Accounts
from usercenter.users.passwords import Passwords, check_password

POLICY = Accounts()
STRICT = Accounts(refuse_common_passwords=True)


@pytest.fixture(scope="module")
async def passwords() -> AsyncIterator[Passwords]:
    """One for all tests of this file."""
    made = Passwords()
    yield made
    made.close()


@pytest.mark.parametrize(
    "password", ["password123", "x" * 8, "x" * 128, "密码密码密码密码", "        ", "\t\n\x1b\x7f\u202e....."]
)
def test_length_alone_counts_by_default(password):
    assert check_password(password, POLICY) is None


@pytest.mark.parametrize("password", ["", "x" * 7, "x" * 129, "😀" * 7])
def test_a_password_of_the_wrong_length_is_told_its_length_and_what_is_allowed(password):
    problem = check_password(password, POLICY)

    assert (problem.field, problem.code) == ("password", "length")
    assert problem.message == f"has {len(password)} characters; 8 to 128 are allowed"


def test_a_password_holds_no_null():
    assert check_password("pass\x00word", POLICY).code == "character"


@pytest.mark.parametrize("password", ["password123", "PassWord123", "12345678", "qwertyuiop", "iloveyou1"])
def test_a_common_password_is_refused_where_the_policy_asks(password):
    assert check_password(password, STRICT).code == "common"
    assert check_password(password, POLICY) is None


def test_a_rare_password_passes_the_list():
    assert check_password("correct horse battery staple", STRICT) is None


def test_two_common_passwords_with_a_line_break_between_them_are_none():
    assert check_password("123456\npassword", STRICT) is None


def test_the_list_is_read_without_the_package_around_it():
    program = """
import sys
from usercenter.config.model import Accounts
from usercenter.users.passwords import check_password
assert check_password("password123", Accounts(refuse_common_passwords=True))
sys.exit("zxcvbn" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0  # noqa: S603  # our own words


def test_a_problem_never_repeats_the_password():
    for password in ("secret!", "s3cr3t" * 30, "iloveyou1", "s3cr\x00et!!"):
        assert password not in check_password(password, STRICT).message


async def test_a_password_belongs_to_its_own_hash_alone(passwords):
    stored = await passwords.hash("password123")

    assert await passwords.matches("password123", stored)
    assert not await passwords.matches("Password123", stored)
    assert not await passwords.matches("password123 ", stored)
    assert not await passwords.matches("", stored)


async def test_two_hashes_of_one_password_differ(passwords):
    assert await passwords.hash("password123") != await passwords.hash("password123")


async def test_hashes_have_the_parameters_that_we_promise(passwords):
    stored = await passwords.hash("password123")

    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert not passwords.is_outdated(stored)


async def test_a_hash_of_other_parameters_still_matches_and_is_outdated(passwords):
    old = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("password123")

    assert await passwords.matches("password123", old)
    assert passwords.is_outdated(old)


async def test_the_same_characters_from_another_keyboard_are_the_same_password(passwords):
    composed, apart = "Zoë-Zoë-Zoë", unicodedata.normalize("NFD", "Zoë-Zoë-Zoë")
    assert composed != apart

    assert await passwords.matches(apart, await passwords.hash(composed))
    assert await passwords.matches(composed, await passwords.hash(apart))


async def test_look_alikes_are_other_passwords(passwords):
    assert not await passwords.matches("password123", await passwords.hash("pаssword123"))


async def test_nobody_matches_no_password(passwords):
    assert not await passwords.matches("password123", None)


@pytest.mark.parametrize("stored", ["", "!", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuv", "plain"])
async def test_what_is_no_hash_matches_nothing(passwords, stored):
    assert not await passwords.matches("plain", stored or "!")


async def test_a_very_long_password_is_compared_without_harm(passwords):
    assert not await passwords.matches("x" * 60_000, None)


async def test_hashing_leaves_the_event_loop_free(passwords):
    hashing = asyncio.gather(*(passwords.hash(f"password{number}") for number in range(8)))
    turns = 0
    while not hashing.done():
        turns += 1
        await asyncio.sleep(0)  # one turn of the loop, no time

    await hashing
    assert turns > 100
