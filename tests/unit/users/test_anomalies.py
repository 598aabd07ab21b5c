"""Each rule on its own: what it finds, and what it lets pass."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from usercenter.config.model import Logins
from usercenter.users import anomalies
from usercenter.users.anomalies import RULES, Known, Login, has_been_told, judge
from usercenter.users.places import Place

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PAGE = Path(__file__).parents[3] / "docs" / "logins.md"

BERLIN = Place(network="192.0.2.0/24", country="DE", latitude=52.5, longitude=13.4, radius_km=20)
MUNICH = Place(network="192.0.3.0/24", country="DE", latitude=48.1, longitude=11.6, radius_km=20)
SALZBURG = Place(network="192.0.5.0/24", country="AT", latitude=47.8, longitude=13.0, radius_km=20)
TOKYO = Place(network="198.51.100.0/24", country="JP", latitude=35.7, longitude=139.7, radius_km=20)
TOKYO_VPN = Place(network="192.0.2.0/24", country="JP", latitude=35.7, longitude=139.7)
NOWHERE = Place(network="203.0.113.0/24")
LAPTOP, PHONE = "Firefox on Linux", "Mobile Safari on iOS"


def known(
    *, hours_ago: float = 24, device: str | None = LAPTOP, place: Place | None = BERLIN, verdict: str = "ordinary"
) -> Known:
    at = NOON - timedelta(hours=hours_ago)
    return Known(since=at, last=at, device=device, place=place, verdict=verdict)


def login(*, device: str | None = LAPTOP, place: Place | None = BERLIN, failures: int = 0, accounts: int = 0) -> Login:
    return Login(at=NOON, device=device, place=place, failures=failures, accounts=accounts)


def rules_of(login: Login, *history: Known) -> list[str]:
    return [finding.rule for finding in judge(login, history, suspicious_score=0.5).findings]


@pytest.mark.parametrize(
    ("rule", "login", "history", "is_found"),
    [
        ("new_device_and_network", login(device=PHONE, place=NOWHERE), [known()], True),
        ("new_device_and_network", login(device=None, place=NOWHERE), [known()], True),
        ("new_device_and_network", login(device=PHONE), [known()], False),
        ("new_device_and_network", login(place=NOWHERE), [known()], False),
        ("new_device_and_network", login(device=PHONE, place=None), [known()], False),
        ("new_device_and_network", login(device=PHONE, place=NOWHERE), [known(), known(device=PHONE)], False),
        ("new_device_and_network", login(device=PHONE, place=NOWHERE), [known(), known(place=NOWHERE)], False),
        ("new_country", login(place=TOKYO), [known()], True),
        ("new_country", login(place=MUNICH), [known()], False),
        ("new_country", login(place=TOKYO), [known(hours_ago=999, place=TOKYO), known()], False),
        ("new_country", login(place=TOKYO), [known(place=NOWHERE)], False),
        ("new_country", login(place=NOWHERE), [known()], False),
        ("unreachable", login(place=TOKYO), [known(hours_ago=5)], True),
        ("unreachable", login(place=TOKYO), [known(hours_ago=13)], False),
        ("unreachable", login(place=TOKYO), [known(hours_ago=13), known(hours_ago=4)], True),
        ("unreachable", login(place=SALZBURG), [known(hours_ago=0.01, place=MUNICH)], False),
        ("unreachable", login(place=MUNICH), [known(hours_ago=0.01)], False),
        ("unreachable", login(place=TOKYO_VPN), [known(hours_ago=1)], False),
        ("unreachable", login(place=TOKYO), [known(hours_ago=1, place=NOWHERE)], False),
        ("unreachable", login(place=NOWHERE), [known(hours_ago=1)], False),
        ("failures_before", login(place=NOWHERE, failures=5), [known()], True),
        ("failures_before", login(device=PHONE, failures=5), [known()], True),
        ("failures_before", login(place=NOWHERE, failures=4), [known()], False),
        ("failures_before", login(failures=50), [known()], False),
        ("burst", login(place=NOWHERE, accounts=5), [known()], True),
        ("burst", login(place=NOWHERE, accounts=4), [known()], False),
        ("burst", login(accounts=50), [known()], False),
    ],
)
def test_a_rule_finds_what_it_is_for_and_lets_the_rest_pass(
    rule: str, login: Login, history: list[Known], *, is_found: bool
) -> None:
    assert (rule in rules_of(login, *history)) is is_found


def test_the_first_login_of_an_account_is_ordinary_whatever_surrounds_it() -> None:
    judgement = judge(login(place=TOKYO, failures=100, accounts=100), [], suspicious_score=0.5)
    assert (judgement.verdict, judgement.score, judgement.findings) == ("ordinary", 0.0, ())


def test_logins_that_came_later_do_not_count() -> None:
    assert rules_of(login(device=PHONE, place=TOKYO), known(hours_ago=-1)) == []


def test_weights_add_up_without_ever_passing_one() -> None:
    stolen = login(device=PHONE, place=TOKYO, failures=9, accounts=9)
    judgement = judge(stolen, [known(hours_ago=1)], suspicious_score=0.5)
    assert [finding.rule for finding in judgement.findings] == [rule.name for rule in RULES]
    assert judgement.score == 0.97
    assert judgement.verdict == "suspicious"


def test_the_threshold_is_the_operators() -> None:
    new_country = login(place=TOKYO)
    assert judge(new_country, [known()], suspicious_score=0.5).verdict == "ordinary"
    assert judge(new_country, [known()], suspicious_score=0.4).verdict == "suspicious"


def test_a_suspicious_login_teaches_nothing_for_a_day() -> None:
    thief = login(device=PHONE, place=TOKYO)
    home = known(hours_ago=500)
    assert "new_device_and_network" in rules_of(
        thief, home, known(hours_ago=23, device=PHONE, place=TOKYO, verdict="suspicious")
    )
    assert rules_of(thief, home, known(hours_ago=25, device=PHONE, place=TOKYO, verdict="suspicious")) == []


def test_the_owner_is_not_blamed_for_the_distance_to_the_thief() -> None:
    thief = known(hours_ago=0.5, device=PHONE, place=TOKYO, verdict="suspicious")
    assert rules_of(login(place=MUNICH), known(hours_ago=20), thief) == []


def test_a_day_full_of_suspicious_logins_is_no_first_login() -> None:
    flood = [known(hours_ago=1, device=PHONE, place=TOKYO, verdict="suspicious")]
    assert judge(login(device=PHONE, place=TOKYO), flood, suspicious_score=0.5).verdict == "suspicious"


def test_one_warning_a_day_for_one_device_in_one_network() -> None:
    thief = login(device=PHONE, place=TOKYO)
    told = known(hours_ago=3, device=PHONE, place=TOKYO, verdict="suspicious")
    assert has_been_told(thief, [known(), told])
    assert not has_been_told(login(device=LAPTOP, place=TOKYO), [known(), told])
    assert not has_been_told(login(device=PHONE, place=MUNICH), [known(), told])
    assert not has_been_told(thief, [known(), known(device=PHONE, place=TOKYO, hours_ago=3)])


def test_the_words_name_the_facts() -> None:
    judgement = judge(
        login(device=PHONE, place=TOKYO, failures=7, accounts=6), [known(hours_ago=1.5)], suspicious_score=0.5
    )
    words = {finding.rule: finding.words for finding in judgement.findings}
    assert words["unreachable"] == "DE and JP are at least 8877 km apart, and 1 h 30 min between"
    assert words["failures_before"] == "7 wrong passwords just before"
    assert "6 accounts" in words["burst"]
    assert "JP" in words["new_country"]


def test_the_page_of_the_documentation_has_every_rule_with_its_weight() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([0-9.]+) \| (.+?) \|", PAGE.read_text(), re.MULTILINE)
    assert rows == [(rule.name, f"{rule.weight:g}", rule.meaning) for rule in RULES]
    assert f"suspicious_score` ({Logins().suspicious_score:g})" in PAGE.read_text()
    assert f"{anomalies.WINDOW.total_seconds() / 60:g} minutes" in PAGE.read_text()
