"""Where requests to an address that others wrote may go: public addresses, and those of `PRIVATE_HOSTS_ALLOWED`.

The name is resolved and judged here and the caller connects to the address it is given: what the name means a moment
later (DNS rebinding) does not matter.
"""

from __future__ import annotations

import ipaddress
import socket
import threading

from django.conf import settings

type Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

NAT64 = ipaddress.ip_network("64:ff9b::/96")
V4_COMPATIBLE = ipaddress.ip_network("::/96")


class Unreachable(Exception):
    """The name has no address, or none came in time."""


class Private(Exception):
    """All addresses of the name are private, or not for one host at all."""


def addresses(host: str, port: int, *, seconds: float) -> list[str]:
    """The addresses of the host that may be connected to. Raises Unreachable or Private."""
    found = _resolve(host, port, seconds=seconds)
    allowed = [ip for ip in found if may_reach(host, port, ip)]
    if not allowed:
        raise Private("it resolves to private addresses only")
    return [str(ip) for ip in allowed]


def may_reach(host: str, port: int, ip: Ip) -> bool:
    """Whether that address of that host is public, or excepted."""
    return is_public(ip) or excepted(host, port) or any(ip in network for network in _networks())


def excepted(host: str, port: int) -> bool:
    """Whether the host is named in PRIVATE_HOSTS_ALLOWED, as `host`, `host:port` or within a network."""
    bare = host.strip("[]").lower()
    if {bare, f"{bare}:{port}", f"[{bare}]:{port}"} & {entry.lower() for entry in settings.PRIVATE_HOSTS_ALLOWED}:
        return True
    try:
        ip = ipaddress.ip_address(bare)
    except ValueError:
        return False
    return any(ip in network for network in _networks())


def is_public(ip: Ip) -> bool:
    """Whether the address belongs to one host of the public internet, also when it wraps an IPv4 address."""
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and (ip in NAT64 or ip in V4_COMPATIBLE):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _networks() -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    found = []
    for entry in settings.PRIVATE_HOSTS_ALLOWED:
        try:
            found.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            continue  # a name
    return found


def _resolve(host: str, port: int, *, seconds: float) -> list[Ip]:
    """All addresses of a name, in the resolver's order. In a thread: getaddrinfo knows no time-out."""
    bare = host.strip("[]")
    try:
        return [ipaddress.ip_address(bare)]
    except ValueError:
        pass
    answers: list[list[Ip]] = []

    def ask() -> None:
        try:
            infos = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM)
            answers.append([ipaddress.ip_address(str(info[4][0])) for info in infos])
        except (OSError, UnicodeError, ValueError):
            answers.append([])

    thread = threading.Thread(target=ask, daemon=True, name="resolve")
    thread.start()
    thread.join(timeout=max(0.0, seconds))
    if not answers:
        raise Unreachable("its name was not resolved in time")
    if not answers[0]:
        raise Unreachable("its name has no address")
    return answers[0]
