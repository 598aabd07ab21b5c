"""A text message as people read it: one short line, written from a template in the reader's language."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec
from jinja2 import UndefinedError

from usercenter.config.model import Mail
from usercenter.notify import letters, locales
from usercenter.notify.errors import TemplateParameterInvalid, TemplateParameterMissing, TemplateUnknown
from usercenter.notify.lines import one_line

LONGEST: Final = 300
"""Characters; what is longer is cut. About two parts of an SMS in Latin script, five in Chinese."""

_FOLDER = files("usercenter.notify") / "templates"
_SUFFIX: Final = ".sms"


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """What is said to which number (E.164)."""

    to: str
    body: str
    locale: str


def render_text(
    template: str, locale: str, parameters: Mapping[str, Any], *, to: str, mail: Mail, time_zone: str = "UTC"
) -> Text:
    """The text message that this template makes of these parameters, in the closest locale that it is written in.

    Parameters are a stranger's, as in `letters.render`. Raises TemplateUnknown, TemplateParameterMissing,
    TemplateParameterInvalid.
    """
    closest = locales.closest(locale, text_locales(template))
    facts = letters.facts_of(parameters, locale=closest, mail=mail, time_zone=time_zone)
    try:
        body = one_line(letters.environment("txt").get_template(f"{template}/{closest}{_SUFFIX}").render(facts))
    except UndefinedError as error:
        raise TemplateParameterMissing(f"{template}/{closest}: {error}; give it in the parameters") from error
    except TypeError as error:
        raise TemplateParameterInvalid(f"{template}/{closest}: a parameter has the wrong type: {error}") from error
    return Text(to=to, body=body if len(body) <= LONGEST else body[: LONGEST - 1] + "…", locale=closest)


@cache
def texts() -> list[str]:
    """The names of all templates that are written as a text message, sorted."""
    return [name for name in letters.templates() if _locales_of(name)]


@cache
def text_locales(template: str) -> list[str]:
    """The locales that this text message is written in, sorted. Raises TemplateUnknown."""
    if template not in texts():
        raise TemplateUnknown(f"no template {template!r} for SMS; there are: {', '.join(texts())}")
    return _locales_of(template)


def _locales_of(template: str) -> list[str]:
    names = (file.name for file in (_FOLDER / template).iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))
