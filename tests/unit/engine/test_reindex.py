"""The index made again from the records: by an upgrade that has it say more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine.context import Settings
from reconciler.engine.engine import Engine
from reconciler.engine.layout import Layout
from reconciler.engine.records import RECORD, ContainerRecord, PodRecord, write
from reconciler.engine.store import migrations
from reconciler.engine.store.tx import Store
from reconciler.model.key import ContainerId, Key, Named, NamedPod, PodId, SourceId
from reconciler.model.spec import ContainerSpec, PodSpec

KEY = Key("default", "web")
POD = PodId("a" * 64)
APP = ContainerRecord(ContainerId("c" * 64), POD, KEY, "app", 4, ContainerSpec("app", "i"))
INFRA = replace(APP, id=ContainerId("d" * 64), name="aaaaaaaaaaaa-infra", attempt=0, infra=True)


def test_members_that_an_older_program_made_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout.at(tmp_path)
    layout.make()
    layout.pod(POD).mkdir()
    write(layout.pod(POD), RECORD, PodRecord(POD, "u", KEY, PodSpec(KEY), SourceId("hand"), "10.9.0.2", 1.0))
    with monkeypatch.context() as older:
        older.setattr(migrations, "STEPS", migrations.STEPS[:3])
        old = Store(layout.database)
        with old.transaction() as tx:
            tx.execute("INSERT INTO settings VALUES ('records.filed', 'yes')")
            tx.execute("INSERT INTO pods (id, kind, namespace, name) VALUES (?, 'Pod', 'default', 'web')", (POD,))
            for record in (APP, INFRA):
                layout.container(record.id).mkdir()
                write(layout.container(record.id), RECORD, record)
                tx.execute("INSERT INTO containers VALUES (?, ?)", (record.id, POD))
        old.close()
    engine = Engine.open(Settings(tmp_path))
    infra = Named(KEY, f"{POD[:12]}-infra", 0, INFRA.id)
    assert engine.names() == (NamedPod(KEY, POD, (Named(KEY, "app", 4, APP.id),), infra),)
    assert engine.keys() == (KEY,)
    assert {engine.key_of(record.id) for record in (APP, INFRA)} == {KEY}
