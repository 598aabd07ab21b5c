"""Which of the languages that we write fits a person best."""

from collections.abc import Iterable

from babel import negotiate_locale

FALLBACK = "en"
"""What everybody gets whose language we do not write; every template has it."""


def closest(locale: str, written: Iterable[str]) -> str:
    """The one of the `written` locales that fits, or English.

    Takes any spelling (`zh`, `zh_CN`, `zh-Hans-CN`, `zh_CN.UTF-8`) and never raises: it may be a stranger's.
    """
    by_name = {name.split("-")[0].lower(): name for name in written} | {name.lower(): name for name in written}
    wanted = locale.partition(".")[0].replace("_", "-").lower()
    return by_name.get(negotiate_locale([wanted], by_name, sep="-") or "", FALLBACK)
