import pytest

from usercenter.users.devices import device_of, kind_of

WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36"
)
LINUX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.1 Mobile/15E148 Safari/604.1"
)


@pytest.mark.parametrize(
    ("user_agent", "words", "kind"),
    [
        (WINDOWS.format(140), "Chrome 140 on Windows", "Chrome on Windows"),
        (IPHONE, "Mobile Safari 18 on iOS", "Mobile Safari on iOS"),
        (LINUX, "Firefox 140 on Linux", "Firefox on Linux"),
        ("curl/8.5.0", "curl 8", "curl"),
        ("AcmeApp/3.1 (build 7)", "AcmeApp 3.1", "AcmeApp"),
        ("a browser", "a browser", "a browser"),
    ],
)
def test_a_user_agent_is_told_in_words(user_agent: str, words: str, kind: str) -> None:
    device = device_of(user_agent)
    assert device is not None
    assert (device.words, device.kind) == (words, kind)


def test_an_update_of_the_browser_is_the_same_device() -> None:
    assert {device_of(WINDOWS.format(version)).kind for version in range(120, 145)} == {"Chrome on Windows"}


@pytest.mark.parametrize("nothing", [None, "", "   "])
def test_without_a_user_agent_there_is_no_device(nothing: str | None) -> None:
    assert device_of(nothing) is None


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Mobile Safari 18 on iOS", "Mobile Safari on iOS"),
        ("Mobile Safari on iOS", "Mobile Safari on iOS"),
        ("AcmeApp v3.1-beta", "AcmeApp"),
        ("Listen on Air 7 on Windows", "Listen on Air on Windows"),
        ("2048", "2048"),
        (" on Linux", " on Linux"),
    ],
)
def test_the_words_say_the_kind_again(words: str, kind: str) -> None:
    assert kind_of(words) == kind


@pytest.mark.parametrize("user_agent", ["x" * 500, "x" * 500 + "/1.0 (Windows NT 10.0; Win64; x64)"])
def test_a_very_long_name_is_cut(user_agent: str) -> None:
    device = device_of(user_agent)
    assert 80 <= len(device.words) <= 124
