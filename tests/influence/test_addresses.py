"""Which addresses callers may have us speak to."""

from ipaddress import ip_address

import pytest

from influence.errors import InvalidRequest
from influence.process.addresses import check_url, is_public

PRIVATE = (
    "127.0.0.1 127.8.8.8 0.0.0.0 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 100.100.100.200 192.0.0.192"
    " 168.63.129.16 224.0.0.1 255.255.255.255 240.0.0.1 198.18.0.1"
    " :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 fe80::1 fc00::1 fd00:ec2::254 fec0::1 ff02::1 2001:db8::1"
    " 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 2002:7f00:1:: 2002:a00:1:: 2001::1"
)


@pytest.mark.parametrize("text", PRIVATE.split())
def test_what_not_everyone_can_reach_is_private(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_what_everyone_can_reach_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://[::1]:8080/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://localhost:9/",
        "http://a.localhost./",
        "http://LOCALHOST/",
        "http://169.254.169.254/latest/meta-data",
    ],
)
def test_a_private_host_is_refused_unless_it_is_allowed(url: str) -> None:
    with pytest.raises(InvalidRequest, match="not a public address"):
        check_url(url, allow_private=False)
    assert check_url(url, allow_private=True).host


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example/x",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "gopher://hooks.example/",
        "http:///x",
        "http://user:word@hooks.example/",
        "http://hooks.example/#part",
        "http://hooks.example:99999/",
        "http://hooks.example/\n",
        "http://[::1",
        "http://xn--/",
    ],
)
def test_what_is_no_web_address_is_refused_whatever_is_allowed(url: str) -> None:
    with pytest.raises(InvalidRequest):
        check_url(url, allow_private=True)


def test_a_public_address_is_taken() -> None:
    assert check_url("https://hooks.example:8443/a?b=c", allow_private=False).port == 8443
