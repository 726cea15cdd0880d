"""What a virtual machine takes over of this one: the host's services by another address, nothing of its disk."""

from __future__ import annotations

import pytest

from tests.vm.host import Host, guest_address, words_elsewhere
from tests.vm.root import settings_files, sources


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("http://127.0.0.1:3142/debian", "http://10.0.2.2:3142/debian"),
        ("http://localhost/debian/", "http://10.0.2.2/debian/"),
        ("http://user:word@[::1]:80", "http://user:word@10.0.2.2:80"),
        ("http://mirror.example/debian", "http://mirror.example/debian"),
        ("http://192.0.2.7:8080", "http://192.0.2.7:8080"),
        ("", ""),
        ("DIRECT", "DIRECT"),
    ],
)
def test_a_loopback_address_is_the_gateway_in_the_guest(here: str, there: str) -> None:
    assert guest_address(here) == there


def test_what_lies_on_this_disk_is_left_out() -> None:
    assert words_elsewhere("https://a.example/simple file:///opt/x /opt/wheels") == "https://a.example/simple"


def test_the_guest_has_the_mirror_the_proxy_and_the_certificates_of_this_machine() -> None:
    host = Host(
        "http://127.0.0.1:9999/debian",
        "",
        {"Acquire::http::Proxy": "http://127.0.0.1:3128/"},
        {"index-url": "http://127.0.0.1:3141/simple"},
        {"https_proxy": "http://localhost:3128"},
        {"host-0.crt": "PEM"},
    )
    assert sources(host, "13")[0] == "deb http://127.0.0.1:9999/debian trixie main", "as mmdebstrap reaches it, here"
    files = settings_files(host.seen_from_guest(), "13")
    assert files["etc/apt/sources.list"].startswith("deb http://10.0.2.2:9999/debian trixie main\n")
    assert files["etc/apt/apt.conf.d/90host"] == 'Acquire::http::Proxy "http://10.0.2.2:3128/";\n'
    assert "index-url = http://10.0.2.2:3141/simple\n" in files["etc/pip.conf"]
    assert files["etc/environment"] == "https_proxy=http://10.0.2.2:3128\n"
    assert files["usr/local/share/ca-certificates/host-0.crt"] == "PEM"
    assert all("127.0.0.1" not in text for text in files.values())


def test_without_a_mirror_of_its_own_debians_is_taken() -> None:
    host = Host("", "", {}, {}, {}, {})
    assert sources(host, "12") == []
    assert "etc/apt/sources.list" not in settings_files(host, "12")
