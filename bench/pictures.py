"""One picture for each measure: bars of the medians, with lines from minimum to maximum, in panels of one scale.

SVG with a transparent ground, and ink that can be read on white and on near-black.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt  # the backend comes first
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

Stored = Mapping[str, Any]
_INK: Final = "#7d8590"
_COLOURS: Final = ("#2f81f7", "#db8a1d", "#2da44e", "#bf5ad0", "#d1453b", "#17a2a2")
_SCALE: Final = 20
"""A bar that is so many times shorter than the longest says nothing: it stands in a panel of its own."""
_WIDTH: Final = 9.0
_ROW: Final = 0.36
_SETTINGS: Final = {
    "font.size": 12,
    "font.family": "sans-serif",
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.fonttype": "none",  # text stays text: small, and sharp at every size
    "svg.hashsalt": "usercenter",  # the same results make the same file
}


def draw(result: Stored, folder: Path) -> Path:
    """Draw a stored result into `<measure>.svg` of this folder; returns the path."""
    panels = _panels(result["figures"])
    colours = _colours(result["figures"])
    heights = [sum(len(figure["contenders"]) for figure in figures) for figures in panels]
    with mpl.rc_context(_SETTINGS):
        size = (_WIDTH, sum(heights) * _ROW + 1.0 * len(heights) + 0.4)
        drawing, axes = plt.subplots(
            len(panels), 1, figsize=size, squeeze=False, gridspec_kw={"height_ratios": heights}, layout="constrained"
        )
        is_alone = sum(map(len, panels)) == 1
        for axis, figures in zip(axes[:, 0], panels, strict=True):
            _bars(axis, figures, colours, is_alone=is_alone)
        path = folder / f"{result['measure']}.svg"
        drawing.savefig(path, transparent=True, metadata={"Date": None})
        plt.close(drawing)
    return path


def _panels(figures: Sequence[Stored]) -> list[list[Stored]]:
    """The figures, in their order: those of one unit and of one scale stand together, for they can be compared."""
    panels: list[list[Stored]] = []
    for figure in filter(lambda each: each["contenders"], figures):
        for panel in panels:
            most, least = max(map(_most, [*panel, figure])), min(map(_most, [*panel, figure]))
            if panel[0]["unit"] == figure["unit"] and least * _SCALE >= most:
                panel.append(figure)
                break
        else:
            panels.append([figure])
    return panels


def _most(figure: Stored) -> float:
    return float(max(found["maximum"] for found in figure["contenders"].values()))


def _colours(figures: Sequence[Stored]) -> dict[str, str]:
    """One for each contender, the same in all panels; the product's is the first."""
    names = dict.fromkeys(name for figure in figures for name in figure["contenders"])
    return {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(names)}


def _bars(axis: Axes, figures: Sequence[Stored], colours: Mapping[str, str], *, is_alone: bool) -> None:
    rows = [(figure["name"], name, found) for figure in figures for name, found in figure["contenders"].items()]
    most = max(0.0, *(found["maximum"] for _, _, found in rows))  # below zero there is no bar, only its label
    for place, (_, contender, found) in enumerate(rows):
        middle, colour = found["median"], colours[contender]
        spread = [[max(0.0, middle - found["minimum"])], [max(0.0, found["maximum"] - middle)]]
        axis.barh(place, middle, color=colour, height=0.72, xerr=spread, error_kw={"ecolor": _INK, "capsize": 3})
        axis.text(max(0.0, found["maximum"]) + most * 0.015, place, _label(middle), va="center")
    names = [contender if is_alone else f"{figure} · {contender}" for figure, contender, _ in rows]
    axis.set_yticks(range(len(rows)), names)
    axis.set_xlim(0, most * 1.16 or 1)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.set_xlabel(figures[0]["unit"])
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)


def _label(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
