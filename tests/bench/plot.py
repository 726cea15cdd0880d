"""The one plot of README.md: how long each takes, as a part of what podman takes. Pure: a result to an SVG.

It follows the reader's colours, light or dark, and needs no font or script of anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from tests.bench.rows import BARE, MEASURES, OURS, PODMAN, ratio
from tests.bench.table import shown

WIDTH, LEFT, RIGHT = 720, 150, 190
BAR, GAP, BLOCK, TOP = 14, 4, 24, 34
ORDER = (OURS, BARE, PODMAN)
NAMES = {OURS: "reconciler", BARE: "bare crun", PODMAN: "podman kube play"}
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 } .dim { fill: #59636e } .head { font-weight: 600 }
.reconciler { fill: #0969da } .bare { fill: #9a6700 } .podman { fill: #afb8c1 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .dim { fill: #9198a1 }
.reconciler { fill: #4493f8 } .bare { fill: #d29922 } .podman { fill: #59636e } }
"""


def svg(medians: Mapping[str, Mapping[str, float]]) -> str:
    """Bars for each measure that has a short name and was measured of podman, too; podman's are as long as there is
    room."""
    drawn = [m for m in MEASURES if m.short and {OURS, PODMAN} <= medians.get(m.name, {}).keys()]
    parts, y = [_text(0, 16, "Time until all runs: the shorter the better", "head")], TOP
    for measure in drawn:
        of = medians[measure.name]
        names = [name for name in ORDER if name in of]
        parts.append(_text(0, y + _height(names) / 2 + 4, measure.short, ""))
        for name in names:
            parts += _bar(y, name, of[name], of[PODMAN])
            y += BAR + GAP
        y += BLOCK - GAP
    height = y - BLOCK + GAP + 4
    title = "; ".join(f"{m.short}: {ratio(medians[m.name][OURS], medians[m.name][PODMAN]):.2f}" for m in drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">\n'
        f"<title>{escape(f'reconciler as a part of podman kube play: {title}')}</title>\n"
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _height(names: Sequence[str]) -> int:
    return len(names) * (BAR + GAP) - GAP


def _bar(y: float, name: str, value: float, podmans: float) -> list[str]:
    part = min(1.0, ratio(value, podmans))
    length = max(2.0, part * (WIDTH - LEFT - RIGHT))
    told = f"{NAMES[name]} {shown(value, 'ms')}" + ("" if name == PODMAN else f" ({ratio(value, podmans):.2f})")
    return [
        f'<rect class="{name}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3"/>',
        _text(LEFT + length + 8, y + BAR - 3, told, "" if name == OURS else "dim"),
    ]


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}"' + (f' class="{kind}"' if kind else "") + f">{escape(words)}</text>"
