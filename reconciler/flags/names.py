"""Names of pods and containers made by hand: podman's grammar, and names for those that were given none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.model.errors import InvalidInput

if TYPE_CHECKING:
    import random

NAME_MAX = 128
"""Names are parts of paths, which have 255 bytes with all that stands beside them."""

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
NEW = "new:"


def checked(name: str, what: str) -> str:
    """``name``, which ``what`` (a pod, a container) is to have. Raises InvalidInput."""
    if len(name) > NAME_MAX or not _NAME.fullmatch(name):
        why = f"it must be letters, digits, '_', '.' and '-', a letter or digit first ({NAME_MAX} at most)"
        raise InvalidInput(f"cannot name {what} {name!r}: {why}")
    return name


def pod_choice(text: str) -> tuple[str, bool]:
    """``--pod``: the pod's name (or id), and whether it is to be made (``new:NAME``). Raises InvalidInput."""
    if not text.startswith(NEW):
        if not text:
            raise InvalidInput("cannot use --pod '': it names no pod", hint="write --pod NAME or --pod new:NAME")
        return text, False
    return checked(text.removeprefix(NEW), "the new pod"), True


def random_names(rng: random.Random) -> Iterator[str]:
    """Names such as ``mossy_heron``, without end: try until one is free. After some they end in a number."""
    tried = 0
    while True:
        name = f"{rng.choice(ADJECTIVES)}_{rng.choice(NOUNS)}"
        yield name if tried < PLAIN else f"{name}{rng.randrange(10, 10_000)}"
        tried += 1


PLAIN = 3
"""So many names are tried as they are."""

ADJECTIVES = tuple(
    """
    agile amber ample balmy bold brave breezy bright brisk calm candid cheerful chilly clear clever cosy crisp curious
    dapper daring deft dewy dusky eager early earnest easy fair fleet fond frosty gentle glad gleaming golden graceful
    grand hardy hazy hearty honest humble icy jolly keen kind lively loyal lucid lucky lunar merry mild misty modest
    mossy neat nimble noble patient placid plucky polite prompt proud quick quiet rapid ready rosy rustic sandy serene
    sharp shiny silent silver simple sleek snowy snug solar solid spry stable starry steady stout sturdy subtle sunny
    supple swift tender tidy tranquil trusty upbeat vivid warm wild windy wise witty woody zesty
    """.split()  # noqa: SIM905 (a list of one word a line would fill a page)
)

NOUNS = tuple(
    """
    acacia agate alder amethyst aspen badger balsam basalt bay beech beryl birch bison bramble brook bulrush canyon
    cedar cherry chestnut clover cobalt comet coral cove cranberry crane creek crocus cypress dahlia danube delta
    dolphin dove dune elbe elder elm ember falcon feldspar fern fig finch fir fjord flint forest fox gale garnet
    geyser ginkgo glacier glade granite grove gull harbour hare hawthorn hazel heath heather heron hickory holly
    hornbeam ibex iris island ivy jade jasper juniper kestrel lagoon lake larch lark laurel lichen lilac lily linden
    lotus lynx magnolia mallow maple marble marlin marten meadow mesa mica moor moss moth myrtle nettle oak oasis
    olive onyx opal orchid oriole osprey otter owl palm pebble peridot petrel pine plover plum poplar poppy prairie
    pyrite quail quartz quince raven reed reef rhine rhone ridge robin rowan ruby sable saffron sage sapling savanna
    sedge sequoia shale shore slate sorrel sparrow spruce starling stork summit swallow swan sycamore tamarind tansy
    teal thistle thrush tide topaz tulip tundra turquoise valley violet volga walnut willow wren yarrow yew zander
    zinnia zircon
    """.split()  # noqa: SIM905 (as above)
)
