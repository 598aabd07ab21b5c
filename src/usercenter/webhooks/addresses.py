"""Where a call may go: public addresses, and hosts that the operator has allowed by name.

A webhook's URL is foreign text, and we call it from inside the company's network. So an address is refused when it is
not one that everybody on the Internet could call as well.
"""

import ipaddress
import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

_PRINTABLE: Final = re.compile(r"[!-~]+\Z")
_LONGEST_URL: Final = 2_000
_NUMBER: Final = re.compile(r"(\d+|0x[0-9a-f]*)\Z")

_SPECIAL: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "100.64.0.0/10",  # carriers' own, and a cloud's metadata at 100.100.100.200
        "168.63.129.16/32",  # a cloud's host, looks public
        "192.0.0.0/24",  # protocols' own, and a cloud's metadata at 192.0.0.192
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # Teredo and other protocols' own: the real destination is inside the address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
    )
)
_PUBLIC_IPV6: Final = ipaddress.ip_network("2000::/3")
"""The only IPv6 addresses that are routed everywhere; what is mapped, private, local or special lies outside."""


def is_public(address: str) -> bool:
    """Whether this IP address belongs to the open Internet; False for what is no address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and (ip.scope_id is not None or ip not in _PUBLIC_IPV6):
        return False
    if ip.is_multicast or ip.is_reserved or ip.is_unspecified or not ip.is_global:
        return False
    return not any(ip in network for network in _SPECIAL)


def is_allowed(host: str, allowed_hosts: Collection[str]) -> bool:
    """Whether the operator has allowed this host by name; case does not matter."""
    return host.lower() in {allowed.lower() for allowed in allowed_hosts}


def fault_of(url: str, allowed_hosts: Collection[str]) -> str | None:
    """What is wrong with a receiver's URL, as far as can be told without asking for its name; None when nothing is."""
    if not _PRINTABLE.match(url) or len(url) > _LONGEST_URL:
        return f"must be printable ASCII of up to {_LONGEST_URL} characters; write other letters percent-encoded"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is no URL; allowed: https://host/path"
    if parts.scheme not in {"https", "http"} or not host or port == 0:
        return "is no URL that can be called; allowed: https://host/path"
    if "@" in parts.netloc or "#" in url:
        return "must have no user name, password or fragment; receivers know us by the signature"
    return None if is_allowed(host, allowed_hosts) else _policy_fault(parts.scheme, host)


def _policy_fault(scheme: str, host: str) -> str | None:
    """An address in any notation (10.0.0.1, 0x7f.1, 2130706433, [::1]) is refused at once unless it is public."""
    if scheme != "https":
        return "must begin with https://, or the operator allows the host in webhooks.allowed_hosts"
    is_address = ":" in host or bool(_NUMBER.match(host.rstrip(".").rpartition(".")[2]))
    if is_address and not is_public(host):
        return "is not on the open Internet; the operator can allow the host in webhooks.allowed_hosts"
    return None
