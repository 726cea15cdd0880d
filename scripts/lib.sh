# Shared by the scripts beside it: the checkout's place, root, Debian packages, the virtual environment.
# What is missing is decided each time from dpkg's and pip's own records, never from a stamp.
# shellcheck shell=bash
set -euo pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
umask 022
CALLED_FROM=$PWD
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
VENV=$PWD/.venv

# The image that the examples use (scripts/example-image makes it).
EXAMPLE_IMAGE=localhost/reconciler/busybox:1

# What running pods needs: two OCI runtimes, image transport, published ports, the pause process, pods' names, seccomp,
# and a busybox for the example image.
PACKAGES=(crun runc skopeo nftables catatonit aardvark-dns busybox-static libseccomp2
    golang-github-containers-common ca-certificates zstd xz-utils bzip2 python3 python3-venv)
# What tests and benchmarks compare with.
TEST_PACKAGES=(apparmor openssl iproute2 podman netavark iptables conmon buildah docker-registry dbus-daemon python3-dbus python3-gi rsync e2fsprogs)
# Firewalls that tests run in namespaces of their own, from .cache: installing one would switch it on where systemd runs.
UNPACKED_PACKAGES=(ufw firewalld python3-firewall python3-nftables)

say() { printf '%s\n' "== $*" >&2; }
die() { printf '%s\n' "$(basename -- "$0"): $*" >&2; exit 1; }

# Run this script again as root where it is not: become_root "$@"
become_root() {
    [[ $EUID -eq 0 ]] && return
    command -v sudo >/dev/null || die "this needs root, and there is no sudo: run it as root"
    exec sudo --preserve-env=RECONCILER_ROOT,NO_COLOR -- "$PWD/scripts/$(basename -- "$0")" "$@"
}

# Print those of the packages that dpkg does not call installed.
missing_packages() {
    comm -23 <(printf '%s\n' "$@" | sort -u) \
        <(dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' | sort -u)
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    say "installing Debian packages: ${missing[*]}"
    apt_install "${missing[@]}" && return
    # The package lists may be missing (a fresh image) or out of date: fetch them, and try once more.
    apt_run update || die "cannot fetch the Debian package lists (see above)"
    apt_install "$@" || die "cannot install ${missing[*]} (see above)"
}

# Put the files of Debian packages below .cache/unpacked, without installing anything.
unpack_packages() {
    local package missing=()
    for package; do [[ -d .cache/unpacked/$package ]] || missing+=("$package"); done
    ((${#missing[@]})) || return 0
    say "unpacking Debian packages: ${missing[*]}"
    mkdir -p .cache/unpacked
    for package in "${missing[@]}"; do
        unpack_package "$package" || { apt_run update && unpack_package "$package"; } ||
            die "cannot fetch the Debian package $package (see above)"
    done
}

# Beside its place first, so that one cut short is not taken for a whole one.
unpack_package() {
    local beside status=0
    beside=$(mktemp -d .cache/unpacked/new.XXXXXX)
    (cd "$beside" && apt_run download "$1" && dpkg-deb --extract ./*.deb files) || status=$?
    ((status)) || mv -T -- "$beside/files" ".cache/unpacked/$1" 2>/dev/null || [[ -d .cache/unpacked/$1 ]] || status=1
    rm -rf -- "$beside"
    return "$status"
}

apt_install() {
    # Asking first is cheap and quiet: a package that apt does not know at all needs new lists, not an attempt. Counted, as
    # the exit code is good where others' dependencies name such a package.
    local known
    known=$(apt-cache show --no-all-versions "$@" 2>/dev/null | grep --count '^Package: ') || true
    ((known >= $#)) && apt_run install --yes --no-install-recommends "$@"
}

# Quiet when all is well; all of apt's words when not.
apt_run() {
    local output status=0
    output=$(mktemp)
    apt-get -o DPkg::Lock::Timeout=300 "$@" >"$output" 2>&1 </dev/null || status=$?
    ((status == 0)) || cat -- "$output" >&2
    rm -f -- "$output"
    return "$status"
}

# Keep the wheels of requirements.lock in .venv/wheels, for tests that install without a network.
keep_wheels() {
    local place=$VENV/wheels
    ! cmp --quiet requirements.lock "$place/requirements.lock" || return 0
    "$VENV/bin/python3" -m pip download --quiet --require-hashes --only-binary :all: --dest "$place" --requirement requirements.lock ||
        die "cannot fetch the packages of requirements.lock (see above)"
    cp -- requirements.lock "$place"
}

# Make .venv hold exactly what the lock file says, and the reconciler of this checkout: install_venv LOCK
install_venv() {
    local lock=$1 why
    if [[ -x $VENV/bin/python3 ]] && why=$("$VENV/bin/python3" -I scripts/installed.py "$lock" 2>&1); then
        return
    fi
    [[ ! -L $VENV ]] || die ".venv is a link to an environment that is not this checkout's (${why:-it is not there}): remove the link"
    say "installing into .venv (${why:-there is none yet})"
    # --clear where the interpreter is gone or the environment was moved here: its scripts point elsewhere.
    if ! "$VENV/bin/python3" -I -c '' 2>/dev/null || ! grep -qsxF "#!$VENV/bin/python3" "$VENV/bin/pip"; then
        /usr/bin/python3 -m venv --clear "$VENV"
    fi
    "$VENV/bin/python3" -m pip install --quiet --require-hashes --requirement "$lock" ||
        die "cannot install the packages of $lock (see above)"
    "$VENV/bin/python3" -m pip install --quiet --no-build-isolation --no-deps --editable .
    why=$("$VENV/bin/python3" -I scripts/installed.py "$lock" 2>&1) || die "the installation is not complete: $why"
}
