"""A mail as people read it: its subject, its text and its HTML, written from a template in the reader's language."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, Template, UndefinedError, select_autoescape

from usercenter.config.model import Mail
from usercenter.notify import locales
from usercenter.notify.errors import TemplateParameterInvalid, TemplateParameterMissing, TemplateUnknown
from usercenter.notify.filters import moment, territory
from usercenter.notify.lines import one_line, one_line_each, spaced

_FOLDER = files("usercenter.notify") / "templates"


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What is said to whom. `text` and `html` say the same; `headers` are those that only this letter has."""

    to: str
    subject: str
    text: str
    html: str
    locale: str
    headers: dict[str, str] = {}


def render(
    template: str,
    locale: str,
    parameters: Mapping[str, Any],
    *,
    to: str,
    mail: Mail,
    unsubscribe_url: str = "",
    time_zone: str = "UTC",
) -> Letter:
    """The letter that this template makes of these parameters, in the closest locale that it is written in.

    Every string in `parameters` is treated as a stranger's: put on one line, without control characters, escaped in
    HTML. What the house says of itself (`facts_of`) comes from `mail` alone, whatever the parameters say. Moments are
    written in the reader's `time_zone`.
    With an `unsubscribe_url` (https, of this reader) the mail offers one-click unsubscription; security mail has none.
    Raises TemplateUnknown, TemplateParameterMissing, TemplateParameterInvalid.
    """
    closest = locales.closest(locale, written_locales(template))
    facts = facts_of(parameters, locale=closest, mail=mail, time_zone=time_zone)
    facts["unsubscribe_url"] = one_line(unsubscribe_url)
    try:
        return Letter(
            to=to,
            subject=one_line(_subject(_template(template, closest, "txt"), facts)),
            text=_tidy(_template(template, closest, "txt").render(facts)),
            html=_template(template, closest, "html").render(facts),
            locale=closest,
            headers=_unsubscription(facts["unsubscribe_url"]),
        )
    except UndefinedError as error:
        raise TemplateParameterMissing(f"{template}/{closest}: {error}; give it in the parameters") from error
    except TypeError as error:
        raise TemplateParameterInvalid(f"{template}/{closest}: a parameter has the wrong type: {error}") from error


def facts_of(parameters: Mapping[str, Any], *, locale: str, mail: Mail, time_zone: str) -> dict[str, Any]:
    """What a template can say: the parameters made harmless, and what the house says of itself."""
    house = {
        "product_name": mail.product_name,
        "public_url": mail.public_url,
        "forgot_password_url": mail.public_url.rstrip("/") + mail.forgot_password_path,
        "support_address": mail.support_address,
    }
    reader = {"locale": locale, "time_zone": time_zone}
    return {**one_line_each(dict(parameters)), **one_line_each(house), **reader}


@cache
def templates() -> list[str]:
    """The names of all templates, sorted."""
    return sorted(folder.name for folder in _FOLDER.iterdir() if folder.is_dir())


@cache
def written_locales(template: str) -> list[str]:
    """The locales that this template is written in, sorted. Raises TemplateUnknown."""
    if template not in templates():
        raise TemplateUnknown(f"no template {template!r}; there are: {', '.join(templates())}")
    names = (file.name for file in (_FOLDER / template).iterdir())
    return sorted(name.removesuffix(".jinja") for name in names if name.endswith(".jinja"))


@cache
def environment(form: str) -> Environment:
    """One of the two forms, `txt` or `html`: a template only says what, `layout` and `say` of the form say how."""
    made = Environment(
        loader=PackageLoader("usercenter.notify"),
        autoescape=select_autoescape(enabled_extensions=("html",), default=form == "html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(flow=one_line, spaced=spaced, moment=moment, territory=territory)
    made.globals["layout"] = f"layout.{form}"
    made.globals["say"] = made.get_template(f"parts.{form}").module
    return made


def _template(name: str, locale: str, form: str) -> Template:
    return environment(form).get_template(f"{name}/{locale}.jinja")


def _subject(template: Template, facts: dict[str, Any]) -> str:
    return "".join(template.blocks["subject"](template.new_context(facts)))


def _tidy(text: str) -> str:
    """Paragraphs one empty line apart, no blanks at the ends of lines, one line break at the end."""
    lines = "\n".join(line.strip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip() + "\n"


def _unsubscription(url: str) -> dict[str, str]:
    if not url:
        return {}
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
