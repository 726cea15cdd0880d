"""scripts/install and its undoing, on file systems laid over this machine's, which go with the test's namespace.

What needs systemd (the unit, a restart, a reboot) is tested in a virtual machine: scripts/test-vm.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.host

CHECKOUT = Path(__file__).parents[2]
LIB = "/usr/local/lib/reconciler"

OVERLAYS = """
for d in usr/local etc var/lib; do
    mkdir -p "$SCRATCH/$d/upper" "$SCRATCH/$d/work"
    mount -t overlay overlay -o "lowerdir=/$d,upperdir=$SCRATCH/$d/upper,workdir=$SCRATCH/$d/work" "/$d"
done
mount -t tmpfs tmpfs /run
"""

STORY = """
cd "$CHECKOUT"
scripts/install
/usr/local/bin/reconciler --version
echo "SECOND"; scripts/install
echo "MANIFEST"; cp "$CHECKOUT/manifests/hello.yaml" /etc/reconciler/manifests/
mv "$CHECKOUT/reconciler" "$CHECKOUT/elsewhere"   # the checkout may go
reconciler validate /etc/reconciler/manifests/hello.yaml
reconciler validate /nowhere && exit 9
mv "$CHECKOUT/elsewhere" "$CHECKOUT/reconciler"
echo "UPGRADE"; sed -i 's/^__version__ = .*/__version__ = "9.9.9"/' reconciler/__init__.py
echo "# another default" >>packaging/config.toml
scripts/install
reconciler --version
ls -d /usr/local/lib/reconciler/*-*
systemd-analyze verify /usr/local/lib/systemd/system/reconciler.service 2>&1 || [[ ! $(command -v systemd-analyze) ]]
bash -n /usr/local/share/bash-completion/completions/reconciler
echo "LEFT"; touch "$SCRATCH/before-uninstall"
/usr/local/lib/reconciler/uninstall --yes
"""


@pytest.mark.timeout(900)
def test_install_upgrade_and_uninstall(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    words = ["git", "-c", f"safe.directory={CHECKOUT}", "ls-files", "-z"]  # it may be somebody else's than root's
    names = subprocess.run(words, cwd=CHECKOUT, capture_output=True, check=True).stdout
    for name in filter(None, names.decode().split("\0")):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, checkout / name, follow_symlinks=False)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = os.environ | {
        "SCRATCH": str(scratch),
        "CHECKOUT": str(checkout),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(Path(sys.prefix) / "wheels"),
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }
    # overlays do not lie on overlays of a deep kind: a file system of the test's own below them
    setup = f"set -euo pipefail\nmount -t tmpfs tmpfs {scratch}\n{OVERLAYS}\n{STORY}\n"
    leftovers = f"find {scratch}/usr/local/upper {scratch}/etc/upper {scratch}/var/lib/upper ! -type d\n"
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", setup + leftovers],
        env=environment,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, manifest, upgrade, left = _parts(done.stdout, "SECOND", "MANIFEST", "UPGRADE", "LEFT")
    assert first.startswith("reconciler 0."), done.stderr
    assert second == ""
    assert "installed already: nothing to do" in done.stderr
    assert manifest.startswith("1 "), "the example is valid where no checkout is"
    version, *installed = upgrade.split("\n")
    assert version == "reconciler 9.9.9"
    assert len([line for line in installed if line.startswith(f"{LIB}/")]) == 2, "the version before stays"
    assert left.splitlines() == [
        "Everything of this instance is removed.",
        f"{scratch}/etc/upper/reconciler/manifests/hello.yaml",
    ], "manifests stay, and nothing else does"
    (kept,) = [line for line in done.stderr.splitlines() if "left, as they are yours: " in line]
    assert "/etc/reconciler/manifests/hello.yaml" in kept.split(), "beside others where it was installed before"


def _parts(text: str, *marks: str) -> list[str]:
    parts = []
    for mark in marks:
        part, found, text = text.partition(f"{mark}\n")
        assert found, f"{mark} is missing"
        parts.append(part.strip())
    return [*parts, text.strip()]


FAKES = """
mkdir -p /run/systemd/system /usr/local/lib/reconciler/1/bin /usr/local/lib/systemd/system "$SCRATCH/bin"
ln -s 1 /usr/local/lib/reconciler/current
touch /usr/local/lib/systemd/system/reconciler.service
cat >/usr/local/lib/reconciler/1/bin/reconciler <<'END'
#!/bin/sh
echo "reconciler $*"
exit $RESET
END
cat >"$SCRATCH/bin/systemctl" <<'END'
#!/bin/sh
case "$*" in
    *ActiveState*) echo "$STATE" ;;
    *is-active*) [ "$STATE" = active ] ;;
    *) echo "systemctl $*" ;;
esac
END
chmod +x /usr/local/lib/reconciler/1/bin/reconciler "$SCRATCH/bin/systemctl"
PATH=$SCRATCH/bin:$PATH
"$CHECKOUT/packaging/uninstall" --yes
"""


@pytest.mark.parametrize(
    ("state", "reset", "told"),
    [
        pytest.param("activating", 0, ["systemctl stop reconciler", "reconciler system reset --yes"], id="restarting"),
        pytest.param("inactive", 0, ["systemctl stop reconciler", "reconciler system reset --yes"], id="stopped"),
        pytest.param(
            "activating",
            1,
            ["systemctl stop reconciler", "reconciler system reset --yes", "systemctl start reconciler"],
            id="restarting, and pods do not go",
        ),
        pytest.param(
            "failed",
            1,
            ["systemctl stop reconciler", "reconciler system reset --yes"],
            id="given up, and pods do not go",
        ),
    ],
)
def test_whatever_the_service_does_it_is_stopped_before_anything_is_removed(
    state: str, reset: int, told: list[str], tmp_path: Path
) -> None:
    """Its unit may be between two starts (``Restart=always``): then it is not active, and comes back."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = os.environ | {"SCRATCH": str(scratch), "CHECKOUT": str(CHECKOUT), "STATE": state, "RESET": str(reset)}
    setup = f"set -euo pipefail\nmount -t tmpfs tmpfs {scratch}\n{OVERLAYS}\n{FAKES}\n"
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", setup],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode == 0) is (reset == 0), done.stderr
    assert done.stdout.splitlines()[: len(told)] == told
    if reset:
        assert done.stdout.splitlines() == told, "nothing was removed"
