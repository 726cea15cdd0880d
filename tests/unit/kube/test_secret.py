"""Secrets with passwords of registries: what is read of them, and what is said of wrong ones (never a value)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from reconciler.kube.load import Loaded
from reconciler.model.login import Login
from tests.unit.kube.helpers import pod, read, read_yaml, sentences, spec_of

CONFIG = {"auths": {"registry.test:5000/team": {"username": "me", "password": "pa:ss", "email": "x"}, "empty.test": {}}}
PASSWORD = base64.b64encode(b"me:pa:ss").decode()
B64 = base64.b64encode(json.dumps(CONFIG).encode()).decode()


def secret(kind: str | None = "kubernetes.io/dockerconfigjson", /, **fields: Any) -> dict[str, Any]:
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "regcred"}, **fields}
    return made | ({"type": kind} if kind else {})


def logins(loaded: Loaded) -> tuple[Login, ...]:
    assert sentences(loaded) == []
    (found,) = loaded.objects
    assert found.value.id == ("Secret", "default", "regcred")
    assert (loaded.complete, loaded.pods) == (True, ())
    assert found.value.logins is not None
    return found.value.logins


def test_passwords_are_read_from_data_from_plain_text_and_from_the_older_form() -> None:
    expected = (Login("registry.test:5000/team", PASSWORD),)
    assert logins(read(secret(data={".dockerconfigjson": B64}))) == expected
    assert logins(read(secret(stringData={".dockerconfigjson": json.dumps(CONFIG)}, immutable=True))) == expected
    older = {".dockercfg": json.dumps(CONFIG["auths"])}
    assert logins(read(secret("kubernetes.io/dockercfg", stringData=older))) == expected


def test_auth_and_identity_tokens_are_taken_as_they_are() -> None:
    auths = {"a.test": {"auth": PASSWORD, "username": "other"}, "b.test": {"identitytoken": "t"}}
    found = logins(read(secret(stringData={".dockerconfigjson": json.dumps({"auths": auths})})))
    assert found == (Login("a.test", PASSWORD), Login("b.test", "", "t"))


def test_nothing_that_can_be_shown_shows_a_password() -> None:
    loaded = read(secret(data={".dockerconfigjson": B64}))
    assert PASSWORD not in repr(loaded) and "pa:ss" not in repr(loaded) and B64 not in repr(loaded)


def in_json(text: str) -> dict[str, Any]:
    return secret(stringData={".dockerconfigjson": text})


AT = "stringData[.dockerconfigjson]"
WRONG: list[tuple[dict[str, Any], list[str]]] = [
    (secret(dta={}), ["dta: unknown field, did you mean data?"]),
    (secret(data={".dockercfg": "e30="}), [
        "data: missing: a Secret of type kubernetes.io/dockerconfigjson has a .dockerconfigjson"
    ]),
    (secret(data={".dockerconfigjson": "hush hush"}), [
        "data[.dockerconfigjson]: must be base64 (plain text goes below stringData)"
    ]),
    (secret(data={".dockerconfigjson": 17}), ["data[.dockerconfigjson]: must be a string, not a number (quote it)"]),
    (in_json("hush"), [f"{AT}: must hold docker's config file, which is JSON"]),
    (in_json("[]"), [f"{AT}: must hold docker's config file: a mapping with auths"]),
    (in_json('{"auths": {"a.test": "hush"}}'), [f"{AT}: registry 'a.test': must be a mapping, not a string"]),
    (in_json('{"auths": {"a.test": {"auth": "hush"}}}'), [
        f"{AT}: registry 'a.test': auth must be base64 of user:password"
    ]),
    (in_json('{"auths": {"a.test": {"username": 1}}}'), [
        f"{AT}: registry 'a.test': auth, username, password and identitytoken are strings"
    ]),
    ({**secret(data={".dockerconfigjson": B64}), "metadata": {"name": "Reg_cred"}}, [
        "metadata.name: must be lower-case letters, digits, - and ., and begin and end with a letter or digit"
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("document", "said"), WRONG, ids=[said[0][:60] for _, said in WRONG])
def test_a_wrong_secret_is_told_without_its_values_and_says_nothing_of_pods(
    document: dict[str, Any], said: list[str]
) -> None:
    loaded = read(document)
    told = sentences(loaded)
    assert [t.partition(":")[0] for t in told] == [s.partition(":")[0] for s in said]
    assert told == said or "metadata" in said[0]
    assert "hush" not in repr(loaded) and loaded.objects == () and loaded.complete and not loaded.objects_whole


def test_a_secret_may_stand_beside_pods() -> None:
    loaded = read_yaml(f"{json.dumps(pod())}\n---\n{json.dumps(secret(data={'.dockerconfigjson': B64}))}\n")
    assert len(loaded.pods) == len(loaded.objects) == 1
    assert loaded.objects[0].line == 3


def test_a_pod_names_its_pull_secrets_in_order_each_once() -> None:
    names = [{"name": "b"}, {"name": "a"}, {"name": "b"}]
    assert spec_of(pod({"imagePullSecrets": names})).containers[0].pull_secrets == ("b", "a")
    assert sentences(read(pod({"imagePullSecrets": [{"nme": "a"}]}))) == [
        "spec.imagePullSecrets[0].nme: unknown field, did you mean name?"
    ]
