"""Which addresses callers may have us speak to: public ones, unless a setting allows others."""

import ipaddress
import socket
from typing import TYPE_CHECKING

from influence.errors import InvalidRequest

if TYPE_CHECKING:
    from httpx import URL

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: IPv4 addresses behind a translator (RFC 6052): what lies behind them is not told by the address being public.
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
#: Look public to the library, and are answered by the hosts of virtual machines in some clouds.
_CLOUDS_OWN = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24")))


def check_url(text: str, *, allow_private: bool) -> "URL":
    """The address as it is called. Raises InvalidRequest for what is no http(s) address, carries credentials, or names
    a host outright that is not public; what a name stands for is asked when it is called."""
    # The API starts without it.
    from httpx import URL, InvalidURL

    try:
        url = URL(text)
        host = url.host
    except (InvalidURL, UnicodeError) as error:
        raise _refusal(f"The address cannot be read: {error}.") from error
    if url.scheme not in ("http", "https") or not host or not 0 < (url.port or 1) < 1 << 16:
        raise _refusal("The address has to begin with http:// or https:// and to name a host.")
    if url.userinfo or url.fragment:
        raise _refusal("The address carries a user, a password or a fragment.")
    if not allow_private and is_private_name(host):
        raise _refusal(f"{host} is not a public address.", "The operator allows it by a setting, if at all.")
    return url


def is_private_name(host: str) -> bool:
    """Whether a host is known not to be public without asking a resolver."""
    try:
        return not is_public(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return host.rstrip(".").endswith("localhost")


def is_public(address: Address) -> bool:
    """Whether anyone can reach an address: not of this machine, a private network, a link, a cloud's own or a group."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    is_special = address.is_multicast or address.is_reserved or any(address in own for own in _CLOUDS_OWN)
    return address.is_global and not is_special


def resolve(host: str, port: int) -> list[Address]:
    """All addresses of a host, in the resolver's order. Raises OSError, UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]


def _refusal(detail: str, hint: str = "Send an address such as 'https://hooks.example/datainf'.") -> InvalidRequest:
    return InvalidRequest(detail, hint=hint, extra={"field": "url"})
