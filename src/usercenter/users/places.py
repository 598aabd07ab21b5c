"""Where an address is: its network, and with a GeoIP file its country and coordinates."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import maxminddb
import msgspec
import structlog

log = structlog.get_logger()

Address = IPv4Address | IPv6Address


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an address; without a GeoIP file only the network."""

    network: str
    """The autonomous system where the file names it (`AS64500`), else the /24 or the /48."""
    country: str | None = None
    """ISO 3166-1, two letters."""
    latitude: float | None = None
    longitude: float | None = None
    radius_km: float = 0.0
    """How far the coordinates may be wrong."""


class Places:
    """Finds places. Reads the file by memory map, and opens it anew once another one has been renamed onto it."""

    def __init__(self, geoip_file: str = "") -> None:
        self._path = Path(geoip_file) if geoip_file else None
        self._reader: maxminddb.Reader | None = None
        self._stamp: tuple[int, int] | None = None

    def find(self, address: str | None) -> Place | None:
        """The place of an IP address, None when it is no address; an unreadable file is logged and not believed."""
        parsed = _parsed(address or "")
        if parsed is None:
            return None
        record = self._record(parsed)
        return _place(_system_of(record) or _network_of(parsed), record)

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        if self._reader is not None:
            self._reader.close()
        self._reader = self._stamp = None

    def _record(self, address: Address) -> Mapping[str, Any]:
        self._open_newest()
        if self._reader is None or (address.version == 6 and self._reader.metadata().ip_version == 4):
            return {}
        record = self._reader.get(address)
        return record if isinstance(record, dict) else {}

    def _open_newest(self) -> None:
        if self._path is None:
            return
        try:
            status = self._path.stat()
            stamp = (status.st_ino, status.st_mtime_ns)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._reader = maxminddb.open_database(self._path)
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            log.warning("logins.geoip_unreadable", error=str(error), next="see logins.geoip_file")


@lru_cache(maxsize=16_384)
def _parsed(address: str) -> Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


def _network_of(address: Address) -> str:
    """The /24 or /48: what one household, office or cell keeps of its address."""
    if isinstance(address, IPv4Address):
        return f"{str(address).rpartition('.')[0]}.0/24"
    return f"{IPv6Address(int(address) >> 80 << 80)}/48"


def _system_of(record: Mapping[str, Any]) -> str | None:
    number = record.get("autonomous_system_number") or record.get("asn")
    return f"AS{str(number).upper().removeprefix('AS')}" if number else None


def _place(network: str, record: Mapping[str, Any]) -> Place:
    location = record.get("location")
    position = location if isinstance(location, dict) else {}
    country = record.get("country_code") or record.get("country")
    if isinstance(country, dict):
        country = country.get("iso_code")
    return Place(
        network=network,
        country=str(country) if country else None,
        latitude=position.get("latitude"),
        longitude=position.get("longitude"),
        radius_km=float(position.get("accuracy_radius") or 0.0),
    )
