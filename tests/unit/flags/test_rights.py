"""Capabilities, security options, groups, devices and limits."""

from __future__ import annotations

import pytest

from reconciler.engine.oci import rlimits
from reconciler.flags import rights
from reconciler.flags.rights import Rights
from reconciler.model.errors import InvalidInput
from reconciler.model.spec import Device, Security


def security(**wanted: object) -> Security:
    return rights.security(Rights(**wanted), "/home/me")  # type: ignore[arg-type]


def opt(*texts: str) -> Security:
    return security(security_opt=texts)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(security(), Security(), id="nothing"),
        pytest.param(
            security(privileged=True, read_only=True), Security(privileged=True, read_only_root=True), id="both"
        ),
        pytest.param(
            security(cap_add=("net_admin", "CAP_SYS_TIME", "NET_ADMIN")),
            Security(cap_add=("CAP_NET_ADMIN", "CAP_SYS_TIME")),
            id="capabilities have one spelling",
        ),
        pytest.param(security(cap_drop=("all",)), Security(cap_drop=("ALL",)), id="all of them"),
        pytest.param(security(group_add=("7", "5", "7")), Security(groups=(5, 7)), id="groups"),
        pytest.param(opt("no-new-privileges"), Security(allow_privilege_escalation=False), id="no new privileges"),
        pytest.param(opt("no-new-privileges:true"), Security(allow_privilege_escalation=False), id="docker's spelling"),
        pytest.param(opt("no-new-privileges=false"), Security(), id="new privileges"),
        pytest.param(opt("seccomp=unconfined"), Security(seccomp="unconfined"), id="no filter"),
        pytest.param(opt("seccomp=/etc/p.json"), Security(seccomp="localhost//etc/p.json"), id="a profile"),
        pytest.param(opt("seccomp=p.json"), Security(seccomp="localhost//home/me/p.json"), id="from where we are"),
        pytest.param(opt("apparmor=unconfined"), Security(apparmor="unconfined"), id="no AppArmor"),
        pytest.param(opt("apparmor=mine"), Security(apparmor="localhost/mine"), id="an AppArmor profile"),
        pytest.param(opt("label=type:spc_t"), Security(selinux="::spc_t:"), id="a part of SELinux's label"),
        pytest.param(
            opt("label=type:t", "label=level:s0:c1,c2", "label=user:u"), Security(selinux="u::t:s0:c1,c2"), id="more"
        ),
        pytest.param(opt("label=type:t", "label=disable"), Security(), id="no label"),
        pytest.param(opt("unmask=ALL"), Security(unmasked_proc=True), id="all of /proc"),
        pytest.param(opt("systempaths=unconfined"), Security(unmasked_proc=True), id="docker's words for it"),
    ],
)
def test_what_confines_a_container(found: Security, expected: Security) -> None:
    assert found == expected


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"cap_add": ("NET_ADMINS",)}, "cannot use --cap-add 'NET_ADMINS': there is no such capability, did you mean"),
        ({"cap_drop": ("",)}, "cannot use --cap-drop ''"),
        ({"group_add": ("wheel",)}, "groups are added by number here"),
        ({"group_add": ("keep-groups",)}, "containers without root"),
        ({"group_add": ("-1",)}, "cannot use --group-add '-1'"),
        ({"group_add": ("2147483648",)}, "cannot use --group-add"),
        ({"security_opt": ("secomp=unconfined",)}, "there is no such option, did you mean seccomp?"),
        ({"security_opt": ("seccomp",)}, "it names no profile"),
        ({"security_opt": ("apparmor=",)}, "it names no profile"),
        ({"security_opt": ("label=nested",)}, "'nested' is not supported"),
        ({"security_opt": ("label=type:",)}, "it is no part of a label"),
        ({"security_opt": ("label=type:a:b",)}, "must not contain a colon"),
        ({"security_opt": ("mask=/proc/x",)}, "paths are hidden as a whole or not at all"),
        ({"security_opt": ("unmask=/proc/x",)}, "paths are hidden as a whole or not at all"),
        ({"security_opt": ("no-new-privileges=perhaps",)}, "'perhaps' is neither true nor false"),
        ({"security_opt": ("no-new-privileges",), "privileged": True}, "with --privileged"),
    ],
)
def test_what_cannot_be_meant(wanted: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        security(**wanted)
    assert says in refused.value.message


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("/dev/fuse", Device("/dev/fuse", "/dev/fuse")),
        ("/dev/sdc:/dev/xvdc", Device("/dev/xvdc", "/dev/sdc")),
        ("/dev/sdc:/dev/xvdc:mr", Device("/dev/xvdc", "/dev/sdc", "rm")),
        ("/dev/sdc:r", Device("/dev/sdc", "/dev/sdc", "r")),
        ("/dev//sdc", Device("/dev/sdc", "/dev/sdc")),
    ],
)
def test_devices(text: str, device: Device) -> None:
    assert rights.devices([text]) == (device,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fuse", "it is not a device's path"),
        ("vendor.com/gpu=all", "(CDI) are not supported"),
        ("/dev/a:x", "'x' must be made of r, w and m"),
        ("/dev/a:/dev/b:", "'' must be made of r, w and m"),
        ("/dev/a:/dev/b:/dev/c:r", "it has too many parts"),
        ("", "it is not a device's path"),
    ],
)
def test_no_devices(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        rights.devices([text])
    assert says in refused.value.message


def test_two_devices_cannot_be_one() -> None:
    assert rights.devices(["/dev/a", "/dev/a:/dev/a:rwm"]) == (Device("/dev/a", "/dev/a"),)
    with pytest.raises(InvalidInput, match="another device is to be /dev/a"):
        rights.devices(["/dev/a", "/dev/b:/dev/a"])


def test_ulimits_have_one_spelling_that_the_engine_reads() -> None:
    found = rights.ulimits(["nofile=1024", "NPROC=-1", "core=0:unlimited", "nofile=10:20"])
    assert found == (("core", "0:-1"), ("nofile", "10:20"), ("nproc", "-1:-1"))
    assert [str(rlimits.parse(f"{name}={value}")) for name, value in found] == [
        "core=0:unlimited",
        "nofile=10:20",
        "nproc=unlimited:unlimited",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("host", "not taken over from this shell"),
        ("nofile", "it is not a limit"),
        ("nofiles=1", "it is not a limit, did you mean nofile?"),
        ("nofile=x", "'x' is not a number"),
        ("nofile=", "'' is not a number"),
        ("nofile=1:2:3", "'2:3' is not a number"),
        ("nofile=2:1", "the soft limit is more than the hard one"),
        ("nofile=-1:5", "the soft limit is more than the hard one"),
    ],
)
def test_no_ulimits(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        rights.ulimits([text])
    assert says in refused.value.message
