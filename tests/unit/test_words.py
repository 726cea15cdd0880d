"""Words that manifests and options have in common."""

from __future__ import annotations

import pytest

from reconciler.model import words


@pytest.mark.parametrize(
    ("text", "name"),
    [("NET_ADMIN", "CAP_NET_ADMIN"), ("cap_net_admin", "CAP_NET_ADMIN"), ("all", "ALL"), ("NET_ADMINS", ""), ("", "")],
)
def test_capabilities_have_one_spelling(text: str, name: str) -> None:
    assert words.capability(text) == name


def test_this_kernels_capabilities_are_all_known() -> None:
    with open("/proc/sys/kernel/cap_last_cap") as file:
        assert len(words.CAPABILITIES) >= int(file.read()) + 1


@pytest.mark.parametrize(("pod", "host"), [("web", "web"), ("a" * 62 + "-b", "a" * 62), ("a" * 62 + ".-b", "a" * 62)])
def test_a_pods_name_is_cut_to_a_host_name(pod: str, host: str) -> None:
    assert words.default_hostname(pod) == host
