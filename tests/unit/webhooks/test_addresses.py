"""Only what everybody on the Internet could call may be called."""

import pytest

from usercenter.webhooks.addresses import fault_of, is_public

PRIVATE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",  # noqa: S104
    "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:a9fe:a9fe", "::127.0.0.1",
    "fe80::1", "fe80::1%lo", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "100::1", "2001::1", "2001:0:7f00:1::", "2001:db8::1", "2002:7f00:1::1", "3fff::1", "2606:4700::1%eth0",
    "localhost", "2130706433", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_none(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450::1"])
def test_a_public_address_is_one(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "1", "[::1]", "[::ffff:7f00:1]",
     "[fd00:ec2::254]", "169.254.169.254", "10.0.0.1.", "0", "0x", "[fe80::1%25lo]"],
)  # fmt: skip
def test_an_address_in_any_notation_is_refused_at_once(host):
    assert "open Internet" in (fault_of(f"https://{host}/hook", []) or "")


@pytest.mark.parametrize(
    "url",
    ["", "crm.example.com", "ftp://crm.example.com/", "file:///etc/passwd", "https://", "https:///hook",
     "https://user:pw@crm.example.com/", "https://crm.example.com/#part", "https://crm.example.com:99999/",
     "https://crm.example.com:0/", "https://crm.example.com:x/", "https://crm.example.com/\r\nX: y", "https://[::1",
     "https://übung.example/", "https://crm.example.com/" + "a" * 2000, "gopher://crm.example.com/"],
)  # fmt: skip
def test_what_is_no_url_of_a_receiver_is_refused(url):
    assert fault_of(url, [])


def test_https_to_a_name_or_a_public_address_may_be_subscribed():
    for url in (
        "https://crm.example.com/hook?a=b",
        "https://8.8.8.8/",
        "https://[2606:4700::1]:8443/",
        "HTTPS://A.example/",
    ):
        assert fault_of(url, []) is None


def test_a_host_that_is_allowed_by_name_may_be_private_and_without_tls_but_no_other():
    assert fault_of("http://crm.internal:8080/hook", ["CRM.internal"]) is None
    assert fault_of("http://127.0.0.1/hook", ["127.0.0.1"]) is None
    assert "https://" in (fault_of("http://crm.internal.evil.example/", ["crm.internal"]) or "")
    assert "https://" in (fault_of("http://crm.example.com/", []) or "")
