"""The images as garbage collection sees them, and their removal, which nothing that needs one can be overtaken by.

An image is *held* by each container that was made from it or shows it, whoever made it and whether it runs; by each pod
on record whose spec names it; and by what a controller wants of pods, which only that knows. Removal looks at all of
this again while it holds the image store's ``pin`` lock, which is shared by whoever makes a container's record from an
image, and its ``index`` lock, which is had by whoever pulls, loads, tags: so each of them comes before, and is seen, or
finds no image, and says so or pulls it. What was begun and is killed leaves files without an image, never an image
without its files.

When an image was last held is the time stamp of a file of its own, as the kubelet's memory would be lost with the
controller.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress

from reconciler.engine import recorded
from reconciler.engine.context import Context
from reconciler.engine.images.ledger import Entry
from reconciler.engine.store import pods as index
from reconciler.model.errors import ImageProblem
from reconciler.model.stock import Space, Stock, StockedImage

Named = Callable[[], Collection[str]]
"""The references of images that somebody wants beside what is on record."""


def take(ctx: Context, wanted: Named) -> Stock:
    """All images, as they are now; those that are held are noted down as used."""
    held = holders(ctx, wanted())
    entries = ctx.images.ledger(held, ctx.clock.wall())
    images = tuple(_stocked(entry, held=entry.id in held) for entry in entries)
    return Stock(images, space(ctx), ctx.config.images.policy)


def drop(ctx: Context, image: StockedImage, wanted: Named) -> bool:
    """Remove an image, unless somebody has come to hold it, or had to do with it, since it was looked at; whether it
    is gone."""
    held: list[set[str]] = []

    def is_as_it_was(id_: str) -> bool:
        if not held:
            held.append(holders(ctx, wanted()))
        return id_ not in held[0]

    return ctx.images.discard(image.id, image.seen, is_as_it_was)


def space(ctx: Context) -> Space:
    """The disk on which the images are."""
    disk = os.statvfs(ctx.layout.images)
    return Space(disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize)


def holders(ctx: Context, wanted: Collection[str]) -> set[str]:
    """The ids of the images that are held."""
    return set(_made_from(ctx)) | {id_ for name in {*wanted, *_named(ctx)} if (id_ := _meant(ctx, name))}


def _made_from(ctx: Context) -> Iterator[str]:
    for container in index.all_containers(ctx.store):
        record = recorded.read_again(ctx, container)
        if record is not None:
            yield from (record.image_id, *record.shown)


def _named(ctx: Context) -> Iterator[str]:
    for row in index.all_pods(ctx.store):
        record = recorded.record_of_pod(ctx, row.id)
        if record is not None:
            yield from record.spec.images


def _meant(ctx: Context, name: str) -> str:
    with suppress(ImageProblem):
        image = ctx.images.get(name) if name else None
        return image.id if image else ""
    return ""


def _stocked(entry: Entry, *, held: bool) -> StockedImage:
    return StockedImage(entry.id, entry.name, entry.size, entry.seen, entry.used, held, entry.lasting)
