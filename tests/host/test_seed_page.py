"""The page that this program grew from, walked: its commands with ``reconciler`` in place of ``podman``, its listings
column by column, in its order. The images have its names and are made here; containers are this machine's own."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.conftest import IMAGE
from tests.host.imagelab import Entry, with_more
from tests.host.instance import Instance, fresh_instance, until

pytestmark = pytest.mark.host

HELP = """
--cgroup-parent --hostname --infra --infra-command --infra-image -l --label --label-file -n --name --pod-id-file -p
--publish --share
""".split()  # noqa: SIM905 (the page's order)

POD_PS = ["POD ID", "NAME", "STATUS", "CREATED", "# OF CONTAINERS", "INFRA ID"]
PS = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES", "POD"]
AGE = re.compile(r"(Less than a|About a|\d+) (second|minute)s? ago")


@pytest.fixture
def servera(loaded_images: Path, archive: Path, tmp_path: Path) -> Iterator[Instance]:
    """The page's machine: the images that it pulls are there."""
    with fresh_instance(loaded_images) as made:
        made.ok("image", "tag", IMAGE, "docker.io/library/alpine:latest")
        made.ok("image", "load", "-i", _nginx(archive, tmp_path / "nginx.tar"))
        try:
            yield made
        finally:
            made.run("pod", "rm", "-f", "-t", "0", "-a")


def _nginx(archive: Path, path: Path) -> Path:
    """An image that calls busybox's server nginx, and answers with a word."""
    server = Entry("bin/nginx", b"#!/bin/sh\nexec httpd -f -p 80 -h /www\n", mode=0o755)
    page = Entry("www/index.html", b"hello\n")
    name, command = "quay.io/libpod/alpine_nginx:latest", ["nginx", "-g", "daemon off;"]
    return with_more(archive, path, server, page, name=name, command=command)


def table(text: str, columns: list[str]) -> list[dict[str, str]]:
    """The rows of a listing whose heading must be these columns, in this order."""
    heading, *lines = text.splitlines()
    starts, at = [], 0
    for column in columns:
        at = heading.index(column, at)
        starts.append(at)
        at += len(column)
    assert heading.split() == " ".join(columns).split()
    ends = [*starts[1:], None]
    return [{c: line[a:b].strip() for c, a, b in zip(columns, starts, ends, strict=True)} for line in lines]


def test_the_page(servera: Instance):
    help_text = servera.ok("pod", "create", "--help-all")
    assert all(re.search(rf"(^|\s){re.escape(flag)}\b", help_text) for flag in HELP)

    pod = servera.ok("pod", "create").strip()
    assert re.fullmatch(r"[0-9a-f]{64}", pod)
    (row,) = table(servera.ok("pod", "ps"), POD_PS)
    name, infra = row["NAME"], row["INFRA ID"]
    assert re.fullmatch(r"[a-z]+_[a-z]+", name)
    assert (row["POD ID"], row["STATUS"], row["# OF CONTAINERS"]) == (pod[:12], "Created", "1")
    assert AGE.fullmatch(row["CREATED"])
    assert re.fullmatch(r"[0-9a-f]{12}", infra)

    (row,) = table(servera.ok("ps", "-a", "--pod"), PS)
    assert row["CONTAINER ID"] == infra
    assert "pause" in row["IMAGE"]
    assert (row["STATUS"], row["NAMES"], row["POD"]) == ("Created", f"{pod[:12]}-infra", pod[:12])

    top = servera.ok("run", "-dt", "--pod", name, "docker.io/alpine", "top").splitlines()[-1]
    assert re.fullmatch(r"[0-9a-f]{64}", top)
    (row,) = table(servera.ok("pod", "ps"), POD_PS)
    assert (row["STATUS"], row["# OF CONTAINERS"], row["INFRA ID"]) == ("Running", "2", infra)

    first, second = table(servera.ok("ps", "-a", "--pod"), PS)
    assert (first["CONTAINER ID"], first["IMAGE"], first["COMMAND"]) == (
        top[:12],
        "docker.io/library/alpine:latest",
        "top",
    )
    assert first["STATUS"].startswith("Up ")
    assert AGE.fullmatch(first["STATUS"].removeprefix("Up "))
    assert (first["PORTS"], first["POD"]) == ("", pod[:12])
    assert (second["CONTAINER ID"], second["NAMES"]) == (infra, f"{pod[:12]}-infra")
    assert second["STATUS"].startswith("Up ")

    nginx = servera.ok(
        "run", "-dt", "--pod", "new:nginx", "-p", "32597:80", "quay.io/libpod/alpine_nginx:latest"
    ).splitlines()[-1]
    newer, older = table(servera.ok("pod", "ps"), POD_PS)
    assert (newer["NAME"], newer["STATUS"], newer["# OF CONTAINERS"]) == ("nginx", "Running", "2")
    assert (older["NAME"], older["POD ID"]) == (name, pod[:12])

    rows = table(servera.ok("ps", "--all", "--pod"), PS)
    assert [row["CONTAINER ID"] for row in rows] == [nginx[:12], newer["INFRA ID"], top[:12], infra]
    assert (rows[0]["IMAGE"], rows[0]["COMMAND"]) == ("quay.io/libpod/alpine_nginx:latest", "nginx -g daemon o...")
    assert [row["PORTS"] for row in rows] == ["0.0.0.0:32597->80/tcp", "0.0.0.0:32597->80/tcp", "", ""]
    assert [row["POD"] for row in rows] == [newer["POD ID"]] * 2 + [pod[:12]] * 2
    assert rows[1]["NAMES"] == f"{newer['POD ID']}-infra"
    until(lambda: _fetched("http://127.0.0.1:32597/") == b"hello\n", "the published port answers")


def _fetched(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bytes(answer.read())
    except OSError:
        return b""
