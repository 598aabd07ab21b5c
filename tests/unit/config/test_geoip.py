from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet


def test_a_geoip_file_that_can_be_read_is_taken(load_text, tmp_path: Path):
    writer = MMDBWriter()
    writer.insert_network(IPSet(["203.0.113.0/24"]), {"country": {"iso_code": "DE"}})
    writer.to_db_file(str(tmp_path / "places.mmdb"))
    text = f"logins: {{geoip_file: {tmp_path / 'places.mmdb'}}}"
    assert load_text(text).config.logins.geoip_file == str(tmp_path / "places.mmdb")


@pytest.mark.parametrize(("content", "fault"), [(None, "there is no such file"), (b"text", "cannot be read")])
def test_another_one_is_refused_with_the_reason(problems_of, tmp_path: Path, content: bytes | None, fault: str):
    if content:
        (tmp_path / "places.mmdb").write_bytes(content)
    lines = problems_of(f"logins: {{geoip_file: {tmp_path / 'places.mmdb'}}}")
    assert any("logins.geoip_file" in line for line in lines)
    assert any(fault in line for line in lines)
