"""`usercenter mail`."""

import sys
from pathlib import Path

from usercenter.cli.settings import ConfigFile, loaded


def preview(template: str, /, *, locale: str = "en", html: Path | None = None, config: ConfigFile = None) -> None:
    """Print a mail as a user would get it, with sample data; nothing is sent.

    Example: usercenter mail preview welcome --locale zh-CN --html welcome.html

    Parameters
    ----------
    locale: The reader's language: en or zh-CN.
    html: Write the HTML part to this file, to be looked at in a browser.
    """
    from usercenter.notify.preview import preview as text_of
    from usercenter.notify.preview import preview_html

    mail = loaded(config).config.mail
    print(text_of(template, locale, mail=mail))  # noqa: T201
    if html is not None:
        html.write_text(preview_html(template, locale, mail=mail), encoding="utf-8")
        print(f"HTML written to {html}", file=sys.stderr)  # noqa: T201
