"""Mail addresses in the form that SMTP can carry."""

import re
from email.headerregistry import Address
from email.utils import parseaddr

from email_validator.syntax import validate_email_local_part

_DOMAIN = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")


def recipient_of(address: str) -> Address:
    """The address with its domain in ASCII (`例子.cn` becomes `xn--fsqu00a.cn`); the part before the @ stays as it is.

    Only the syntax is judged, so `localhost` and a company's inner domains are fine. Raises ValueError, without the
    address in its text.
    """
    local, _, domain = address.rpartition("@")
    validate_email_local_part(local)
    ascii_domain = domain.encode("idna").decode("ascii")
    if not _DOMAIN.fullmatch(ascii_domain):
        raise ValueError("The part after the @-sign is not a domain name.")
    return Address(username=local, domain=ascii_domain)


def mailbox_of(setting: str) -> Address:
    """The mailbox of a setting such as `Name <name@domain>` or `name@domain`. Raises ValueError."""
    name, address = parseaddr(setting)
    try:
        recipient = recipient_of(address)
    except ValueError as error:
        raise ValueError(f"{setting!r} is not a mailbox: write it as `Name <name@domain>`. {error}") from error
    return Address(display_name=name, username=recipient.username, domain=recipient.domain)
