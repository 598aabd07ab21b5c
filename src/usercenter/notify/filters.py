"""What templates do with values: moments and countries as people read them, in their language and time zone."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time, get_timezone_name
from jinja2 import pass_context
from jinja2.runtime import Context

from usercenter.notify.errors import TemplateParameterInvalid


@pass_context
def moment(context: Context, value: Any) -> str:
    """Template filter: an ISO 8601 moment for the reader of this letter. Raises TemplateParameterInvalid."""
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise TemplateParameterInvalid("a moment must be written like 2026-11-24T07:04:05Z") from error
    return spoken(at, locale=str(context["locale"]), time_zone=str(context["time_zone"]))


def spoken(at: datetime, *, locale: str, time_zone: str) -> str:
    """The moment to the minute, with the zone's name. One without a zone is read as UTC."""
    local = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(ZoneInfo(time_zone))
    language = Locale.parse(locale, sep="-")
    date, time = format_date(local, "long", language), format_time(local, "short", local.tzinfo, language)
    zone = get_timezone_name(local, "long", locale=language)
    separator = " " if language.language == "zh" else ", "
    brackets = "（{}）" if language.language == "zh" else " ({})"
    return f"{date}{separator}{time}{brackets.format(zone)}".replace("\u202f", " ")


@pass_context
def territory(context: Context, code: Any) -> str:
    """Template filter: a country by its ISO 3166 code, in the reader's language; anything else stays as it is."""
    names = Locale.parse(str(context["locale"]), sep="-").territories
    return str(names.get(str(code).upper(), code))
