"""The configuration file: defaults without one, one line that names file and setting for whatever is wrong in it."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from reconciler.engine import config
from reconciler.engine.layout import CONFIG, Layout
from reconciler.model.errors import HostUnfit


def test_without_a_file_everything_is_at_its_default(tmp_path: Path) -> None:
    assert config.read(tmp_path / "config.toml") == config.Config()


def test_a_setting_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[network]\nsubnet = "10.9.0.0/24"\n')
    assert config.read(tmp_path / "config.toml").network.subnet == "10.9.0.0/24"


def test_names_are_set_up_as_the_file_says(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[dns]\nenabled = false\ndomain = "pod.lan"\nservers = ["192.0.2.1", "::1"]\n'
    )
    assert config.read(tmp_path / "config.toml").dns == config.DnsConfig(False, "pod.lan", ("192.0.2.1", "::1"))


@pytest.mark.parametrize(
    ("text", "size"),
    {
        "the kubelet's default": ("", 10 << 20),
        "binary": ('max_size = "64Ki"', 65536),
        "decimal": ('max_size = "5M"', 5_000_000),
        "bytes": ('max_size = "1234"', 1234),
        "none": ('max_size = "0"', 0),
    }.values(),
)
def test_logs_are_rotated_at_a_size(tmp_path: Path, text: str, size: int) -> None:
    (tmp_path / "config.toml").write_text(f"[logs]\n{text}\n")
    assert config.read(tmp_path / "config.toml").logs.size == size


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param('[logs]\nmax_size = "-1"\n', "logs: '-1' is not a size", id="a size below nothing"),
        pytest.param('[logs]\nmax_size = "10MB"\n', "logs: '10MB' is not a size", id="a unit that is none"),
        pytest.param("[logs]\nmax_files = 1\n", "logs: max_files is 2 at least", id="no file to rotate to"),
        pytest.param('[network]\nsubnett = "x"\n', "subnett", id="an unknown setting is named"),
        pytest.param('[netwrk]\nsubnet = "x"\n', "netwrk", id="an unknown table is named"),
        pytest.param("[network]\nsubnet = 5\n", "network.subnet: Expected", id="a wrong type is told with its place"),
        pytest.param('[dns]\ndomain = "a b"\n', "dns: 'a b' is no domain", id="a domain that is none"),
        pytest.param('[dns]\nservers = ["ns.lan"]\n', "'ns.lan' does not appear to be", id="a name is no address"),
        pytest.param(
            '[security]\nseccomp_profiles = "x"\n', "security: 'x' must be an absolute path", id="a relative path"
        ),
        pytest.param(
            '[security]\ndefault_ulimits = ["nofiles=5"]\n', "security: 'nofiles=5' is not a limit", id="no such limit"
        ),
        pytest.param(
            '[security]\nallowed_unsafe_sysctls = ["*"]\n', "security: '*' is neither", id="every sysctl at once"
        ),
        pytest.param(
            "[resources]\npod_pids_limit = 0\n", "pod_pids_limit is a number above 0", id="a limit of nothing"
        ),
        pytest.param('[resources]\ncgroup_driver = "x"\n', "cgroup_driver", id="an unknown driver"),
        pytest.param("[network\n", "line 1", id="what is no TOML is told with its line"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(HostUnfit) as refused:
        config.read(tmp_path / "config.toml")
    assert says in refused.value.message
    assert str(tmp_path / "config.toml") in refused.value.message
    assert "\n" not in refused.value.message


def test_the_file_follows_the_root(tmp_path: Path) -> None:
    assert Layout.at(tmp_path).config == tmp_path / "config.toml"
    assert Layout.at(None).config == CONFIG


def test_the_example_that_is_installed_has_every_setting(tmp_path: Path) -> None:
    """Its lines without their # are a file that is taken; without that, nothing is set."""
    example = (Path(__file__).parents[3] / "packaging/config.toml").read_text()
    (tmp_path / "config.toml").write_text(example)
    assert config.read(tmp_path / "config.toml") == config.Config()
    text = re.sub(r"^#(?=\[|[a-z0-9_]+ = )", "", example, flags=re.MULTILINE)
    (tmp_path / "config.toml").write_text(text)
    config.read(tmp_path / "config.toml")
    have = tomllib.loads(text)
    for table in msgspec.structs.fields(config.Config):
        for setting in msgspec.structs.fields(table.type):
            assert setting.name in have[table.name], f"packaging/config.toml lacks {setting.name} in [{table.name}]"
