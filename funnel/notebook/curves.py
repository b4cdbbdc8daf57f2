"""The course of a fit in small: a line for the loss and for each stage's validation score, epoch by epoch."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from funnel.reporting.svg import Box, Drawing

WIDTH, HEIGHT, MARGIN = 150.0, 74.0, 10.0  # pixels, of one curve


def curves(history: Sequence[Mapping[str, Any]]) -> str | None:
    """The curves as an image for HTML; None where there is nothing to draw.

    Args:
        history: By epoch: `losses`, and `scores` on validation rows.
    """
    lines = {"training loss": [epoch["losses"]["loss"] for epoch in history]}
    for stage in history[0]["scores"] if history else ():
        lines[f"validation {stage}"] = [epoch["scores"][stage] for epoch in history]
    if len(history) < 2:
        return None
    drawing = Drawing(len(lines) * WIDTH)
    for place, (name, values) in enumerate(lines.items()):
        _curve(drawing, Box(place * WIDTH + MARGIN, 22, WIDTH - 2 * MARGIN, HEIGHT - 48), name, values)
    said = "; ".join(f"{name} from {values[0]:.4f} to {values[-1]:.4f}" for name, values in lines.items())
    return image(drawing.svg(HEIGHT, f"By epoch: {said}."), f"By epoch: {said}.")


def _curve(drawing: Drawing, where: Box, name: str, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    scale = where.height / (high - low) if high > low else 0.0
    step = where.width / (len(values) - 1)
    spots = [(where.x + number * step, where.bottom - (value - low) * scale) for number, value in enumerate(values)]
    drawing.text((where.x, 14), name, room=where.width, size=10.5, look="muted")
    drawing.line(spots)
    drawing.text((where.x, where.bottom + 18), f"{values[0]:.4f}", room=where.width / 2, size=10.5)
    drawing.text((where.right, where.bottom + 18), f"{values[-1]:.4f}", room=where.width / 2, size=10.5, end=True)


def image(svg: str, label: str) -> str:
    """An SVG as an image within HTML: its style touches nothing else, and it follows the reader's light or dark."""
    coded = base64.b64encode(svg.encode()).decode()
    return f'<img alt="{escape(label)}" style="max-width: 100%" src="data:image/svg+xml;base64,{coded}">'
