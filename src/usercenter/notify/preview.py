"""A template as its reader would see it, with sample parameters: for those who write templates, and for the tests."""

import json
from email import message_from_bytes
from email.policy import default
from importlib.resources import files
from typing import Any, Final

from usercenter.clock import Clock, SystemClock
from usercenter.config.model import Mail
from usercenter.notify.letters import Letter, render, templates, written_locales
from usercenter.notify.mime import compose
from usercenter.notify.texts import render_text, text_locales, texts

__all__ = ["preview", "preview_html", "preview_text", "sample_of", "templates", "texts"]

_PHONE: Final = "+14155550123"


def preview(template: str, locale: str, *, mail: Mail | None = None, clock: Clock | None = None) -> str:
    """The headers, readable and one a line, an empty line, then the text. Raises TemplateUnknown."""
    settings = mail or Mail()
    letter = _letter(template, locale, settings)
    ready = compose(letter, notification_id="preview", mail=settings, clock=clock or SystemClock())
    message = message_from_bytes(ready.octets, policy=default)
    headers = "\n".join(f"{name}: {value}" for name, value in message.items())
    return f"{headers}\n\n{letter.text}"


def preview_html(template: str, locale: str, *, mail: Mail | None = None) -> str:
    """The HTML, as a whole page that a browser shows. Raises TemplateUnknown."""
    return _letter(template, locale, mail or Mail()).html


def preview_text(template: str, locale: str, *, mail: Mail | None = None) -> str:
    """The text message: its one line. Raises TemplateUnknown, with the templates that are written as one."""
    text_locales(template)  # raises first, so that it names those that are text messages
    return render_text(template, locale, sample_of(template), to=_PHONE, mail=mail or Mail()).body


def sample_of(template: str) -> dict[str, Any]:
    """The sample parameters that lie beside the template. Raises TemplateUnknown."""
    written_locales(template)
    sample = files("usercenter.notify") / "templates" / template / "sample.json"
    return dict(json.loads(sample.read_text(encoding="utf-8")))


def _letter(template: str, locale: str, mail: Mail) -> Letter:
    sample = sample_of(template)
    return render(template, locale, sample, to=sample.get("email", "test@example.com"), mail=mail)
