"""A seed's plan: what is edited and killed, step after step, and what should run afterwards. Pure.

Everything is chosen from one random.Random, so a seed is a run. A step is a few acts, one of which kills the
controller; then another controller has to make things right. What a plan cannot know is the moment at which a kill
strikes: that is the machine's share.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from reconciler.engine.effects import ANY
from tests.torture import world as shadow
from tests.torture.world import IMAGES, MEMBERS, OBJECTS, Hand, Member, Pod, Role, Shape, World

NAMES = tuple("abcdefghij")
FEWEST, MOST = 5, 8
"""Pods of the folder. A step removes one at most: never the half of them, which the guard would not believe."""
MOST_HANDS = 3
PORTS = tuple(range(18100, 18110))
ALL = "*"
INFRA = "infra"


class Victim(StrEnum):
    """What is killed beside the controller."""

    MEMBER = "member"
    MONITOR = "monitor"
    BOTH = "member and monitor"
    INFRA = "infra container"
    ZYGOTE = "zygote"
    BEREFT = "zygote, then monitor"
    RUNTIME = "OCI runtime half-way"
    NAMES = "name server"


@dataclass(frozen=True, slots=True)
class Write:
    """``in_place``: the file is emptied and written; otherwise renamed into place."""

    file: str
    text: str
    in_place: bool = False


@dataclass(frozen=True, slots=True)
class Remove:
    file: str


@dataclass(frozen=True, slots=True)
class Move:
    file: str
    to: str


@dataclass(frozen=True, slots=True)
class Command:
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spoil:
    """The key by which the instance tells objects' values apart is deleted, or overwritten with this."""

    rubbish: str = ""


@dataclass(frozen=True, slots=True)
class Strike:
    """``nth``: of the runtime's processes that are seen from now on; ``after``: seconds of its life."""

    victim: Victim
    pod: str = ""
    member: str = ""
    nth: int = 1
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class End:
    """The controller is killed, unless it met its fault before."""


Edit = Write | Remove | Move | Command | Spoil
Act = Edit | Strike | End


@dataclass(frozen=True, slots=True)
class Step:
    """``fault``: where the controller is to die (engine/effects.py), "" for no such place: then it is killed when it is
    the turn of ``End``. ``acts``: each with the seconds to wait before it. ``touched``: pairs of pod and member that
    need not be the same processes afterwards."""

    number: int
    fault: str
    acts: tuple[tuple[float, Act], ...]
    touched: frozenset[tuple[str, str]]
    world: World


@dataclass
class Draft:
    """A step in the making."""

    dice: random.Random
    world: World
    acts: list[Act] = field(default_factory=list)
    touched: set[tuple[str, str]] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    """Pods that this step edits: how far a controller comes with that before it is killed is chance."""
    parted: bool = False
    """Whether a file is removed, or a pod's name is in none any more."""

    def next_edit(self) -> int:
        self.world = replace(self.world, edits=self.world.edits + 1)
        return self.world.edits

    def touch(self, pod: str, member: str = ALL) -> None:
        self.touched.add((pod, member))

    def put(self, pod: Pod) -> None:
        """The pod as it is now is what its file says."""
        self.world = self.world.having(pod)
        self.busy.add(pod.name)
        self.acts.append(Write(pod.file, shadow.manifest(pod), in_place=self.dice.random() < 0.3))

    def pick(self, allowed: Callable[[Pod], bool]) -> Pod | None:
        """One of the pods whose file is whole."""
        found = [pod for pod in self.world.pods.values() if not pod.broken and allowed(pod)]
        return self.dice.choice(found) if found else None


def plan(seed: int, kills: int, points: Sequence[str], *, calm: bool = False) -> Iterator[Step]:
    """The steps of a run, the first of which (number 0) makes the pods. ``points``: the effects that may be fatal.
    ``calm``: fewer removals, which wait for the folder to settle."""
    dice = random.Random(seed)
    draft = Draft(dice, World())
    draft.acts.append(Write(OBJECTS, shadow.objects(draft.world)))
    for shape in Shape if not calm else (Shape.WEB, Shape.BEGUN, Shape.TOLD, Shape.ONCE, Shape.SHARED):
        _add(draft, shape)
    _run(draft)
    yield Step(0, "", tuple((0.0, act) for act in draft.acts), frozenset(draft.touched), draft.world)
    for number in range(1, kills + 1):
        draft = Draft(dice, draft.world)
        yield _step(number, draft, points, calm)


def _step(number: int, draft: Draft, points: Sequence[str], calm: bool) -> Step:
    dice = draft.dice
    fault = _fault(dice, points) if dice.random() < 0.5 else ""
    edits = list(EDITS)
    weights = [weight / 4 if calm and edit in SLOW else weight for edit, weight in EDITS.items()]
    wanted, tries = dice.choice((1, 1, 2, 2, 3)), 0
    while tries < wanted or not draft.acts:
        _any_of(draft, dice.choices(edits, weights)[0])
        tries += 1
    if dice.random() < 0.5:
        _strike(draft)
    earliest = 1
    if any(map(_is_of_runtime, draft.acts)):  # a controller must be there to run it
        fault, earliest = "", len(draft.acts)
    draft.acts.insert(dice.randint(earliest, len(draft.acts)), End())
    timed = []
    for act in draft.acts:
        now = dice.random() < 0.3 or _is_of_runtime(act)
        timed.append((0.0 if now else round(dice.uniform(0.01, 0.7 if isinstance(act, End) else 0.3), 3), act))
    return Step(number, fault, tuple(timed), frozenset(draft.touched), draft.world)


def _is_of_runtime(act: Act) -> bool:
    return isinstance(act, Strike) and act.victim is Victim.RUNTIME


def _fault(dice: random.Random, points: Sequence[str]) -> str:
    """A place of a name, or the n-th effect whatever its name: a controller begins with some fifty."""
    when = dice.choice(("before", "after"))
    if dice.random() < 0.6:
        return f"{ANY}:{when}:{dice.randint(5, 80)}"
    return f"{dice.choice(points)}:{when}:{dice.choice((1, 1, 2, 3))}"


def _any_of(draft: Draft, edit: Callable[[Draft], None]) -> None:
    if edit not in (_remove, _call_otherwise) or not draft.parted:
        edit(draft)


# --- edits of the folder


def _add(draft: Draft, shape: Shape | None = None) -> None:
    free = [name for name in NAMES if name not in draft.world.pods and name not in draft.busy]
    if not free or len(draft.world.pods) >= MOST:
        return
    shape = shape or draft.dice.choice(list(Shape))
    name, edit = free[0], draft.next_edit()
    members = tuple(Member(m, role, edit) for m, role in MEMBERS[shape])
    port = _free_port(draft) if shape is Shape.WEB else 0
    draft.touch(name)
    draft.put(Pod(name, shape, f"{name}-{edit}.yaml", edit, members, port))


def _remove(draft: Draft) -> None:
    pod = draft.pick(lambda pod: pod.name not in draft.busy)
    if pod is None or len(draft.world.pods) <= FEWEST:
        return
    draft.touch(pod.name)
    draft.busy.add(pod.name)
    draft.parted = True
    draft.world = draft.world.without(pod.name)
    draft.acts.append(Remove(pod.file))


def _edit_member(draft: Draft) -> None:
    pod = draft.pick(lambda _: True)
    if pod is None:
        return
    member = draft.dice.choice(pod.members)
    edit = draft.next_edit()
    if member.role is Role.INIT:  # another init container is another pod
        draft.touch(pod.name)
        pod = replace(pod, life=edit)
    draft.touch(pod.name, member.name)
    draft.put(pod.with_member(replace(member, version=edit, crashed=False)))


def _edit_image(draft: Draft) -> None:
    pod = draft.pick(lambda pod: any(m.role is not Role.INIT for m in pod.members))
    if pod is None:
        return
    member = draft.dice.choice([m for m in pod.members if m.role is not Role.INIT])
    draft.touch(pod.name, member.name)
    number = draft.dice.choice([n for n in range(IMAGES + 1) if n != member.image])
    changed = replace(member, version=draft.next_edit(), image=number, crashed=False)
    draft.put(pod.with_member(changed))


def _add_member(draft: Draft) -> None:
    pod = draft.pick(lambda pod: pod.shape is not Shape.ONCE and len(pod.members) < 4)
    if pod is None:
        return
    edit = draft.next_edit()
    new = Member(f"more{edit}", Role.STEADY, edit)
    draft.touch(pod.name, new.name)
    draft.put(replace(pod, members=(*pod.members, new)))


def _drop_member(draft: Draft) -> None:
    pod = draft.pick(lambda pod: any(m.name.startswith("more") for m in pod.members))
    if pod is None:
        return
    gone = draft.dice.choice([m for m in pod.members if m.name.startswith("more")])
    draft.touch(pod.name, gone.name)
    draft.put(replace(pod, members=tuple(m for m in pod.members if m is not gone)))


def _change_port(draft: Draft) -> None:
    pod = draft.pick(lambda pod: pod.shape is Shape.WEB)
    if pod is None:
        return
    draft.touch(pod.name)
    draft.put(replace(pod, port=_free_port(draft) if draft.dice.random() < 0.8 else 0, life=draft.next_edit()))


def _swap_ports(draft: Draft) -> None:
    one = draft.pick(lambda pod: pod.shape is Shape.WEB)
    other = draft.pick(lambda pod: pod.shape is Shape.WEB and one is not None and pod.name != one.name)
    if one is None or other is None or one.port == other.port:
        return
    for pod, port in ((one, other.port), (other, one.port)):
        draft.touch(pod.name)
        draft.put(replace(pod, port=port, life=draft.next_edit()))


def _rename(draft: Draft) -> None:
    pod = draft.pick(lambda _: True)
    if pod is None:
        return
    moved = replace(pod, file=f"{pod.name}-{draft.next_edit()}.yaml")
    draft.world = draft.world.having(moved)
    draft.acts.append(Move(pod.file, moved.file))


def _call_otherwise(draft: Draft) -> None:
    """Another name in the same file is another pod, which has to wait for the first one's port."""
    pod = draft.pick(lambda pod: pod.name not in draft.busy)
    free = [name for name in NAMES if name not in draft.world.pods and name not in draft.busy]
    if pod is None or not free:
        return
    edit = draft.next_edit()
    members = tuple(replace(m, version=edit, crashed=False) for m in pod.members)
    for name in (pod.name, free[0]):
        draft.touch(name)
    draft.busy.add(pod.name)
    draft.parted = True
    draft.world = draft.world.without(pod.name)
    draft.put(replace(pod, name=free[0], life=edit, members=members, again=False))


def _unlink_and_write(draft: Draft) -> None:
    """As git does it. Where the machine is busy the folder may be quiet for long enough in between."""
    pod = draft.pick(lambda _: True)
    if pod is None:
        return
    draft.acts.append(Remove(pod.file))
    draft.parted = True
    draft.touch(pod.name)
    draft.put(replace(pod, life=draft.next_edit(), again=True))


def _label(draft: Draft) -> None:
    pod = draft.pick(lambda _: True)
    if pod is not None:
        draft.put(replace(pod, label=draft.next_edit()))


def _break(draft: Draft) -> None:
    """Its last good version goes on."""
    pod = draft.pick(lambda pod: pod.name not in draft.busy)
    if pod is not None:
        draft.put(replace(pod, broken=True))


def _mend(draft: Draft) -> None:
    broken = [pod for pod in draft.world.pods.values() if pod.broken]
    if broken:
        pod = draft.dice.choice(broken)
        _touch_told(draft, pod)
        draft.put(replace(pod, broken=False))


def _edit_config(draft: Draft) -> None:
    """Files of volumes are exchanged; no process is touched."""
    draft.world = replace(draft.world, config=draft.next_edit())
    draft.acts.append(Write(OBJECTS, shadow.objects(draft.world)))


def _edit_secret(draft: Draft) -> None:
    """Those who have it in their environment are replaced."""
    draft.world = replace(draft.world, secret=draft.next_edit())
    for pod in draft.world.pods.values():
        _touch_told(draft, pod)
    draft.acts.append(Write(OBJECTS, shadow.objects(draft.world)))


def _touch_told(draft: Draft, pod: Pod) -> None:
    for member in pod.members:
        if member.role is Role.TOLD:
            draft.touch(pod.name, member.name)


def _free_port(draft: Draft) -> int:
    used = {pod.port for pod in draft.world.pods.values()}
    return draft.dice.choice([port for port in PORTS if port not in used])


# --- by hand, beside the folder


def _run(draft: Draft) -> None:
    free = [f"hand{n}" for n in range(MOST_HANDS) if f"hand{n}" not in draft.world.hands]
    if not free:
        return
    hand = Hand(free[0], draft.next_edit())
    draft.touch(hand.name)
    draft.world = draft.world.holding(hand)
    draft.acts.append(Command(hand.words()))


def _by_hand(draft: Draft) -> None:
    if not draft.world.hands:
        return
    hand = draft.world.hands[draft.dice.choice(sorted(draft.world.hands))]
    verb = draft.dice.choice(("restart", "rm", "stop") if hand.running else ("start", "rm"))
    draft.touch(hand.name)
    if verb == "rm":
        draft.world = draft.world.dropping(hand.name)
    else:
        draft.world = draft.world.holding(replace(hand, running=verb != "stop"))
    draft.acts.append(Command(("rm", "-f", hand.name) if verb == "rm" else (verb, hand.name)))


def _prune_images(draft: Draft) -> None:
    """What is asked for afterwards is pulled once more."""
    draft.acts.append(Command(("image", "prune", "--all", "--force")))


def _spoil_key(draft: Draft) -> None:
    """It is told by what was kept for pods, and nothing is restarted."""
    draft.acts.append(Spoil(draft.dice.choice(("", "rubbish", "r" * 32))))


EDITS: dict[Callable[[Draft], None], float] = {
    _add: 2,
    _remove: 1,
    _edit_member: 4,
    _edit_image: 2,
    _add_member: 2,
    _drop_member: 1,
    _change_port: 1,
    _swap_ports: 1,
    _rename: 1,
    _call_otherwise: 1,
    _unlink_and_write: 1,
    _label: 1,
    _break: 0.7,
    _mend: 1.5,
    _edit_config: 1,
    _edit_secret: 1,
    _run: 1,
    _by_hand: 1.5,
    _prune_images: 0.5,
    _spoil_key: 0.5,
}
SLOW = (_remove, _call_otherwise, _drop_member, _edit_image, _prune_images, _by_hand)


# --- kills


def _strike(draft: Draft) -> None:
    """Somewhere among the acts."""
    dice = draft.dice
    victim = dice.choice(list(Victim))
    strike = _struck(draft, victim)
    if strike is None:
        return
    place = len(draft.acts) if victim is Victim.RUNTIME else dice.randint(0, len(draft.acts))
    draft.acts.insert(place, strike)


def _struck(draft: Draft, victim: Victim) -> Strike | None:
    if victim in (Victim.ZYGOTE, Victim.NAMES):
        return Strike(victim)
    if victim is Victim.RUNTIME:
        return _struck_runtime(draft)
    if victim is Victim.MEMBER and draft.dice.random() < 0.3:
        return _struck_by_hand(draft)
    pod = draft.pick(lambda pod: pod.name not in draft.busy)
    if pod is None:
        return None
    if victim is Victim.INFRA:
        draft.touch(pod.name)
        draft.world = draft.world.having(replace(pod, life=draft.next_edit(), again=True))
        return Strike(victim, pod.name, INFRA)
    lasting = [m for m in pod.members if m.role.lasts and not m.crashed]
    if not lasting:
        return None
    member = draft.dice.choice(lasting)
    if victim in (Victim.MEMBER, Victim.BOTH):
        draft.touch(pod.name, member.name)
        draft.world = draft.world.having(pod.with_member(replace(member, crashed=True)))
    return Strike(victim, pod.name, member.name)


def _struck_runtime(draft: Draft) -> Strike | None:
    """With an edit for which a controller makes a container at least, starts it, and deletes another."""
    before = len(draft.acts)
    _edit_member(draft)
    if len(draft.acts) == before:
        return None
    for name in draft.busy:
        _may_run_again(draft, name)
    nth = draft.dice.choice((1, 1, 2, 3))  # it makes one, starts it, deletes the other: each takes less time
    return Strike(Victim.RUNTIME, nth=nth, after=round(draft.dice.uniform(0, 0.01 / nth), 4))


def _struck_by_hand(draft: Draft) -> Strike | None:
    touched = {pod for pod, _ in draft.touched}
    hands = [h for h in draft.world.hands.values() if h.running and not h.crashed and h.name not in touched]
    if not hands:
        return None
    hand = draft.dice.choice(hands)
    draft.touch(hand.name)
    draft.world = draft.world.holding(replace(hand, crashed=True))
    return Strike(Victim.MEMBER, hand.name, hand.name)


def _may_run_again(draft: Draft, name: str) -> None:
    if pod := draft.world.pods.get(name):
        draft.world = draft.world.having(replace(pod, again=True))
