"""What is asked of an interface without netlink."""

from __future__ import annotations

from ipaddress import ip_interface

from reconciler.engine.network import interface


def test_loopback_is_as_the_kernel_has_it() -> None:
    found = interface.look("lo")
    assert found is not None
    assert found.up
    assert found.mac == "00:00:00:00:00:00"
    assert found.mtu > 1500
    assert ip_interface("127.0.0.1/8") in found.addresses


def test_one_that_is_not_there_is_none() -> None:
    assert interface.look("no-such-link") is None
