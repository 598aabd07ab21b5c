"""`usercenter mail`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from usercenter.cli import WRONG_USAGE
from usercenter.cli.failures import CommandFailed
from usercenter.cli.loading import loaded
from usercenter.cli.operating import Json
from usercenter.cli.settings import ConfigFile
from usercenter.cli.terminal import plain_lines, say, show, show_json


def preview(
    template: Annotated[str, Parameter(help="Its name: welcome, password_changed …")],
    /,
    *,
    locale: Annotated[str, Parameter(help="The reader's language: en or zh-CN.")] = "en",
    channel: Annotated[
        Literal["mail", "sms"], Parameter(help="Which form; not every template is written as an SMS.")
    ] = "mail",
    html: Annotated[
        Path | None, Parameter(help="Write the HTML of the mail to this file, to be looked at in a browser.")
    ] = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Print a mail or an SMS as a user would get it, with sample data; nothing is sent."""
    from usercenter.notify.preview import preview as mail_of
    from usercenter.notify.preview import preview_html, preview_text

    mail = loaded(config).config.mail
    if channel == "sms" and html is not None:
        raise CommandFailed("an SMS has no HTML; leave --html out", status=WRONG_USAGE)
    text = (preview_text if channel == "sms" else mail_of)(template, locale, mail=mail)
    if json:
        show_json({"template": template, "locale": locale, "channel": channel, "text": text})
    else:
        show(plain_lines(text))
    if html is not None:
        _write(html, preview_html(template, locale, mail=mail))


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}", status=WRONG_USAGE) from error
    say(f"HTML written to {file}")
