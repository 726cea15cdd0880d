"""Looking into stacked layers: links stay inside, users and commands are found as the runtime would."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.engine.images.users import User, resolve_user
from reconciler.engine.images.view import LayerView, find_command
from reconciler.model.errors import ImageProblem


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    root = tmp_path / "lower"
    (root / "bin").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "bin/busybox").write_text("#!")
    (root / "bin/busybox").chmod(0o755)
    (root / "bin/sh").symlink_to("busybox")
    (root / "bin/data").write_text("")
    (root / "usr").mkdir()
    (root / "usr/bin").symlink_to("/bin")
    (root / "out").symlink_to("../../../../../../etc/hostname")
    (root / "loop").symlink_to("loop")
    (root / "abs").symlink_to("/etc/passwd")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/var/www:\nbroken\nlong:x:1:1\n")
    (root / "etc/group").write_text("root:x:0:\nweb:x:34:\nlogs:x:50:web,root\nextra:x:40:web\n")
    return root


@pytest.fixture
def view(lower: Path, tmp_path: Path) -> LayerView:
    upper = tmp_path / "upper"
    (upper / "bin").mkdir(parents=True)
    (upper / "bin/new").write_text("new")
    (upper / "opt").write_text("a file")
    return LayerView((lower, upper))


def test_directories_are_merged_and_links_followed_inside(view: LayerView, lower: Path, tmp_path: Path) -> None:
    assert view.resolve("/bin/sh") == lower / "bin/busybox"
    assert view.resolve("/usr/bin/sh") == lower / "bin/busybox"
    assert view.resolve("bin/new") == tmp_path / "upper/bin/new"
    assert view.resolve("/bin/sh", follow=False) == lower / "bin/sh"
    assert view.resolve("/usr/bin/../etc/passwd") == lower / "etc/passwd", "the parent of /bin is /"
    assert view.read_text("/abs") == view.read_text("/etc/passwd") != None  # noqa: E711


@pytest.mark.parametrize("path", ["/nothing", "/opt/x", "/bin/sh/x", "/loop", "/out", "/../../../etc/nothing"])
def test_what_the_image_does_not_have_is_none(view: LayerView, path: str) -> None:
    assert view.resolve(path) is None


def test_no_path_leaves_the_image(view: LayerView, lower: Path) -> None:
    (lower / "etc/hostname").write_text("the image's own")
    assert view.read_text("/out") == "the image's own"
    assert view.read_text("/../../../../etc/hostname") == "the image's own"


@pytest.mark.parametrize(
    ("argv0", "path", "cwd", "found"),
    [
        ("sh", "/sbin:/bin", "/", "/bin/sh"),
        ("sh", "/sbin:/usr/bin:/bin", "/", "/usr/bin/sh"),
        ("sh", "/sbin", "/", None),
        ("sh", "/sbin:", "/bin", "/bin/sh"),
        ("/bin/sh", "", "/", "/bin/sh"),
        ("./sh", "/sbin", "/bin", "/bin/./sh"),
        ("./sh", "/bin", "/etc", None),
        ("data", "/bin", "/", None),
        ("/bin", "", "/", None),
        ("", "/bin", "/", None),
    ],
)
def test_commands_are_found_as_the_runtime_finds_them(
    view: LayerView, argv0: str, path: str, cwd: str, found: str | None
) -> None:
    assert find_command(view, argv0, path, cwd) == found


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", User(0, 0, (50,), "/root")),
        ("root", User(0, 0, (50,), "/root")),
        ("web", User(33, 34, (40, 50), "/var/www")),
        ("33", User(33, 34, (40, 50), "/var/www")),
        ("web:logs", User(33, 50, (), "/var/www")),
        ("web:7", User(33, 7, (), "/var/www")),
        ("1000", User(1000, 0, (), "/")),
        ("1000:1000", User(1000, 1000, (), "/")),
        ("web:", User(33, 34, (40, 50), "/var/www")),
    ],
)
def test_users_are_resolved_by_the_images_own_files(view: LayerView, text: str, user: User) -> None:
    assert resolve_user(view, text) == user


@pytest.mark.parametrize(
    ("text", "words"), [("nobody", "no such user"), ("web:none", "no such group"), ("4294967296", "ids go up to")]
)
def test_what_the_image_does_not_know_is_told(view: LayerView, text: str, words: str) -> None:
    with pytest.raises(ImageProblem, match=words):
        resolve_user(view, text)


def test_an_image_without_passwd_knows_numbers(tmp_path: Path) -> None:
    assert resolve_user(LayerView((tmp_path,)), "") == User(home="/")
    assert resolve_user(LayerView((tmp_path,)), "5:6") == User(5, 6, home="/")


def test_a_number_is_never_a_name_of_the_images_making(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("1000:x:0:0::/root:/bin/sh\nodd:x:²:0::/:/bin/sh\n")
    (tmp_path / "etc/group").write_text("7:x:0:\n")
    assert resolve_user(LayerView((tmp_path,)), "1000") == User(1000, 0, (), "/")
    assert resolve_user(LayerView((tmp_path,)), "1000:7") == User(1000, 7, (), "/")
