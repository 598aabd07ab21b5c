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
from usercenter.notify.errors import TemplateParameterMissing, TemplateUnknown
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
    template: str, locale: str, parameters: Mapping[str, Any], *, to: str, mail: Mail, unsubscribe_url: str = ""
) -> Letter:
    """The letter that this template makes of these parameters, in the closest locale that it is written in.

    Every string in `parameters` is treated as a stranger's: put on one line, without control characters, escaped in
    HTML. `product_name`, `public_url` and `support_address` come from `mail` alone, whatever the parameters say.
    With an `unsubscribe_url` (https, of this reader) the mail offers one-click unsubscription; security mail has none.
    Raises TemplateUnknown, TemplateParameterMissing.
    """
    closest = locales.closest(locale, written_locales(template))
    house = {
        "locale": closest,
        "product_name": one_line(mail.product_name),
        "public_url": one_line(mail.public_url),
        "support_address": one_line(mail.support_address),
        "unsubscribe_url": one_line(unsubscribe_url),
    }
    facts = {**one_line_each(dict(parameters)), **house}
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
def _environment(form: str) -> Environment:
    """One of the two forms, `txt` or `html`: a template only says what, `layout` and `say` of the form say how."""
    environment = Environment(
        loader=PackageLoader("usercenter.notify"),
        autoescape=select_autoescape(enabled_extensions=("html",), default=form == "html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(flow=one_line, spaced=spaced)
    environment.globals["layout"] = f"layout.{form}"
    environment.globals["say"] = environment.get_template(f"parts.{form}").module
    return environment


def _template(name: str, locale: str, form: str) -> Template:
    return _environment(form).get_template(f"{name}/{locale}.jinja")


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
