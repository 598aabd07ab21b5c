"""Places from a GeoIP file that the test writes itself."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from usercenter.users.places import Place, Places

Write = Callable[[dict[str, dict[str, Any]]], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of networks, renamed onto its place as the updater does it."""

    def write(networks: dict[str, dict[str, Any]]) -> str:
        writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="test")
        for network, record in networks.items():
            writer.insert_network(IPSet([network]), record)
        writer.to_db_file(str(tmp_path / "new.mmdb"))
        os.replace(tmp_path / "new.mmdb", tmp_path / "places.mmdb")  # noqa: PTH105
        return str(tmp_path / "places.mmdb")

    return write


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
    ],
)
def test_without_a_file_an_address_has_only_its_network(address: str, network: str) -> None:
    assert Places().find(address) == Place(network=network)


@pytest.mark.parametrize("address", [None, "", "unix:", "203.0.113"])
def test_what_is_no_address_has_no_place(address: str | None) -> None:
    assert Places().find(address) is None


def test_country_coordinates_and_autonomous_system_come_from_the_file(write: Write) -> None:
    record = {
        "country": {"iso_code": "DE"},
        "location": {"latitude": 52.5, "longitude": 13.4, "accuracy_radius": 20},
        "autonomous_system_number": 64500,
    }
    places = Places(write({"203.0.113.0/24": record, "2001:db8::/32": {"country_code": "JP", "asn": "AS64501"}}))
    assert places.find("203.0.113.77") == Place(
        network="AS64500", country="DE", latitude=52.5, longitude=13.4, radius_km=20
    )
    assert places.find("2001:db8::1") == Place(network="AS64501", country="JP")
    assert places.find("198.51.100.1") == Place(network="198.51.100.0/24")
    places.close()
    places.close()


def test_a_new_file_is_taken_and_a_broken_one_leaves_the_last(write: Write) -> None:
    path = write({"203.0.113.0/24": {"country": {"iso_code": "DE"}}})
    places = Places(path)
    assert places.find("203.0.113.1").country == "DE"
    write({"203.0.113.0/24": {"country": {"iso_code": "FR"}}})
    assert places.find("203.0.113.1").country == "FR"
    broken = Path(path).with_suffix(".new")
    broken.write_bytes(b"no database")
    broken.replace(path)
    assert places.find("203.0.113.1").country == "FR"
    Path(path).unlink()
    assert places.find("203.0.113.1").country == "FR"
