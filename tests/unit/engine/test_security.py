"""What this machine lets manifests ask for: users that must not be root, sysctls, profiles."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine import apparmor, security
from reconciler.engine.config import SecurityConfig
from reconciler.engine.context import Context, Settings
from reconciler.engine.images.image import Image
from reconciler.engine.layout import Layout
from reconciler.engine.oci.rlimits import Rlimit, own_hard
from reconciler.model.key import Key
from reconciler.model.spec import ContainerSpec, Device, PodSpec, SandboxSpec, Security
from tests.unit.oci.samples import FACTS

BY_NAME = "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root"
AS_ROOT = "container has runAsNonRoot and image will run as root"


@pytest.mark.parametrize(
    ("wanted", "user", "says"),
    [
        (Security(), "", ""),
        (Security(run_as_non_root=True), "", AS_ROOT),
        (Security(run_as_non_root=True), "0:5", AS_ROOT),
        (Security(run_as_non_root=True), "5:0", ""),
        (Security(run_as_non_root=True), "web:5", BY_NAME),
        (Security(run_as_non_root=True, run_as_user=5), "web", ""),
        (Security(run_as_non_root=True, run_as_user=0), "5", "container's runAsUser breaks non-root policy"),
    ],
)
def test_run_as_non_root_by_the_kubelets_rules(wanted: Security, user: str, says: str) -> None:
    assert security.root_refused(wanted, Image("0", (), (), user=user)) == says


def context(root: Path, text: str = "") -> Context:
    (root / "config.toml").write_text(text)
    return Context(Settings(root), Layout.at(root))


def refused(ctx: Context, *names: str) -> list[str]:
    spec = PodSpec(Key("default", "web"), SandboxSpec(sysctls=tuple((name, "1") for name in names)))
    return [problem.message.split()[3].rstrip(":") for problem in security.pod_problems(ctx, spec)]


def test_twelve_sysctls_are_safe_and_others_need_the_owners_word(tmp_path: Path) -> None:
    assert len(security.SAFE_SYSCTLS) == 12
    asked = (*security.SAFE_SYSCTLS, "net.core.somaxconn", "kernel.msgmax", "net.corex")
    assert refused(context(tmp_path), *asked) == ["net.core.somaxconn", "kernel.msgmax", "net.corex"]
    allowed = context(tmp_path, '[security]\nallowed_unsafe_sysctls = ["net.core.*", "kernel.msgmax"]\n')
    assert refused(allowed, *asked) == ["net.corex"]


def test_a_profile_of_apparmor_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = ContainerSpec("web", "i", security=Security(apparmor="localhost/mine"))
    ctx = context(tmp_path)
    monkeypatch.setattr(apparmor, "ENABLED", tmp_path / "enabled")
    monkeypatch.setattr(apparmor, "LOADED", tmp_path / "profiles")

    def told() -> list[str]:
        return [problem.message for problem in security.problems(ctx, spec)]

    assert told() == ["cannot use AppArmor profile mine: this machine has no AppArmor"]
    (tmp_path / "enabled").write_text("Y\n")
    (tmp_path / "profiles").write_text("other (enforce)\n")
    assert told() == ["cannot use AppArmor profile mine: it is not loaded"]
    (tmp_path / "profiles").write_text("mine (complain)\n")
    assert told() == []


def test_a_default_profile_that_cannot_be_loaded_is_told_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "enabled").write_text("Y\n")
    (tmp_path / "profiles").write_text("")
    (tmp_path / "parser").write_text("#!/bin/sh\necho no rights >&2\nexit 1\n")
    (tmp_path / "parser").chmod(0o755)
    monkeypatch.setattr(apparmor, "ENABLED", tmp_path / "enabled")
    monkeypatch.setattr(apparmor, "LOADED", tmp_path / "profiles")
    monkeypatch.setattr(apparmor, "_parser", lambda: str(tmp_path / "parser"))
    facts = security.settle(FACTS, Layout.at(tmp_path), SecurityConfig())
    assert facts.apparmor is None
    assert "no AppArmor profile: cannot load AppArmor profile reconciler-default: no rights" in facts.clamped


@pytest.mark.skipif(
    not shutil.which("apparmor_parser", path="/usr/sbin:/sbin"), reason="apparmor_parser is not installed"
)
def test_the_default_profile_of_apparmor_compiles() -> None:
    apparmor.load("apparmor_parser", "--skip-kernel-load", "--skip-cache")


def test_a_missing_seccomp_profile_waits_with_the_whole_path(tmp_path: Path) -> None:
    spec = ContainerSpec("web", "i", security=Security(seccomp="localhost/x.json"))
    (problem,) = security.problems(context(tmp_path), spec)
    path = tmp_path / "state" / "seccomp" / "x.json"
    assert problem.message == f"cannot use seccomp profile x.json: {path} does not exist"
    assert (problem.container, problem.transient) == ("web", True)
    (problem,) = security.problems(context(tmp_path, '[security]\nseccomp_profiles = "/else"\n'), spec)
    assert "/else/x.json does not exist" in problem.message


def test_who_makes_a_pod_by_hand_may_set_what_belongs_to_it(tmp_path: Path) -> None:
    spec = PodSpec(Key("default", "box"), SandboxSpec(sysctls=(("net.core.somaxconn", "1024"),)))
    assert len(list(security.pod_problems(context(tmp_path), spec))) == 1
    assert list(security.pod_problems(context(tmp_path), replace(spec, keep=True))) == []


def test_limits_of_a_containers_own_are_cut_to_what_can_be_had_and_that_is_told() -> None:
    facts = replace(FACTS, rlimits=(Rlimit("nofile", 10, 10), Rlimit("nproc", 20, 20)))
    assert security.limited(facts, ContainerSpec("n", "i")) == (facts, ())
    most = own_hard("nofile")
    spec = ContainerSpec("n", "i", ulimits=(("core", "0:0"), ("nofile", f"5:{most + 1}")))
    got, lowered = security.limited(facts, spec)
    assert got.rlimits == (Rlimit("nofile", 5, most), Rlimit("nproc", 20, 20), Rlimit("core", 0, 0))
    assert lowered == (f"nofile is {most}, not {most + 1}: our own hard limit, and CAP_SYS_RESOURCE is missing",)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/dev/null", []),
        ("/nowhere", ["cannot give it the device /nowhere: that does not exist"]),
        ("/etc/passwd", ["cannot give it the device /etc/passwd: that is no device"]),
    ],
)
def test_a_device_must_be_one(tmp_path: Path, path: str, told: list[str]) -> None:
    spec = ContainerSpec("n", "i", devices=(Device("/dev/x", path),))
    assert [problem.message for problem in security.problems(context(tmp_path), spec)] == told
