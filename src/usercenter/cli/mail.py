"""`usercenter mail`."""

import sys
from pathlib import Path
from typing import Literal

from usercenter.cli import WRONG_USAGE
from usercenter.cli.failures import CommandFailed
from usercenter.cli.settings import ConfigFile, loaded


def preview(
    template: str,
    /,
    *,
    locale: str = "en",
    channel: Literal["mail", "sms"] = "mail",
    html: Path | None = None,
    config: ConfigFile = None,
) -> None:
    """Print a mail or an SMS as a user would get it, with sample data; nothing is sent.

    Example: usercenter mail preview welcome --locale zh-CN --html welcome.html
    Example: usercenter mail preview status_changed --channel sms

    Parameters
    ----------
    locale: The reader's language: en or zh-CN.
    channel: Which of the two forms; not every template is written as an SMS.
    html: Write the HTML part of the mail to this file, to be looked at in a browser.
    """
    from usercenter.notify.preview import preview as mail_of
    from usercenter.notify.preview import preview_html, preview_text

    mail = loaded(config).config.mail
    if channel == "sms" and html is not None:
        raise CommandFailed("an SMS has no HTML; leave --html out", status=WRONG_USAGE)
    print((preview_text if channel == "sms" else mail_of)(template, locale, mail=mail))  # noqa: T201
    if html is not None:
        html.write_text(preview_html(template, locale, mail=mail), encoding="utf-8")
        print(f"HTML written to {html}", file=sys.stderr)  # noqa: T201
