"""From a profile in Docker's format to what applies here, and to a program that the kernel takes."""

from __future__ import annotations

import ctypes
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler.engine.oci import bpf, seccomp
from reconciler.engine.oci.config import BPF_ANNOTATION, compile_usual_filters, infra_config
from reconciler.engine.oci.host import HostCapabilities
from reconciler.model.errors import HostUnfit, InvalidInput
from tests.unit.oci.samples import FACTS, bundle

PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {"names": ["read", "exit_group"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
        {"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_CHROOT"]}},
        {"names": ["arm_thing"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
        {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["future"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "7.0"}},
        {
            "names": ["personality"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 8, "valueTwo": 0, "op": "SCMP_CMP_EQ"}],
        },
    ],
}


@pytest.fixture
def facts(tmp_path: Path) -> HostCapabilities:
    path = tmp_path / "seccomp.json"
    path.write_bytes(msgspec.json.encode(PROFILE))
    return replace(FACTS, seccomp_profile=path, cache=tmp_path / "cache", machine="x86_64")


def rules(resolved: dict[str, Any] | None) -> dict[str, str]:
    assert resolved is not None
    return {name: rule["action"] for rule in resolved["syscalls"] for name in rule["names"]}


def test_rules_apply_by_capability_architecture_and_kernel(facts: HostCapabilities) -> None:
    without = rules(seccomp.resolve(facts, frozenset()))
    assert without["chroot"] == "SCMP_ACT_ERRNO"
    assert {"arm_thing", "future"} & set(without) == set()
    assert "ptrace" in without
    assert rules(seccomp.resolve(facts, frozenset({"CAP_SYS_CHROOT"})))["chroot"] == "SCMP_ACT_ALLOW"
    assert "arm_thing" in rules(seccomp.resolve(replace(facts, machine="aarch64"), frozenset()))


def test_what_the_runtime_gets_is_oci(facts: HostCapabilities) -> None:
    resolved = seccomp.resolve(facts, frozenset())
    assert resolved is not None
    assert resolved["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert resolved["defaultErrnoRet"] == 38
    keys = {key for rule in resolved["syscalls"] for key in rule}
    assert keys == {"names", "action", "errnoRet", "args"}


def test_no_profile_means_no_filter_and_a_broken_one_is_told(facts: HostCapabilities, tmp_path: Path) -> None:
    assert seccomp.resolve(replace(facts, seccomp_profile=None), frozenset()) is None
    (tmp_path / "broken").write_text("{")
    with pytest.raises(HostUnfit, match="cannot read seccomp profile"):
        seccomp.resolve(replace(facts, seccomp_profile=tmp_path / "broken"), frozenset())


def test_crun_gets_a_program_and_runc_the_rules(facts: HostCapabilities) -> None:
    crun, runc = (infra_config(bundle(None), replace(facts, runtime=name)) for name in ("crun", "runc"))
    assert BPF_ANNOTATION in crun["annotations"] and "seccomp" not in crun["linux"]
    assert BPF_ANNOTATION not in runc["annotations"] and runc["linux"]["seccomp"]["syscalls"]


def test_without_the_library_crun_gets_the_rules_too(facts: HostCapabilities, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf, "LIBRARY", "libnothere.so.9")
    bpf._library.cache_clear()
    bpf._program.cache_clear()
    try:
        assert "seccomp" in infra_config(bundle(None), facts)["linux"]
    finally:
        bpf._library.cache_clear()


def test_a_program_is_compiled_once_and_found_again(facts: HostCapabilities, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = seccomp.resolve(facts, frozenset())
    assert profile is not None
    bpf._program.cache_clear()
    first = bpf.program(profile, facts.cache)
    bpf._program.cache_clear()
    monkeypatch.setattr(bpf, "compile_filter", lambda _: pytest.fail("compiled again"))
    assert bpf.program(profile, facts.cache) == first
    assert len(list(facts.cache.iterdir())) == 1


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="syscall numbers of x86_64")
def test_the_kernel_takes_the_program_and_it_filters(facts: HostCapabilities) -> None:
    """In a child: load it, then see a default errno, an allowed argument and a refused one."""
    profile = seccomp.resolve(facts, frozenset())
    assert profile is not None
    allowed = [{"names": ["read", "write", "exit_group", "exit", "personality"][0:4], "action": "SCMP_ACT_ALLOW"}]
    compiled = bpf.compile_filter({**profile, "syscalls": profile["syscalls"] + allowed})
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        _load_and_tell(compiled, theirs)
    os.close(theirs)
    _, status = os.waitpid(child, 0)
    with open(ours) as f:
        assert f.read() == "personality(8) 0 0, personality(9) -1 38, chroot -1 1, getppid -1 38"
    assert os.waitstatus_to_exitcode(status) == 0


class _Fprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _load_and_tell(compiled: bytes, out: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(compiled, len(compiled))
    program = _Fprog(len(compiled) // 8, ctypes.addressof(buffer))
    calls = (("personality(8)", 135, 8), ("personality(9)", 135, 9), ("chroot", 161, 0), ("getppid", 110, 0))
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    libc.prctl(22, 2, ctypes.byref(program))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    told = []
    for name, number, argument in calls:
        ctypes.set_errno(0)
        result = libc.syscall(number, ctypes.c_long(argument))
        told.append(f"{name} {min(result, 0)} {ctypes.get_errno() if result < 0 else 0}")
    os.write(out, ", ".join(told).encode())
    os._exit(0)


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        pytest.param([], [[]], id="no condition"),
        pytest.param([(0, 1), (2, 3)], [[(0, 1), (2, 3)]], id="different arguments hold together"),
        pytest.param([(0, 1), (0, 3)], [[(0, 1)], [(0, 3)]], id="the same argument twice is either"),
    ],
)
def test_conditions(args: list[tuple[int, int]], wanted: list[list[tuple[int, int]]]) -> None:
    given = [{"index": i, "value": v, "op": "SCMP_CMP_EQ"} for i, v in args]
    assert [[(c.arg, c.datum_a) for c in group] for group in bpf._conditions(given)] == wanted


def test_an_action_that_is_not_known_is_not_guessed() -> None:
    with pytest.raises(bpf.CannotCompile, match="SCMP_ACT_NOTIFY"):
        bpf.compile_filter({"defaultAction": "SCMP_ACT_NOTIFY", "syscalls": []})


def test_containers_that_ask_together_compile_once(facts: HostCapabilities, monkeypatch: pytest.MonkeyPatch) -> None:
    together, compiled, compile_filter = threading.Barrier(3), [], bpf.compile_filter

    def slowly(profile: dict[str, Any]) -> bytes:
        compiled.append(profile)
        return compile_filter(profile)

    def ask() -> bytes:
        profile = seccomp.resolve(facts, frozenset({"CAP_CHOWN"}))
        assert profile is not None
        together.wait(60)
        return bpf.program(profile, facts.cache)

    monkeypatch.setattr(bpf, "compile_filter", slowly)
    with ThreadPoolExecutor(3) as pool:
        programs = [future.result(60) for future in [pool.submit(ask) for _ in range(3)]]
    assert len(set(programs)) == len(compiled) == 1


def test_the_usual_filters_are_ready_before_the_first_container(facts: HostCapabilities) -> None:
    compile_usual_filters(facts)
    ready = set(facts.cache.iterdir())
    infra_config(bundle(infra=None), facts)
    assert ready
    assert set(facts.cache.iterdir()) == ready


@pytest.fixture
def own(facts: HostCapabilities, tmp_path: Path) -> HostCapabilities:
    """The machine with a directory for its owner's profiles."""
    root = tmp_path / "seccomp"
    root.mkdir()
    return replace(facts, seccomp_root=root)


def test_unconfined_is_no_filter(facts: HostCapabilities) -> None:
    assert seccomp.resolve(facts, frozenset(), "unconfined") is None


def test_a_profile_of_the_machine_may_be_in_ocis_format_or_dockers(own: HostCapabilities) -> None:
    oci = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5, "args": []}],
    }
    (own.seccomp_root / "oci.json").write_bytes(msgspec.json.encode(oci))
    (own.seccomp_root / "deep").mkdir()
    (own.seccomp_root / "deep" / "docker.json").write_bytes(msgspec.json.encode(PROFILE))
    resolved = seccomp.resolve(own, frozenset(), "localhost/oci.json")
    assert resolved == {**oci, "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5}]}
    assert seccomp.resolve(own, frozenset(), "localhost/deep/docker.json") == seccomp.resolve(own, frozenset())
    with pytest.raises(bpf.CannotCompile, match="flags"):
        bpf.compile_filter(resolved)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(None, "does not exist", id="a missing file"),
        pytest.param("{", "truncated", id="no JSON"),
        pytest.param("[]", "Expected `object`", id="no mapping"),
        pytest.param("{}", "missing required field `defaultAction`", id="no default action"),
        pytest.param('{"defaultAction": "ALLOW"}', "defaultAction: Invalid enum value 'ALLOW'", id="no such action"),
        pytest.param(
            '{"defaultAction": "SCMP_ACT_ALLOW", "syscals": []}', "unknown field `syscals`", id="a misspelt field"
        ),
        pytest.param(
            '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_KILL"}]}',
            "syscalls[0]: a rule needs the names",
            id="a rule for nothing",
        ),
        pytest.param(
            '{"defaultAction": "SCMP_ACT_ALLOW", '
            '"syscalls": [{"name": "mount", "names": ["ptrace"], "action": "SCMP_ACT_KILL"}]}',
            "syscalls[0]: a rule has either name or names",
            id="a rule of which a half would be lost",
        ),
    ],
)
def test_what_is_wrong_with_a_profile_of_the_machine_is_told(own: HostCapabilities, text: str, says: str) -> None:
    if text is not None:
        (own.seccomp_root / "mine.json").write_text(text)
    with pytest.raises(InvalidInput) as refused:
        seccomp.resolve(own, frozenset(), "localhost/mine.json")
    path = own.seccomp_root / "mine.json"
    assert refused.value.message.startswith(f"cannot use seccomp profile mine.json: {path}")
    assert says in refused.value.message


def test_a_profile_named_by_its_path_may_lie_anywhere(own: HostCapabilities, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_bytes(msgspec.json.encode(PROFILE))
    assert seccomp.resolve(own, frozenset(), f"localhost/{tmp_path}/mine.json") == seccomp.resolve(own, frozenset())


def test_a_link_that_leads_out_of_the_profiles_directory_is_refused(own: HostCapabilities, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_bytes(msgspec.json.encode(PROFILE))
    (own.seccomp_root / "mine.json").symlink_to("../secret.json")
    with pytest.raises(InvalidInput, match="leads out of"):
        seccomp.resolve(own, frozenset(), "localhost/mine.json")
