"""Fifty people log in for a month without a false alarm; then each is robbed in every way, and each theft is seen."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from usercenter.users.anomalies import Judgement, Known, Login, judge
from usercenter.users.devices import device_of
from usercenter.users.places import Place

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS, PEOPLE = 30, 50
CITIES = {"DE": (52.5, 13.4), "FR": (48.9, 2.4), "US": (40.7, -74.0), "JP": (35.7, 139.7), "BR": (-23.5, -46.6)}
FLIGHT_HOURS = 14
BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0",
)
PHONES = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0 Mobile Safari/537.36",
    "AcmeApp/{}.2 (iPhone; iOS 18.1)",
)


class Move(msgspec.Struct, frozen=True):
    """One login of the month, before it is judged."""

    at: datetime
    user_agent: str
    place: Place
    failures: int = 0
    accounts: int = 0


def place(country: str, network: str) -> Place:
    latitude, longitude = CITIES[country]
    return Place(network=network, country=country, latitude=latitude, longitude=longitude, radius_km=50)


def month_of(number: int) -> Iterator[Move]:
    """A laptop at home and in the office, a phone on the way; updates, typing errors, and for every third a journey."""
    chance = random.Random(number)  # noqa: S311  # the same month each time
    home = chance.choice(list(CITIES))
    abroad = chance.choice([country for country in CITIES if country != home])
    laptop, phone = chance.choice(BROWSERS), chance.choice(PHONES)
    leaves, returns = (10, 17) if number % 3 == 0 else (DAYS + 1, DAYS + 1)
    for day in range(DAYS):
        here = abroad if leaves <= day < returns else home
        version = 130 + day // 7
        morning = START + timedelta(days=day, hours=FLIGHT_HOURS if day in (leaves, returns) else 7)
        sofa = place(here, f"hotel-{number}" if here != home else f"home-{number}")
        yield Move(morning + timedelta(minutes=chance.random() * 50), laptop.format(version), sofa)
        if day >= 1:
            on_the_way = place(here, f"mobile-{here}-{chance.randrange(200)}")
            first_time = sofa if day == 1 else on_the_way  # a new phone is set up at home
            yield Move(morning + timedelta(hours=1), phone.format(version), first_time, chance.choice([0, 0, 0, 1, 2]))
        office = place(here, f"office-{here}")
        if here == home and day % 7 < 5:
            crowd = chance.choice([0, 2, 9]) if day >= 7 else 0  # on Mondays many mistype, behind one address
            yield Move(morning + timedelta(hours=2), laptop.format(version), office, accounts=crowd)
        if chance.random() < 0.05:
            yield Move(morning + timedelta(hours=5), laptop.format(version), sofa, failures=6)  # a forgotten password


def login_of(move: Move) -> Login:
    device = device_of(move.user_agent)
    return Login(
        at=move.at,
        device=device.kind if device else None,
        place=move.place,
        failures=move.failures,
        accounts=move.accounts,
    )


def live(number: int) -> tuple[list[Known], list[tuple[Move, Judgement]]]:
    """Judge a whole month; returns what is known at its end, and every judgement."""
    history: list[Known] = []
    judged = []
    for move in sorted(month_of(number), key=lambda move: move.at):
        login = login_of(move)
        judgement = judge(login, history, suspicious_score=0.5)
        judged.append((move, judgement))
        history.append(Known(since=login.at, last=login.at, device=login.device, place=login.place))
    return history, judged


@pytest.fixture(scope="module")
def months() -> list[tuple[list[Known], list[tuple[Move, Judgement]]]]:
    return [live(number) for number in range(PEOPLE)]


def test_a_month_of_fifty_people_is_without_a_false_alarm(
    months: list[tuple[list[Known], list[tuple[Move, Judgement]]]],
) -> None:
    judged = [each for _, month in months for each in month]
    assert [(move, judgement) for move, judgement in judged if judgement.verdict == "suspicious"] == []
    assert len(judged) > 3_500
    assert {finding.rule for _, judgement in judged for finding in judgement.findings} == {"new_country"}


STRANGE = "Mozilla/5.0 (Windows NT 6.1; rv:102.0) Gecko/20100101 SeaMonkey/2.53"
FAR = Place(network="far", country="NZ", latitude=-36.8, longitude=174.8)


@pytest.mark.parametrize(
    ("attack", "rule"),
    [
        (lambda last, own: Move(last + timedelta(days=2), STRANGE, Place(network="x")), "new_device_and_network"),
        (lambda last, own: Move(last + timedelta(days=2), STRANGE, FAR), "new_country"),
        (lambda last, own: Move(last + timedelta(hours=1), own, FAR), "unreachable"),
        (lambda last, own: Move(last + timedelta(days=2), own, Place(network="x"), failures=20), "failures_before"),
        (lambda last, own: Move(last + timedelta(days=2), own, Place(network="x"), accounts=40), "burst"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_every_one_of_them_is_warned_of_each_kind_of_attack(months, attack, rule) -> None:
    for history, month in months:
        own = month[-1][0].user_agent
        judgement = judge(login_of(attack(month[-1][0].at, own)), history, suspicious_score=0.5)
        assert judgement.verdict == "suspicious"
        assert rule in {finding.rule for finding in judgement.findings}
