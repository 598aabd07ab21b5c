"""What usernames, addresses and personal names may look like.

Usernames: 3 to 32 letters a–z, digits, `.`, `_`, `-` and Han characters, so that no name can pass for another by a
letter of a look-alike alphabet: a Cyrillic or a full-width `a` is refused by name. Addresses: RFC 5321/6531 as the
email-validator package reads them, without a look into the DNS. Personal names: anything that can be printed on one
line.
"""

import re
import unicodedata
from typing import Final

from usercenter.users.errors import Problem

_USERNAME: Final = re.compile(r"[A-Za-z0-9\u3400-\u4dbf\u4e00-\u9fff](?:[A-Za-z0-9._\-\u3400-\u4dbf\u4e00-\u9fff]*)\Z")
_ALLOWED: Final = re.compile(r"[A-Za-z0-9._\-\u3400-\u4dbf\u4e00-\u9fff]")
_ONLY: Final = "only a–z, digits, . _ - and Han characters are"
_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}\Z")
_LONGEST_NAME: Final = 100
_LONGEST_EMAIL: Final = 254


def key_of(text: str) -> str:
    """What two names or addresses are compared by: without case, in one Unicode form."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded)  # folding may take letters apart: ΐ becomes three characters


def check_username(text: str) -> Problem | None:
    """The problem with a username, or None."""
    if not 3 <= len(text) <= 32:
        return Problem("username", "length", f"has {len(text)} characters; 3 to 32 are allowed")
    for character in text:
        if not _ALLOWED.match(character):
            return Problem("username", "character", _explain(character))
    if not _USERNAME.match(text):
        return Problem("username", "start", "must begin with a letter, a digit or a Han character")
    return None


def check_email(text: str) -> tuple[str, Problem | None]:
    """The address in its normal form, and the problem with it, or None. Asks no DNS."""
    from email_validator import EmailNotValidError, validate_email

    if len(text) > _LONGEST_EMAIL:
        return text, Problem("email", "length", f"is longer than {_LONGEST_EMAIL} characters")
    try:
        return validate_email(text, check_deliverability=False, strict=True).normalized, None
    except EmailNotValidError as error:
        return text, Problem("email", "address", str(error).rstrip("."))


def check_personal_name(field: str, text: str) -> Problem | None:
    """The problem with a first or last name, or None."""
    if not 1 <= len(text.strip()) <= _LONGEST_NAME or len(text) > _LONGEST_NAME:
        return Problem(field, "length", f"1 to {_LONGEST_NAME} characters are allowed")
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
            return Problem(field, "character", f"the invisible character U+{ord(character):04X} is not allowed")
    return None


def check_phone(text: str) -> Problem | None:
    """The problem with a phone number, or None (E.164)."""
    return None if _PHONE.match(text) else Problem("phone", "format", "write it like +4915112345678 (E.164)")


def _explain(character: str) -> str:
    if character == " ":
        return f"spaces are not allowed: {_ONLY}"
    if unicodedata.category(character)[0] in "CZ":
        return f"the invisible character U+{ord(character):04X} is not allowed"
    name = unicodedata.name(character, "unnamed")
    return f"U+{ord(character):04X} ({name}) is not allowed: {_ONLY}"
