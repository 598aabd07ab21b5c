"""Which logins are strange: small rules over one login and the user's own earlier ones. Pure, nothing is read here.

The first login of an account is ordinary, for there is nothing to compare it with. A suspicious login teaches nothing
for a day: in that time its device and network do not become the user's own, or whoever stole a password would only be
strange once. See docs/logins.md.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import asin, cos, prod, radians, sin, sqrt
from typing import Final, Literal

import msgspec

from usercenter.users.places import Place

WINDOW: Final = timedelta(minutes=15)
"""How long before a login failures count for it."""
MANY_FAILURES: Final = 5
MANY_ACCOUNTS: Final = 5
FASTEST_KM_PER_HOUR: Final = 900.0
"""What an airliner does."""
TOLERANCE_KM: Final = 200.0
"""Nobody travelled when the places are this near: borders, and GeoIP files that are not that exact."""
DISTRUST: Final = timedelta(hours=24)

Verdict = Literal["ordinary", "suspicious"]


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """The login to be judged."""

    at: datetime
    device: str | None = None
    """The device's kind, without versions; None when the client did not say."""
    place: Place | None = None
    failures: int = 0
    """Wrong passwords for this account within WINDOW before."""
    accounts: int = 0
    """Accounts for which wrong passwords came from this login's address within WINDOW before."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Earlier logins of the same user that were alike, as one."""

    since: datetime
    last: datetime
    device: str | None = None
    place: Place | None = None
    verdict: str = "ordinary"


History = Sequence[Known]


class Finding(msgspec.Struct, frozen=True):
    """One thing that is strange about a login."""

    rule: str
    weight: float
    words: str
    """For people, in English; other languages go by the rule's name."""


class Judgement(msgspec.Struct, frozen=True):
    """What is thought of a login: the score is 0 (nothing strange) to 1."""

    verdict: Verdict
    score: float
    findings: tuple[Finding, ...] = ()


class Rule(msgspec.Struct, frozen=True):
    """A rule, with its weight in the score and its meaning as the documentation has it."""

    name: str
    weight: float
    meaning: str
    words: Callable[[Login, History], str | None]

    def find(self, login: Login, history: History) -> Finding | None:
        """The finding, None when the rule has nothing to say."""
        words = self.words(login, history)
        return Finding(self.name, self.weight, words) if words else None


def judge(login: Login, history: History, *, suspicious_score: float) -> Judgement:
    """What the rules say in all; `history` holds the user's earlier logins in any order, later ones are ignored."""
    earlier = [known for known in history if known.since <= login.at]
    if not earlier:
        return Judgement("ordinary", 0.0)
    trusted = [known for known in earlier if _is_trusted(known, login.at)]
    findings = tuple(finding for rule in RULES if (finding := rule.find(login, trusted)))
    score = round(1.0 - prod(1.0 - finding.weight for finding in findings), 2)
    return Judgement("suspicious" if score >= suspicious_score else "ordinary", score, findings)


def has_been_told(login: Login, history: History) -> bool:
    """Whether the same device in the same network was found suspicious within the day before: one warning is enough."""
    return any(
        known.verdict == "suspicious"
        and login.at - DISTRUST < known.last <= login.at
        and known.device == login.device
        and _network(known.place) == _network(login.place)
        for known in history
    )


def new_device_and_network(login: Login, history: History) -> str | None:
    """Neither was ever seen; one alone is a new phone at home, or the old one on its way."""
    if _is_new_device(login, history) and _is_new_network(login, history):
        return "a new device, in a network that you have not used before"
    return None


def new_country(login: Login, history: History) -> str | None:
    """The first login from there; silent as long as no country is known of any earlier login."""
    country = _country(login.place)
    known = {_country(each.place) for each in history} - {None}
    if country is None or not known or country in known:
        return None
    return f"the first login from this country ({country})"


def unreachable(login: Login, history: History) -> str | None:
    """Another country than last time, and no airliner is that fast; the user's own networks (a VPN) are no journey."""
    if login.place is None or login.place.latitude is None:
        return None
    before = max((each for each in history if each.last <= login.at), key=lambda each: each.last, default=None)
    if before is None or before.place is None or before.place.country == login.place.country:
        return None
    distance = _distance_km(before.place, login.place)
    if distance is None or not _is_new_network(login, history):
        return None
    hours = (login.at - before.last).total_seconds() / 3600
    if distance - TOLERANCE_KM <= FASTEST_KM_PER_HOUR * hours:
        return None
    countries = f"{before.place.country} and {login.place.country}"
    return f"{countries} are at least {distance:.0f} km apart, and {_spoken(hours)} between"


def failures_before(login: Login, history: History) -> str | None:
    """Somebody guessed, and then a new device or network was right; at home it is the owner who forgot."""
    if login.failures < MANY_FAILURES or not (_is_new_device(login, history) or _is_new_network(login, history)):
        return None
    return f"{login.failures} wrong passwords just before"


def burst(login: Login, history: History) -> str | None:
    """The address tries many accounts; the user's own network (an office in the morning) may."""
    if login.accounts < MANY_ACCOUNTS or not _is_new_network(login, history):
        return None
    return f"the same address gave wrong passwords for {login.accounts} accounts just before"


RULES: Final = (
    Rule(
        "new_device_and_network",
        0.5,
        "neither the device nor the network was ever used by this user",
        new_device_and_network,
    ),
    Rule("new_country", 0.4, "this user never logged in from this country", new_country),
    Rule(
        "unreachable",
        0.6,
        f"another country than last time, faster than {FASTEST_KM_PER_HOUR:.0f} km/h, from a new network",
        unreachable,
    ),
    Rule(
        "failures_before",
        0.5,
        f"{MANY_FAILURES} or more wrong passwords for the account just before, then a new device or network",
        failures_before,
    ),
    Rule(
        "burst",
        0.5,
        f"wrong passwords for {MANY_ACCOUNTS} or more accounts from this address just before, and a new network",
        burst,
    ),
)


def _is_trusted(known: Known, at: datetime) -> bool:
    return known.verdict != "suspicious" or known.since <= at - DISTRUST


def _is_new_device(login: Login, history: History) -> bool:
    return all(known.device != login.device for known in history)


def _is_new_network(login: Login, history: History) -> bool:
    network = _network(login.place)
    return network is not None and all(_network(known.place) != network for known in history)


def _network(place: Place | None) -> str | None:
    return place.network if place else None


def _country(place: Place | None) -> str | None:
    return place.country if place else None


def _distance_km(one: Place, other: Place) -> float | None:
    """The great circle between two places, as short as their radii allow (haversine); None without coordinates."""
    if one.latitude is None or one.longitude is None or other.latitude is None or other.longitude is None:
        return None
    latitudes = radians(one.latitude), radians(other.latitude)
    half_north = (latitudes[1] - latitudes[0]) / 2
    half_east = radians(other.longitude - one.longitude) / 2
    chord = sin(half_north) ** 2 + cos(latitudes[0]) * cos(latitudes[1]) * sin(half_east) ** 2
    return max(0.0, 2 * 6371.0 * asin(min(1.0, sqrt(chord))) - one.radius_km - other.radius_km)


def _spoken(hours: float) -> str:
    minutes = round(hours * 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
