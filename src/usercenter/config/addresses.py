"""What is wrong with an address, if anything. None of these messages repeats a password."""

import re

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?")


def broker_fault(address: str) -> str | None:
    """Why `host:port` or `[IPv6]:port` cannot be a broker, or None."""
    if "://" in address:
        return "has a scheme; allowed: host:port"
    host, colon, port = address.rpartition(":")
    if not colon or (not host.startswith("[") and ":" in host) or address.endswith("]"):
        return "has no port; allowed: host:port, or [IPv6]:port"
    return _host_fault(host) or _port_fault(port)


def _host_fault(host: str) -> str | None:
    if host.startswith("[") and host.endswith("]"):
        return None if _is_ipv6(host[1:-1]) else "has no IPv6 address in its brackets"
    return None if _HOST.fullmatch(host) else "has no host before the colon; allowed: host:port"


def _is_ipv6(text: str) -> bool:
    from ipaddress import IPv6Address

    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _port_fault(port: str) -> str | None:
    is_port = re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535
    return None if is_port else "has no valid port; allowed: 1 to 65535"


def database_fault(url: str) -> str | None:
    """Why the URL cannot lead to a PostgreSQL, or None; several hosts may stand in it, separated by commas."""
    if not url.startswith("postgresql://"):
        return "does not begin with postgresql://"
    if re.search(r"\s", url):
        return "has a blank or a line break in it"
    authority = re.split(r"[/?#]", url.removeprefix("postgresql://"), maxsplit=1)[0]
    for host in authority.rpartition("@")[2].split(","):
        port = re.fullmatch(r"(?:\[[^]]*\]|[^:[]*):(.*)", host)
        if port and _port_fault(port[1]):
            return "has no valid port (write / ? # @ : in a password as %2F %3F %23 %40 %3A)"
    return None
