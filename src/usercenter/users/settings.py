"""A user's settings: language, time zone, and what may be told to them, when and how."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from babel import Locale, UnknownLocaleError

from usercenter.config.model import Accounts
from usercenter.db import Transaction
from usercenter.users.errors import InvalidFields, Problem
from usercenter.users.model import User

_TIME_OF_DAY: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]\Z")
_CHANNELS: Final = ("mail", "sms")


class QuietHours(msgspec.Struct, frozen=True, kw_only=True):
    """From when to when, in the user's own time, nothing but security is told. `to` may be on the next day."""

    begin: str = msgspec.field(name="from")
    to: str


class Notifications(msgspec.Struct, frozen=True, kw_only=True):
    """The user's choices; security always goes by mail, whatever they say."""

    mail: bool = True
    sms: bool = False
    quiet_hours: QuietHours | None = None


class UserSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a user has chosen, or the configured defaults."""

    locale: str
    time_zone: str
    notifications: Notifications = Notifications()


def defaults(accounts: Accounts) -> UserSettings:
    """What is so until the user says otherwise."""
    return UserSettings(locale=accounts.default_locale, time_zone=accounts.default_time_zone)


async def read(tx: Transaction, user_id: UUID, accounts: Accounts) -> UserSettings:
    """The settings of a user; the defaults where none are stored (yet)."""
    row = await tx.fetch_one(
        "select locale, time_zone, notifications from user_settings where user_id = %s", (user_id,)
    )
    return of_row(row, accounts)


async def write(tx: Transaction, user_id: UUID, settings: UserSettings, *, now: datetime) -> None:
    """Keep these settings instead of the present ones; they were checked before (`changed`). Does not commit."""
    await tx.execute(
        "insert into user_settings (user_id, locale, time_zone, notifications, created_at, updated_at) "
        "values (%s, %s, %s, %s::json, %s, %s) on conflict (user_id) do update set locale = excluded.locale, "
        "time_zone = excluded.time_zone, notifications = excluded.notifications, updated_at = excluded.updated_at",
        (
            user_id,
            settings.locale,
            settings.time_zone,
            msgspec.json.encode(settings.notifications).decode(),
            now,
            now,
        ),
    )


async def of_user(tx: Transaction, user: User, accounts: Accounts) -> UserSettings:
    """As `read`; where none are stored yet, the language is the one that the account was opened with."""
    row = await tx.fetch_one(
        "select locale, time_zone, notifications from user_settings where user_id = %s", (user.id,)
    )
    return of_row(row or (user.locale, None, None), accounts)


async def follow_locale(tx: Transaction, user_id: UUID, locale: str | None) -> None:
    """The account's language is the settings' language too; none keeps what the settings say. Does not commit."""
    await tx.execute(
        "update user_settings set locale = %s where user_id = %s and %s::text is not null", (locale, user_id, locale)
    )


def difference(old: UserSettings, new: UserSettings) -> dict[str, Any]:
    """The settings that are not as they were, as JSON."""
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    return {name: value for name, value in after.items() if before[name] != value}


def of_row(row: tuple[Any, ...] | None, accounts: Accounts) -> UserSettings:
    """Settings from (locale, time_zone, notifications) of the table; nulls and no row at all become the defaults."""
    fallback = defaults(accounts)
    locale, time_zone, notifications = row or (None, None, None)
    return UserSettings(
        locale=locale or fallback.locale,
        time_zone=time_zone or fallback.time_zone,
        notifications=msgspec.convert(notifications or {}, Notifications),
    )


def changed(settings: UserSettings, fields: Mapping[str, Any]) -> UserSettings:
    """The settings with these fields instead; of `notifications`, too, only those given change.

    `fields` is JSON from outside. Raises InvalidFields with every problem there is.
    """
    if found := problems_of(fields):
        raise InvalidFields(found)
    present: dict[str, Any] = msgspec.to_builtins(settings)
    notifications = present["notifications"] | dict(fields.get("notifications", {}))
    return msgspec.convert(present | dict(fields) | {"notifications": notifications}, UserSettings)


def problems_of(fields: Mapping[str, Any]) -> list[Problem]:
    """Everything that is wrong with those settings that are given."""
    checks: dict[str, Callable[[Any], list[Problem]]] = {
        "locale": _check_locale,
        "time_zone": _check_time_zone,
        "notifications": _check_notifications,
    }
    return [problem for name, value in fields.items() for problem in checks.get(name, _unknown(name, checks))(value)]


def quiet_seconds(hours: QuietHours | None, time_zone: str, now: datetime) -> float:
    """How long it is still quiet for this user; 0 when it is not.

    By the wall clock of the user's zone: an hour that comes twice in autumn is quiet both times. An end that the clocks
    skip in spring comes as much later as they jump.
    """
    if hours is None:
        return 0.0
    zone = ZoneInfo(time_zone)
    local = now.astimezone(zone)
    begin, to, time = _minutes(hours.begin), _minutes(hours.to), local.hour * 60 + local.minute
    is_quiet = begin <= time < to if begin < to else time >= begin or time < to
    if not is_quiet:
        return 0.0
    day = local.date() + timedelta(days=1 if time >= to else 0)
    ends = (datetime(day.year, day.month, day.day, to // 60, to % 60, tzinfo=zone, fold=fold) for fold in (0, 1))
    return min(seconds for end in ends if (seconds := end.timestamp() - now.timestamp()) > 0)


def _minutes(time_of_day: str) -> int:
    hours, _, minutes = time_of_day.partition(":")
    return int(hours) * 60 + int(minutes)


def _check_locale(value: Any) -> list[Problem]:
    try:
        Locale.parse(value, sep="-")
    except (UnknownLocaleError, ValueError, TypeError):
        return [Problem("locale", "locale", "write a language tag such as en, zh-CN or de-AT")]
    return []


def _check_time_zone(value: Any) -> list[Problem]:
    problem = Problem("time_zone", "time_zone", "write an IANA name such as UTC, Asia/Shanghai or Europe/Berlin")
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, TypeError, OSError):
        return [problem]
    return []


def _check_notifications(value: Any) -> list[Problem]:
    if not isinstance(value, Mapping):
        return [Problem("notifications", "type", "must be an object with mail, sms and quiet_hours")]
    found = []
    for name, choice in value.items():
        field = f"notifications.{name}"
        if name == "quiet_hours":
            found += _check_quiet_hours(field, choice)
        elif name not in _CHANNELS:
            found.append(Problem(field, "unknown", "unknown; there are mail, sms and quiet_hours"))
        elif not isinstance(choice, bool):
            found.append(Problem(field, "type", "must be true or false"))
    return found


def _check_quiet_hours(field: str, value: Any) -> list[Problem]:
    if value is None:
        return []
    if not isinstance(value, Mapping) or set(value) != {"from", "to"}:
        return [Problem(field, "type", 'must be null, or {"from": "22:00", "to": "07:00"}')]
    wrong = [name for name, time in value.items() if not (isinstance(time, str) and _TIME_OF_DAY.match(time))]
    if wrong:
        return [Problem(f"{field}.{name}", "time", "write a time of day from 00:00 to 23:59") for name in wrong]
    if value["from"] == value["to"]:
        return [Problem(field, "length", "begins and ends at the same time; write null for no quiet hours")]
    return []


def _unknown(name: str, known: Mapping[str, Any]) -> Callable[[Any], list[Problem]]:
    return lambda _: [Problem(name, "unknown", f"unknown; there are {', '.join(known)}")]
