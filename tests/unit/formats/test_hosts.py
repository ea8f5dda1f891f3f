"""Which hosts of URLs are this machine."""

from __future__ import annotations

import pytest

from pumice.formats import hosts


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1", "127.0.0.1", "127.9.9.9:5", "[::1]:5", "::1", "a.localhost"]
)
def test_loopback_is_recognized_by_name(host: str) -> None:
    assert hosts.is_loopback(host)
    assert hosts.is_local(host)


@pytest.mark.parametrize(
    "host", ["localhost.example", "128.0.0.1", "127.0.0.1.example", "[::2]:5", "0.0.0.0", "127.1", ""]
)
def test_loopback_excludes_uncertain_hosts(host: str) -> None:
    assert not hosts.is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "[::]:80",
        "[::ffff:127.0.0.1]",
        "127.1:80",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "LOCALHOST.",
        "127.0.0.1.",
        "169.254.169.254",
        "0xa9fea9fe",
        "[fe80::1]",
        "fe80::1%eth0",
    ],
)
def test_hosts_that_may_be_this_machine_or_link_local_are_local(host: str) -> None:
    assert hosts.is_local(host)


@pytest.mark.parametrize(
    "host", ["registry.example", "192.0.2.1:443", "10.0.0.1", "[2001:db8::1]", "", " 127.1"]
)
def test_other_machines_are_not_local(host: str) -> None:
    assert not hosts.is_local(host)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("10.0.0.1", False),
        ("[fd00::1]", False),
        ("[fec0::1]", False),
        ("[::ffff:10.0.0.1]", False),
        ("[2002:a00:1::]", False),
        ("[64:ff9b::10.0.0.1]", False),
        ("[::10.0.0.1]", False),
        ("[64:ff9b::127.0.0.1]", True),
        ("[64:ff9b::a9fe:a9fe]", True),
        ("[::127.0.0.1]", True),
        ("[::ffff:0:10.0.0.1]", False),
        ("[::ffff:0:127.0.0.1]", True),
        ("[64:ff9b:1::10.0.0.1]", False),
    ],
)
def test_private_addresses_are_recognized_in_every_form(host: str, is_local: bool) -> None:
    assert hosts.is_private(host)
    assert hosts.is_local(host) == is_local


@pytest.mark.parametrize("host", ["8.8.8.8", "[64:ff9b::8.8.8.8]", "[2002:808:808::]", "[2a00::1]"])
def test_addresses_of_the_internet_are_not_private(host: str) -> None:
    assert not hosts.is_private(host)
