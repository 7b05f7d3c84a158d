"""Curves as SVG text, to stand inside the page."""

from __future__ import annotations

import io
from typing import Any

__all__ = ["curve_svg"]

_LINE = "#0072b2"
"""Blue of the Okabe-Ito palette, which the common kinds of colour blindness keep apart from grey."""


def curve_svg(curve: dict[str, Any]) -> str:
    """Draw one operating curve of results.json.

    Args:
        curve: "name", "x", "y", "x_label", "y_label", "extends" (a straight line leads to (1, 1)).

    Returns:
        An ``<svg>`` element, without a date and with fixed ids, so that the same curve gives the same text.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": curve["name"], "font.size": 10}):
        figure = Figure(figsize=(4.2, 3.8), layout="constrained")
        axes = figure.add_subplot()
        _draw(axes, curve)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    title = f'role="img" aria-label="{curve["name"]} curve"'
    return svg[svg.index("<svg") :].replace("<svg ", f"<svg {title} ", 1)


def _draw(axes: Any, curve: dict[str, Any]) -> None:
    x, y = list(curve["x"]), list(curve["y"])
    axes.plot(x, y, color=_LINE, linewidth=1.8, drawstyle="default")
    if curve["extends"]:
        axes.plot([x[-1], 1], [y[-1], 1], color=_LINE, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.set_xlim(-0.01, 1.01)
        if curve["name"] == "ROC":
            axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8)
    else:
        axes.set_xlim(0, max(*x, 1.0) * 1.02)
    axes.set_ylim(-0.01, 1.01)
    axes.set(xlabel=curve["x_label"], ylabel=curve["y_label"], title=curve["name"])
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
