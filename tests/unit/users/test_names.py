import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usercenter.users.names import check_email, check_personal_name, check_phone, check_username, key_of


@pytest.mark.parametrize("name", ["ada", "a.b", "Ada_L-1", "007", "x" * 32, "张三丰", "张三Ada", "㐀㐀㐀", "鿿鿿鿿"])
def test_letters_digits_dots_dashes_and_han_make_a_username(name):
    assert check_username(name) is None


@pytest.mark.parametrize(("name", "length"), [("", 0), ("ab", 2), ("张三", 2), ("x" * 33, 33), ("x" * 60_000, 60_000)])
def test_a_username_of_the_wrong_length_is_told_its_length_and_what_is_allowed(name, length):
    problem = check_username(name)

    assert (problem.field, problem.code) == ("username", "length")
    assert problem.message == f"has {length} characters; 3 to 32 are allowed"


@pytest.mark.parametrize("name", [".ada", "-ada", "_ada", "..."])
def test_a_username_begins_with_a_letter_or_a_digit(name):
    assert check_username(name).code == "start"


@pytest.mark.parametrize(
    ("name", "character"),
    [
        ("аda", "U+0430 (CYRILLIC SMALL LETTER A)"),
        ("\uff41da", "U+FF41 (FULLWIDTH LATIN SMALL LETTER A)"),
        ("ada\uff11", "U+FF11 (FULLWIDTH DIGIT ONE)"),
        ("αda", "U+03B1 (GREEK SMALL LETTER ALPHA)"),
        ("ɑda", "U+0251 (LATIN SMALL LETTER ALPHA)"),
        ("adа", "U+0430"),
        ("\u00aada", "U+00AA"),
        ("\ufb01nn", "U+FB01 (LATIN SMALL LIGATURE FI)"),
        ("\U0001d41ada", "U+1D41A (MATHEMATICAL BOLD SMALL A)"),
        ("ada\N{COMBINING DIAERESIS}", "U+0308 (COMBINING DIAERESIS)"),
        ("\u2170da", "U+2170"),
        ("ada٣", "U+0663 (ARABIC-INDIC DIGIT THREE)"),
        ("\u2f08ada", "U+2F08 (KANGXI RADICAL MAN)"),
        ("\uf900\uf900\uf900", "U+F900"),
        ("ada😀", "U+1F600"),
        ("ada@b", "U+0040 (COMMERCIAL AT)"),
        ("ada/b", "U+002F"),
        ("ada‐b", "U+2010 (HYPHEN)"),
        ("İda", "U+0130"),
        ("\u017fda", "U+017F"),
        ("\N{KELVIN SIGN}da", "U+212A"),
    ],
)
def test_a_look_alike_is_refused_by_name(name, character):
    problem = check_username(name)

    assert problem.code == "character"
    assert problem.message.startswith(character)


@pytest.mark.parametrize(
    "character",
    ["\x00", "\t", "\n", "\r", "\x1b", "\x7f", "\x85", "\u00a0", "\u200b", "\u200d", "\u202e", "\u2066", "\ufeff"],
)
@pytest.mark.parametrize("where", ["{}ada", "ad{}a", "ada{}"])
def test_what_cannot_be_seen_is_refused_by_its_number(character, where):
    problem = check_username(where.format(character))

    assert problem.code == "character"
    assert problem.message == f"the invisible character U+{ord(character):04X} is not allowed"


def test_a_space_is_called_one():
    assert check_username("ada byron").message.startswith("spaces are not allowed: only a–z, ")


@given(st.text(min_size=3, max_size=32))
def test_every_username_that_passes_is_its_own_unicode_form(name):
    if check_username(name) is None:
        assert key_of(name) == name.lower()
        assert name.isprintable()


@given(st.text())
def test_no_name_is_too_strange_to_judge(name):
    check_username(name)
    check_email(name)
    check_personal_name("first_name", name)
    check_phone(name)


@given(st.text())
def test_a_key_is_the_key_of_itself(text):
    assert key_of(key_of(text)) == key_of(text)


@given(st.text(string.ascii_letters + string.digits + "._-"))
def test_names_are_compared_without_case(name):
    assert key_of(name.upper()) == key_of(name.lower())


def test_keys_see_through_full_width_and_composition():
    assert key_of("\uff21DA@EXAMPLE\uff0ecom") == "ada@example.com"
    assert key_of("Zoe\N{COMBINING DIAERESIS}") == key_of("ZO\N{LATIN CAPITAL LETTER E WITH DIAERESIS}")
    assert key_of("STRASSE") == key_of("straße")


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("ada@example.com", "ada@example.com"),
        ("Ada.L+tag@EXAMPLE.Com", "Ada.L+tag@example.com"),
        ("用户@例子.广告", "用户@例子.广告"),
        ("a@xn--bcher-kva.example.com", "a@bücher.example.com"),
        ("zoe\N{COMBINING DIAERESIS}@example.com", "zoë@example.com"),
        (f"{'a' * 64}@example.com", f"{'a' * 64}@example.com"),
    ],
)
def test_an_address_gets_its_normal_form(given, normal):
    assert check_email(given) == (normal, None)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@@example.com",
        "ada@example",
        "ada@-example.com",
        "ada@exa mple.com",
        "ada lovelace@example.com",
        ".ada@example.com",
        "ada..l@example.com",
        "ada\x00@example.com",
        "ada\r\nBcc: eve@example.com",
        "ada@example.com\n",
        "ada\u202e@example.com",
        "ada@exam\u200bple.com",
        "Ada <ada@example.com>",
        '"ada"@example.com',
        "ada@[127.0.0.1]",
        "ada@localhost",
        f"{'a' * 65}@example.com",
        f"a@{'b' * 64}.com",
    ],
)
def test_what_is_no_address_is_refused_with_a_reason(address):
    problem = check_email(address)[1]

    assert (problem.field, problem.code) == ("email", "address")
    assert problem.message
    assert problem.message.isprintable()


def test_an_address_has_254_characters_at_most():
    labels = ".".join("b" * 60 for _ in range(3))

    assert check_email(f"{'a' * 64}@{labels}.com")[1] is None
    assert check_email(f"{'a' * 64}@{labels}.commmmm" + "m" * 10)[1].code == "length"
    assert check_email("a@" + "b." * 30_000 + "com")[1].code == "length"


@pytest.mark.parametrize(
    "name", ["Ada", "王小明", "Anne-Marie d'Arc", "José", "Ada\u3000Lovelace", "x" * 100, "Ö", "محمد"]
)
def test_a_personal_name_is_whatever_fits_on_a_line(name):
    assert check_personal_name("first_name", name) is None


@pytest.mark.parametrize("name", ["", " ", "\u3000", "x" * 101, " " * 101])
def test_a_personal_name_has_1_to_100_characters(name):
    assert check_personal_name("last_name", name).code == "length"
    assert check_personal_name("last_name", name).field == "last_name"


@pytest.mark.parametrize("character", ["\x00", "\n", "\t", "\x1b", "\u200b", "\u202e", "\u2028", "\ufeff", "\ue000"])
def test_a_personal_name_has_no_invisible_characters(character):
    problem = check_personal_name("first_name", f"A{character}da")

    assert problem.code == "character"
    assert f"U+{ord(character):04X}" in problem.message


@pytest.mark.parametrize("number", ["+4915112345678", "+8613800138000", "+1234567", "+123456789012345"])
def test_a_phone_number_is_e164(number):
    assert check_phone(number) is None


@pytest.mark.parametrize(
    "number",
    [
        "",
        "+",
        "13800138000",
        "+0123456789",
        "+123456",
        "+1234567890123456",
        "+49 151 123",
        "+4915112345678\n",
        "+٤٩١٥١",
    ],
)
def test_another_phone_number_is_told_how_to_be_written(number):
    problem = check_phone(number)

    assert (problem.field, problem.code) == ("phone", "format")
    assert "+4915112345678" in problem.message
