"""`kube play` and `kube down` as podman's users know them, on real containers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.key import HAND, Key
from reconciler.model.spec import PodSpec
from reconciler.sources.hand import HandSource
from tests.host import imagelab as lab
from tests.host.instance import Instance, until
from tests.host.manifests import Manifest, container, pod, put
from tests.host.test_images_secrets import PASSWORD, secret
from tests.slowness import seconds

pytestmark = pytest.mark.host


def web(image: str, name: str = "web", **fields: object) -> Manifest:
    return pod(name, container("app", image, **fields), container("side", image))


def play(instance: Instance, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    done = instance.run("kube", "play", *arguments, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def ids(instance: Instance, name: str) -> tuple[str, list[str]]:
    have = instance.engine.observe(Key("default", name), None)
    assert have.sandbox is not None
    return have.sandbox.id, [instance.containers(name)[member].id for member in ("app", "side")]


def word(instance: Instance, name: str) -> bool:
    return HandSource(instance.engine.layout.hand).asked_for(Key("default", name))


def test_play_again_change_and_down(instance: Instance, image: str, folder: Path) -> None:
    file = put(folder / "web.yaml", web(image))
    first = play(instance, file)
    sandbox, members = ids(instance, "web")
    assert first.stdout == "\n".join(["Pod:", sandbox, "Containers:", *members, "", ""])
    running = instance.running("web")
    assert set(running) == {"infra", "app", "side"}
    assert instance.engine.observe(Key("default", "web"), None).sandbox.owner == HAND

    again = play(instance, "-", input=file.read_text())
    assert again.stdout == first.stdout
    assert again.stderr == "pod default/web is as the manifest says: nothing to do\n"
    assert instance.running("web") == running

    put(file, web(image, env=[{"name": "NAME", "value": "another"}]))
    changed = play(instance, file)
    assert "container app" in changed.stderr
    after = instance.running("web")
    assert (after["infra"], after["side"]) == (running["infra"], running["side"])
    assert after["app"] != running["app"]
    until(lambda: instance.ok("logs", "web/app") == "another is up\n", "the edit counts")

    done = instance.run("kube", "down", file)
    assert (done.returncode, done.stdout) == (0, f"Pods stopped:\n{sandbox}\nPods removed:\n{sandbox}\n")
    assert instance.engine.keys() == ()
    assert not word(instance, "web")
    assert instance.ok("kube", "down", file) == "Pods stopped:\nPods removed:\n"


def test_several_pods_of_a_file_are_made_at_the_same_time(instance: Instance, image: str, folder: Path) -> None:
    names = [f"p{number}" for number in range(8)]
    file = put(folder / "many.yaml", *(web(image, name) for name in names))
    done = play(instance, "-q", file)
    assert done.stdout.count("Pod:\n") == len(names)
    assert all(set(instance.running(name)) == {"infra", "app", "side"} for name in names)
    addresses = {instance.engine.observe(Key("default", name), None).sandbox.ip for name in names}
    assert len(addresses) == len(names)
    instance.ok("kube", "down", file)
    assert instance.engine.keys() == ()


def test_a_live_controller_looks_after_what_was_played_and_leaves_it_alone_otherwise(
    instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    put(folder / "managed.yaml", web(image, "managed"))
    instance.watch(folder)
    until(lambda: set(instance.running("managed")) == {"infra", "app", "side"}, "the folder's pod runs")
    file = put(tmp_path / "web.yaml", web(image))
    play(instance, file)
    before = instance.running("web")
    os.kill(before["app"].pid, signal.SIGKILL)
    after = until(lambda: (r := instance.running("web")).get("app") not in (None, before["app"]) and r, "app again")
    assert (after["infra"], after["side"]) == (before["infra"], before["side"])

    clash = put(tmp_path / "clash.yaml", web(image, "managed"), web(image, "other"))
    refused = instance.run("kube", "play", clash)
    assert refused.returncode == 125
    assert f'cannot play pod "managed": it belongs to {folder}' in refused.stderr
    assert set(instance.running("other")) == {"infra", "app", "side"}  # one that is refused holds up no other
    assert instance.run("kube", "down", clash).returncode == 125
    assert instance.running("other") == {}
    assert set(instance.running("managed")) == {"infra", "app", "side"}

    instance.ok("kube", "down", file)
    assert instance.running("web") == {}
    assert not word(instance, "web")


def test_what_was_played_is_there_again_after_the_controllers_next_start(
    instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    play(instance, put(tmp_path / "web.yaml", web(image)))
    app = instance.running("web")["app"]
    os.kill(app.pid, signal.SIGKILL)
    instance.watch(folder)
    until(lambda: instance.running("web").get("app") not in (None, app), "the controller takes it up")


def test_what_cannot_be_is_told_and_down_clears_it_away(instance: Instance, image: str, tmp_path: Path) -> None:
    bad = pod("bad", container("app", "localhost/nobody:1", imagePullPolicy="Never"))
    file = put(tmp_path / "two.yaml", bad, web(image))
    done = instance.run("kube", "play", file)
    assert done.returncode == 125
    assert "pod default/bad: container app: " in done.stderr
    assert "localhost/nobody:1" in done.stderr
    assert set(instance.running("web")) == {"infra", "app", "side"}
    instance.ok("kube", "down", file)
    assert instance.engine.keys() == ()
    assert not word(instance, "bad")


@pytest.mark.parametrize("end", ["by themselves", "by TERM"])
def test_wait_takes_the_pods_down_when_they_have_ended(
    end: str, instance: Instance, image: str, tmp_path: Path
) -> None:
    short = {"command": ["sh", "-c", 'trap "exit 0" TERM; read line < /gate/fifo & wait']}
    gate = tmp_path / "gate"
    gate.mkdir()
    os.mkfifo(gate / "fifo")
    volume = {"volumes": [{"name": "gate", "hostPath": {"path": str(gate)}}], "restartPolicy": "Never"}
    app = container("app", image, **short, volumeMounts=[{"name": "gate", "mountPath": "/gate"}])
    file = put(tmp_path / "job.yaml", pod("job", app, **volume))
    command = subprocess.Popen(
        instance.command("kube", "play", "--wait", file), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with command:
        until(lambda: "app" in instance.running("job"), "the pod runs")
        sandbox = instance.engine.observe(Key("default", "job"), None).sandbox.id
        if end == "by TERM":
            command.send_signal(signal.SIGTERM)
        else:
            (gate / "fifo").write_text("go\n")
        out, err = command.communicate(timeout=seconds(60))
    assert command.returncode == 0, err
    assert out.startswith(f"Pod:\n{sandbox}\nContainer:\n")
    assert out.endswith(f"Pods stopped:\n{sandbox}\nPods removed:\n{sandbox}\n")
    assert instance.engine.keys() == ()


def test_config_maps_of_other_files(instance: Instance, image: str, folder: Path) -> None:
    app = container("app", image, command=["sh", "-c", "echo $GREETING; exec sleep 1000"])
    app["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    file, settings = put(folder / "web.yaml", pod("web", app)), folder / "settings.yaml"
    put(
        settings,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"GREETING": "hi"}},
    )
    play(instance, "--configmap", settings, file)
    until(lambda: instance.ok("logs", "web/app") == "hi\n", "it has the variable")
    for wrong, told in ((f"{settings},{settings}", "has it, too"), (file, "it has Pod")):
        done = instance.run("kube", "play", "--configmap", wrong, file)
        assert done.returncode == 125
        assert told in done.stderr
    instance.ok("kube", "down", file)


def test_ctrl_c_ends_it_while_a_registry_does_not_answer(instance: Instance, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        image = f"127.0.0.1:{deaf.getsockname()[1]}/nobody:1"
        file = put(tmp_path / "web.yaml", web(image), web(image, "other"))
        command = subprocess.Popen(instance.command("kube", "play", file), stderr=subprocess.PIPE, text=True)
        with command:
            assert command.stderr is not None
            assert any("pulling" in line for line in command.stderr)
            command.send_signal(signal.SIGINT)
            assert command.wait(seconds(60)) == 130
        instance.ok("kube", "down", file)
    assert not word(instance, "web")
    instance.ok("image", "prune", "-f")  # what the pull had begun


def test_options_beside_the_manifest(instance: Instance, image: str, tmp_path: Path) -> None:
    instance.ok("network", "create", "blue")
    file = put(tmp_path / "web.yaml", web(image))
    options = ("--network", "blue", "--publish", "127.0.0.1:18080:80", "--annotation", "example.org/a=b")
    play(instance, *options, file)
    applied = instance.engine.observe(Key("default", "web"), None).applied
    assert applied is not None
    assert applied.sandbox.network == "blue"
    assert [str(port) for port in applied.sandbox.ports] == ["127.0.0.1:18080/tcp"]
    assert applied.annotations == (("example.org/a", "b"),)
    running = instance.running("web")
    assert "nothing to do" in play(instance, *options, file).stderr
    assert instance.running("web") == running
    assert "cannot use network red" in instance.run("kube", "play", "--network", "red", file).stderr
    instance.ok("kube", "down", file)
    instance.ok("network", "rm", "blue")


def test_addresses_and_files_beside_the_manifest(instance: Instance, image: str, tmp_path: Path) -> None:
    instance.ok("network", "create", "--subnet", "10.77.5.0/24", "blue")
    file = put(tmp_path / "web.yaml", web(image))
    mac = "92:d0:c6:0a:29:33"
    play(instance, "--network", "blue", "--ip", "10.77.5.9", "--mac-address", mac, "--no-hosts", file)
    shown = instance.ok("exec", "web/app", "--", "ip", "addr", "show", "eth0")
    assert "inet 10.77.5.9/24" in shown
    assert mac in shown
    assert "10.77.5.9" not in instance.run("exec", "web/app", "--", "cat", "/etc/hosts").stdout
    play(instance, "--network", "none", put(tmp_path / "alone.yaml", web(image, "alone")))
    assert "eth0" not in instance.ok("exec", "alone/app", "--", "ip", "link")
    instance.ok("kube", "down", file)
    instance.ok("kube", "down", tmp_path / "alone.yaml")
    instance.ok("network", "rm", "blue")


# --- generate --------------------------------------------------------------------------------------------------------


def applied(instance: Instance, name: str) -> PodSpec:
    found = instance.engine.observe(Key("default", name), None).applied
    assert found is not None
    return found


def test_a_folders_pod_is_written_and_played_as_an_equal_one(instance: Instance, image: str, folder: Path) -> None:
    manifest = web(image, ports=[{"containerPort": 80, "hostPort": 18080}])
    manifest["metadata"]["labels"] = {"tier": "y"}
    manifest["spec"]["volumes"] = [{"name": "scratch", "emptyDir": {}}]
    put(folder / "web.yaml", manifest)
    instance.ok("apply", "--wait", folder)
    meant = applied(instance, "web")
    written = folder / "written"
    assert instance.ok("kube", "generate", "-f", written, "web") == ""
    refused = instance.run("kube", "generate", "web", "--filename", written)
    assert (refused.returncode, "it is there already" in refused.stderr) == (125, True)

    instance.ok("down", folder)
    play(instance, written)
    assert applied(instance, "web") == meant
    assert instance.ok("kube", "generate", "default/web") == written.read_text()
    instance.ok("kube", "down", written)


def test_a_container_made_by_hand_is_written_and_played(instance: Instance, image: str, tmp_path: Path) -> None:
    words = ("-d", "--name", "jolly_oak", "-p", "18081:80", "-u", "1000:100", "--ulimit", "nofile=100:100")
    instance.ok("run", *words, "--stop-timeout", 1, "-l", "tier=front", image, "sleep", "1000")
    text = instance.ok("kube", "generate", "-s", "jolly_oak")
    assert "kind: Service\n" in text
    assert "#   container jolly-oak: --ulimit[nofile] 100:100 is left out\n" in text
    file = tmp_path / "oak.yaml"
    file.write_text(text)
    instance.ok("rm", "-f", "jolly_oak")
    play(instance, file)
    spec = applied(instance, "jolly-oak")
    assert spec.labels == (("app", "jolly-oak"), ("tier", "front"))
    assert [str(port) for port in spec.sandbox.ports] == ["18081/tcp"]
    assert instance.ok("exec", "jolly-oak", "id", "-u").strip() == "1000"
    assert "nothing to do" in play(instance, file).stderr
    instance.ok("kube", "down", file)


def test_a_container_among_others_is_no_manifest(instance: Instance, image: str, tmp_path: Path) -> None:
    file = put(tmp_path / "web.yaml", web(image), web(image, "other"))
    play(instance, file)
    refused = instance.run("kube", "generate", "web/app")
    assert refused.returncode == 125
    assert "it is in pod web with others" in refused.stderr
    both = instance.ok("kube", "generate", "web", "other", "web")
    assert both.count("kind: Pod\n") == 2
    assert play(instance, "-", input=both).stderr.count("nothing to do") == 2
    instance.ok("kube", "down", file)


def test_made_and_not_started(instance: Instance, image: str, tmp_path: Path) -> None:
    file = put(tmp_path / "web.yaml", web(image))
    play(instance, "--start=false", file)
    assert instance.running("web") == {}
    before = {name: c.id for name, c in instance.containers("web").items()}
    assert before.keys() == {"app", "side"}
    play(instance, file)
    assert set(instance.running("web")) == {"infra", "app", "side"}
    assert {name: c.id for name, c in instance.containers("web").items()} == before
    instance.ok("kube", "down", file)


# --- Secrets ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[lab.Registry]:
    """A registry with TLS and a password, whose certificate this machine trusts."""
    with lab.registry(tmp_path / "registry", password=PASSWORD) as found:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "registry/certs/ca.crt"))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(lab.auth_file(tmp_path / "none.json", "registry.invalid", "x")))
        yield found


def test_a_secret_of_the_manifest_pulls_and_goes_with_its_pod(
    instance: Instance, guarded: lab.Registry, archive: Path, tmp_path: Path
) -> None:
    image = guarded.push(archive, "team/app:1")
    manifest = web(image)
    manifest["spec"]["imagePullSecrets"] = [{"name": "regcred"}]
    file = tmp_path / "web.yaml"
    file.write_text(f"{json.dumps(manifest)}\n---\n{secret(guarded.address, PASSWORD)}\n")
    play(instance, file)
    assert set(instance.running("web")) == {"infra", "app", "side"}
    kept = Path(HandSource(instance.engine.layout.hand).path_of(Key("default", "web")))
    assert kept.stat().st_mode & 0o777 == 0o600
    assert instance.engine.layout.hand.stat().st_mode & 0o777 == 0o700
    records = [path.read_text() for path in instance.engine.layout.state.glob("*/*/record.json")]
    assert records
    assert not any("auth" in text for text in records)
    instance.ok("kube", "down", file)
    assert not kept.exists()
