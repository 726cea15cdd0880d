"""Images: what the engine, the controller and the commands ask of the image store.

``get`` and ``state`` only look, and are cheap enough for every observation; ``ensure`` begins a pull and
returns; ``pull``, ``load`` and ``remove`` do their work before they return, for commands. Any thread may
call anything, and other processes may work on the same store.

imagePullPolicy Always (design, decision 14): before a container is started the registry is asked; when it
has moved the tag, the new image is had, when it is away, the image that is here is used, with a warning.
Images that no registry gave us (loaded, or named localhost/…) are used as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from reconciler.engine.boundary import told
from reconciler.engine.images.archive import images_in, spooled
from reconciler.engine.images.details import details
from reconciler.engine.images.disk import Disk
from reconciler.engine.images.image import Image
from reconciler.engine.images.index import Index, Name, Record
from reconciler.engine.images.keyring import auth_file, fitting
from reconciler.engine.images.ledger import Entry, entries, seen
from reconciler.engine.images.processes import Processes
from reconciler.engine.images.pulls import Errand, Pulls
from reconciler.engine.images.reference import Reference, id_prefix, new_name, parse
from reconciler.engine.images.removal import leftovers, name_meant, places, prune_images, remove_image, sweep
from reconciler.engine.images.save import ArchiveForm, save_images
from reconciler.engine.images.shortnames import short_names
from reconciler.engine.images.stores import DOCKER, PODMAN, Offer, Stores
from reconciler.engine.images.transfer import Access, Fetched, NotOffered, Progress, Skopeo, Source, digest_of, fetch
from reconciler.engine.images.unpack import unpack_layers
from reconciler.model.clock import Clock
from reconciler.model.errors import ImageProblem, NotFound, ReconcilerError
from reconciler.model.events import EventType
from reconciler.model.login import Logins
from reconciler.model.observed import ImageState, ImageStatus
from reconciler.model.spec import PullPolicy

Emit = Callable[[str, EventType, str, str], None]
InUse = Callable[[str], tuple[str, ...]]

KEPT = 86_400.0
"""Seconds for which blobs and layers of an interrupted pull wait for the next one."""
LOOK_AGAIN = 10.0
"""Seconds until an image that only a person can bring is looked for again."""
_PATIENCE, _PATIENCE_WITH_LOCAL = 60.0, 15.0
"""Seconds for the registry's first answer; less where there is an image to fall back on."""


class Images:
    """The images below one directory. ``emit`` takes events (about, type, reason, message); ``in_use`` names the
    containers that use an image id; ``access``: how to speak to registries unless a pull says otherwise."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        emit: Emit | None = None,
        in_use: InUse | None = None,
        access: Access | None = None,
    ) -> None:
        self._disk, self._clock, self._emit, self._in_use = Disk(directory), clock, emit, in_use
        self._access = access or Access()
        self._index, self._processes, self._stores = Index(self._disk), Processes(), Stores()
        self._pulls = Pulls(clock, self._pull_with_events)

    def get(self, reference: str) -> Image | None:
        """The image that is here under a name as people write them, a digest, an id or the beginning of one.

        Raises ImageProblem for what is no reference, or means several images.
        """
        record = self._index.find(reference)
        return record.image(self._disk) if record else None

    def list(self) -> tuple[Image, ...]:
        """All images, the newest first."""
        records = sorted(self._index.records().values(), key=lambda record: (record.created, record.id), reverse=True)
        return tuple(record.image(self._disk) for record in records)

    def inspect(self, reference: str) -> dict[str, Any]:
        """All that is known of an image, under podman's keys. Raises NotFound, ImageProblem."""
        record = self._known(reference, "inspect")
        try:
            return details(record, self._disk)
        except OSError as error:
            raise ImageProblem(f"cannot inspect image {reference}: {error.strerror}") from error

    def state(self, reference: str, policy: PullPolicy, logins: Logins = ()) -> ImageState:
        """What a plan needs to know before it starts a container from ``reference``. Has no effect.

        ``error`` is the cause alone. FAILED with a ``retry_at`` in the past, and MISSING, ask for ``ensure``.
        """
        try:
            record = self._index.find(reference)
            asked_for = record is None or policy is PullPolicy.ALWAYS
            local_only = asked_for and _is_local(reference)
            renewable = policy is PullPolicy.ALWAYS and not local_only and self._renewable(reference, record)
            near = not renewable and self._offer(reference, record) is not None
        except ImageProblem as problem:
            return ImageState(ImageStatus.FAILED, error=problem.message)
        errand = Errand(reference, () if near else logins, near)
        if self._pulls.bringing(errand):
            return ImageState(ImageStatus.PULLING, record.id if record else "")
        last = self._pulls.last(errand)
        if record and not near and not renewable:
            return ImageState(ImageStatus.PRESENT, record.id, told=last.told if last else "")
        if not near and policy is PullPolicy.NEVER:
            return ImageState(ImageStatus.MISSING)
        if not near and local_only:
            return ImageState(ImageStatus.FAILED, error=_not_here(reference), retry_at=self._clock.now() + LOOK_AGAIN)
        if self._pulls.running(errand):
            return ImageState(ImageStatus.PULLING, record.id if record else "")
        cause = last.error.removeprefix(f"cannot pull {reference}: ") if last else ""
        if record and last and last.counts(self._clock.now()) and (cause or not near):
            return ImageState(ImageStatus.PRESENT, record.id, error=cause, told=last.told)
        if last and cause and not record:
            return ImageState(ImageStatus.FAILED, error=cause, retry_at=last.retry_at)
        return ImageState(ImageStatus.OFFERED if near else ImageStatus.MISSING, record.id if record else "")

    def ensure(self, reference: str, policy: PullPolicy, logins: Logins = ()) -> ImageState:
        """Begin to pull when ``state`` asks for it; returns at once. ``subscribe`` tells the end."""
        state = self.state(reference, policy, logins)
        due = state.retry_at is not None and state.retry_at <= self._clock.now()
        near = state.status is ImageStatus.OFFERED
        if not (near or due or state.status is ImageStatus.MISSING) or (policy is PullPolicy.NEVER and not near):
            return state
        self._pulls.begin(Errand(reference, () if near else logins, near), anew=not state.id)
        return ImageState(ImageStatus.PULLING, state.id)

    def subscribe(self, callback: Callable[[str], None]) -> None:
        """Have ``callback`` called with the reference, from a pulling thread, when a pull begun here has ended."""
        self._pulls.subscribe(callback)

    def close(self) -> None:
        """End the pulls under way (what they brought stays for the next try) and refuse new ones."""
        self._processes.stop()
        self._pulls.join(5.0)

    def pull(
        self,
        reference: str,
        *,
        progress: Progress | None = None,
        access: Access | None = None,
        logins: Logins = (),
        platform: str = "",
    ) -> Image:
        """Have the image that the registry has under this name now; waits for it. ``access``: how to speak to it;
        ``logins``: passwords to try before the machine's own; ``platform``: not this machine's, but another one's.

        ``containers-storage:NAME`` and ``docker-daemon:NAME`` mean podman's and docker's, on this host.

        Two processes that want the same reference fetch it once. Of several registries that a short name may mean, the
        first that has the image gives it. Raises ImageProblem (it cannot be had) or TryLater (the registry is away:
        no later one is asked, for it might have another image of this name).
        """
        store, colon, name = reference.partition(":")
        if colon and store in (PODMAN, DOCKER):
            offer = self._stores.find(name, store)
            if offer is None:
                raise ImageProblem(f"cannot pull {reference}: there is no such image")
            return self._take_over(reference, offer, progress or _silent)
        if parse(reference).local:
            offer, found = self._stores.find(reference), self._index.find(reference)
            if offer is not None:
                return self._take_over(reference, offer, progress or _silent)
            if found is None:
                raise ImageProblem(f"cannot pull {reference}: {_not_here(reference)}")
            return found.image(self._disk)
        *first, last = self._ways(reference, access or self._access, logins)
        with told(f"pull {reference}"):
            for wanted, by in first:
                with suppress(NotOffered):
                    return self._pull(reference, wanted, progress or _silent, by, logins, platform)
            return self._pull(reference, last[0], progress or _silent, last[1], logins, platform)

    def renew(self, reference: str, *, progress: Progress | None = None, logins: Logins = ()) -> Image:
        """Have the newest image of this name, from wherever the one that is here came (``apply --pull``); one that was
        loaded stays. Raises as ``pull``, also where there is an older one to go on with."""
        record = self._index.find(reference)
        offer = self._offer(reference, record)
        if offer and (record or parse(reference).local):
            return self._take_over(reference, offer, progress or _silent)
        if record and not self._renewable(reference, record):
            return record.image(self._disk)
        return self.pull(reference, progress=progress, logins=logins)

    def load(self, archive: Path | BinaryIO, *, progress: Progress | None = None) -> tuple[Image, ...]:
        """Take in every image of a docker-archive, an oci-archive or a directory in OCI layout; a stream is read to
        its end first.

        Raises ImageProblem; the images before the bad one stay.
        """
        loaded: list[Image] = []
        tell = progress or _silent
        with told(f"load {archive if isinstance(archive, Path) else 'an image'}"), self._disk.work() as work:
            place = archive if isinstance(archive, Path) else spooled(archive, work)
            for held in images_in(place, work, self._processes):
                skopeo = Skopeo(held.source, self._disk, work, self._processes)
                fetched = fetch(held.source, skopeo.top(), self._disk, skopeo, tell)
                loaded.append(self._commit(fetched, held.names, work, tell).image(self._disk))
        return tuple(loaded)

    def tag(self, reference: str, *names: str) -> tuple[str, ...]:
        """Give an image further names, each taken from whichever image had it; returns them in full.

        A name without a registry is one of this machine, as with podman. Raises NotFound, ImageProblem.
        """
        wanted = tuple(str(new_name(name)) for name in names)
        with self._disk.lock("index"):
            record = self._known(reference, "tag")
            for name in wanted:
                owner = self._index.find(name)
                if owner is None or owner.id != record.id:  # else it keeps what is known of it: that it was pulled
                    record = self._index.add(replace(record, names=(Name(name, False, self._clock.wall()),)))
        return wanted

    def save(self, reference: str, file: Path | BinaryIO, form: ArchiveForm = "docker-archive", *more: str) -> None:
        """Write images as an archive that ``load``, podman and docker take; a ``file`` with a name appears whole or not
        at all. ``more`` images go into a docker-archive only.

        Each bears the name by which it was asked for; asked for by id, none. Raises NotFound, ImageProblem.
        """
        with self._disk.work() as work:
            known = [(self._known(wanted, "save"), wanted) for wanted in (reference, *more)]
            images = tuple((record, name_meant(record, wanted)) for record, wanted in known)
            save_images(images, file, form, self._disk, work, self._processes)

    def prune(
        self, *, everything: bool = False, only: Callable[[Image], bool] | None = None, in_use: InUse | None = None
    ) -> tuple[str, ...]:
        """Remove the images that have no name, or ``everything`` that no container uses; returns their ids.

        ``only`` says of an image whether it may go; ``in_use`` names the containers that use an image id.
        """
        users = self._users(in_use)

        def stays(record: Record) -> bool:
            return bool(users(record.id)) or not (only is None or only(record.image(self._disk)))

        with self._disk.lock("pin"), self._disk.lock("index"):
            ids = prune_images(self._index, stays, everything)
        self.collect()
        return ids

    def ledger(self, held: Collection[str], now: float) -> tuple[Entry, ...]:
        """What garbage collection knows of each image; those that are ``held``, by id, are noted down as used now."""
        return entries(self._disk, self._index, held, now)

    def discard(self, image_id: str, since: float, may_go: Callable[[str], bool]) -> bool:
        """Remove an image that nobody had or named again ``since``; whether it is gone. ``may_go`` is asked while
        nobody can begin to use an image."""
        with self._disk.lock("pin"), self._disk.lock("index"):
            record = self._index.records().get(image_id)
            if record is None or seen(self._disk, image_id) != since or not may_go(image_id):
                return False
            self._index.drop(record)
        self.collect()
        return True

    def remove(self, reference: str, *, in_use: InUse | None = None, force: bool = False) -> tuple[str, ...]:
        """Take a name from an image, and with its last name (or by id) the image; returns what was done, in lines.

        ``in_use`` names the containers that use an image id; such an image stays, ``force`` or not. ``force`` removes
        by id an image with several names. Raises NotFound, ImageProblem.
        """
        users = self._users(in_use)
        with self._disk.lock("pin"), self._disk.lock("index"):
            lines = remove_image(self._index, reference, users, force)
        self.collect()
        return lines

    @contextmanager
    def pinned(self, reference: str) -> Iterator[Image | None]:
        """``get``, and for the length of the block no process removes any image: for making a container's record."""
        with self._disk.lock("pin", shared=True):
            yield self.get(reference)

    def collect(self) -> bool:
        """Delete what belongs to no image: leftovers of killed transfers, blobs and layers of removed images.

        Does nothing, and says so by False, while a transfer is under way in any process.
        """
        return sweep(self._disk, self._index)

    def tidy(self) -> None:
        """``collect``, but what an interrupted pull brought stays for a day: the next one goes on from there."""
        if self._disk.root.is_dir():
            sweep(self._disk, self._index, KEPT)

    def leftovers(self) -> tuple[Path, ...]:
        """What ``tidy`` would delete."""
        return leftovers(self._disk, self._index, KEPT)

    def places(self, image_ids: Collection[str]) -> frozenset[Path]:
        """The directories and files that these images are kept in, without those that are not there."""
        known = self._index.records()
        return places(self._disk, (known[one] for one in image_ids if one in known))

    def overlay_lowers(self, image: Image) -> tuple[Path, tuple[str, ...]]:
        """For ``lowerdir=``: the directory to change to, and the layers' names relative to it, uppermost first."""
        names = tuple(str(layer.relative_to(self._disk.layers)) for layer in reversed(image.layers))
        return self._disk.layers, names

    def users(self, image_id: str) -> tuple[str, ...]:
        """The containers that use an image."""
        return self._users(None)(image_id)

    def _users(self, in_use: InUse | None) -> InUse:
        users = in_use or self._in_use
        if users is None:
            raise TypeError("a removal must be told which containers use an image")
        return users

    def _known(self, reference: str, verb: str) -> Record:
        record = self._index.find(reference)
        if record is None:
            raise NotFound(f"cannot {verb} image {reference}: it is not here")
        return record

    def _renewable(self, reference: str, record: Record | None) -> bool:
        """Whether asking the registry (again) could bring another image: a tag that was had from there, or none is
        here."""
        known = self._index.pulled(reference) or bool(self._index.store(reference))
        return record is None or (not parse(reference).digest and known)

    def _offer(self, reference: str, record: Record | None) -> Offer | None:
        """An image that is not here, or was built again since it was taken over, and that another store has."""
        taken_over = record is not None and any(name.store for name in record.names)
        store = self._index.store(reference) if taken_over else ""
        if record and not store:
            return None
        offer = self._stores.find(reference, store)
        return offer if offer and not (record and offer.id == record.id) else None

    def _take_over(self, reference: str, offer: Offer, tell: Progress) -> Image:
        """Have an image that another program of this host has."""
        source = Source(offer.source, reference, unpacked=offer.store == PODMAN)
        names = (offer.name,) if offer.name else ()
        with self._disk.lock(f"pull.{hashlib.sha256(offer.id.encode()).hexdigest()[:32]}"), self._disk.work() as work:
            known = self._index.find(offer.id)
            if known is not None:
                return self._rename(known, names, store=offer.store).image(self._disk)
            skopeo = Skopeo(source, self._disk, work, self._processes, access=Access(daemon=offer.daemon))
            fetched = fetch(source, skopeo.top(), self._disk, skopeo, tell)
            return self._commit(fetched, names, work, tell, store=offer.store).image(self._disk)

    def _ways(self, reference: str, access: Access, logins: Logins) -> Iterator[tuple[Reference, Access]]:
        """Where an image may be had, and by which password: one that does not open it is no reason to give up."""
        for wanted in short_names().registries(parse(reference)):
            for login in fitting(logins, wanted):
                yield wanted, replace(access, passwords=auth_file(login, wanted))
            yield wanted, access

    def _pull(
        self, reference: str, wanted: Reference, tell: Progress, access: Access, logins: Logins, platform: str
    ) -> Image:
        asked = self._clock.wall()
        with self._disk.lock(f"pull.{hashlib.sha256(str(wanted).encode()).hexdigest()[:32]}"):
            record = self._index.find(str(wanted))
            if record is None or not _pulled_since(record, str(wanted), asked):
                record = self._fetch(reference, wanted, record, tell, access, platform)
        self._pulls.note(Errand(reference, logins), "")
        return record.image(self._disk)

    def _fetch(
        self, reference: str, wanted: Reference, here: Record | None, tell: Progress, access: Access, platform: str
    ) -> Record:
        repository = wanted.repository
        source = Source(
            f"docker://{wanted}", reference, by_digest=lambda d: f"docker://{repository}@{d}", platform=platform
        )
        names = (str(wanted),)  # a digest too: who pulled by digest has a name for it, and it is not dangling
        with self._disk.work() as work:
            patience = _PATIENCE_WITH_LOCAL if here else _PATIENCE
            skopeo = Skopeo(source, self._disk, work, self._processes, patience, access)
            top = skopeo.top()
            known = self._index.find(f"{repository}@{digest_of(top)}")
            if known is not None and not platform:
                return self._rename(known, names)
            fetched = fetch(source, top, self._disk, skopeo, tell)
            return self._commit(fetched, names, work, tell, repository)

    def _rename(self, record: Record, names: tuple[str, ...], store: str = "") -> Record:
        """The registry's (or another store's) name means an image that is here already."""
        with self._disk.lock("index"):
            now = tuple(Name(name, not store, self._clock.wall(), store) for name in names)
            return self._index.add(replace(record, names=now))

    def _commit(
        self,
        fetched: Fetched,
        names: tuple[str, ...],
        work: Path,
        tell: Progress,
        repository: str = "",
        store: str = "",
    ) -> Record:
        """Unpack what is missing, then make the image exist. The caller's transfer lock keeps the layers here."""
        layers, size = unpack_layers(self._disk, fetched.layers, work, self._processes, tell)
        repositories = [repository] if repository else [parse(name).repository for name in names]
        digests = tuple(f"{repo}@{digest}" for repo in repositories for digest in fetched.digests)
        made = tuple(Name(name, bool(repository), self._clock.wall(), store) for name in names)
        with self._disk.lock("index"):
            return self._index.add(_record(replace(fetched, layers=layers), made, digests, size))

    def _pull_with_events(self, errand: Errand) -> int:
        reference = errand.reference
        self._tell(reference, EventType.NORMAL, "Pulling", f'Pulling image "{reference}"')
        try:
            offer = self._offer(reference, self._index.find(reference)) if errand.near else None
            image = self._take_over(reference, offer, _silent) if offer else self.pull(reference, logins=errand.logins)
        except ReconcilerError as problem:
            here = (None if errand.near else self._instead(reference)) or self.get(reference)
            rest = f"; going on with the image that is here, {here.id[:12]}" if here else ""
            self._tell(reference, EventType.WARNING, "Failed", problem.message + rest)
            raise
        self._tell(reference, EventType.NORMAL, "Pulled", f'Successfully pulled image "{reference}": {image.id[:12]}')
        return image.size

    def _instead(self, reference: str) -> Image | None:
        """The image that another store of this host has, where the registry did not give one."""
        with suppress(ReconcilerError):
            offer = self._offer(reference, self._index.find(reference))
            return self._take_over(reference, offer, _silent) if offer else None
        return None

    def _tell(self, reference: str, kind: EventType, reason: str, message: str) -> None:
        if self._emit:
            self._emit(f"image/{reference}", kind, reason, message)


def _record(fetched: Fetched, names: tuple[Name, ...], digests: tuple[str, ...], size: int) -> Record:
    config = fetched.config
    return Record(
        id=fetched.id,
        names=names,
        digests=digests,
        manifest=fetched.manifest,
        layers=fetched.layers,
        size=size,
        created=config.created,
        entrypoint=config.entrypoint,
        cmd=config.cmd,
        env=config.env,
        user=config.user,
        working_dir=config.working_dir,
        stop_signal=config.stop_signal,
    )


def _pulled_since(record: Record, name: str, moment: float) -> bool:
    return any(n.name == name and n.pulled and n.at >= moment for n in record.names)


def _is_local(reference: str) -> bool:
    """Nothing that a registry could deliver. A bare id is a name to registries, but nobody means that by 64 digits."""
    return parse(reference).local or len(id_prefix(reference)) == 64


def _not_here(reference: str) -> str:
    return f"image {reference} is not here; load or build it"


def _silent(_: str) -> None:
    return
