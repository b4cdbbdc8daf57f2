"""Topologies for tests, from one stage to ESM2, as stages of a schema."""

from __future__ import annotations

from typing import Any

Stages = list[dict[str, Any]]


def chain(length: int) -> Stages:
    return [{"name": f"s{k}", "label": f"s{k}"} for k in range(length)]


TREES: dict[str, Stages] = {
    "one stage": chain(1),
    "two": chain(2),
    "four": chain(4),
    "seven": chain(7),
    "tree": [
        {"name": "click", "label": "click"},
        {"name": "cart", "label": "cart"},
        {"name": "buy", "label": "buy"},
        {"name": "like", "label": "like", "given": "click"},
        {"name": "share", "label": "share", "given": "impression"},
    ],
    "esm2": [
        {"name": "click", "label": "click"},
        {"name": "direct", "label": "direct"},
        {"name": "buy_direct", "label": "buy"},
        {"name": "buy_other", "label": "buy", "unless": "direct"},
        {"name": "buy", "any_of": ["buy_direct", "buy_other"]},
        {"name": "again", "label": "again"},
    ],
    "exclusive from the start": [
        {"name": "left", "label": "left"},
        {"name": "right", "label": "right", "unless": "left"},
        {"name": "ahead", "label": "ahead", "unless": "right"},
        {"name": "far", "label": "far"},
    ],
}
