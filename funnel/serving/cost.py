"""How large an export's tables are, and what smaller ones cost: `export.json` for programs, `export.md` for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from funnel.serving.compact import Compact

FORMAT = 1  # of export.json: the number that says its layout
FIGURES = {"auc": "AUC", "log_loss": "log loss", "predicted_over_observed": "predicted / observed"}


def described(compact: Compact, folder: Path, effect: Mapping[str, Any] | str) -> dict[str, Any]:
    """The report, for JSON.

    Args:
        compact: The tables.
        folder: With the SavedModel.
        effect: What smaller tables cost, as `funnel.evaluation.effect` has it; or why that is not known.
    """
    before = sum(one.learnt_bytes for one in compact.sizes.values())
    after = sum(one.bytes for one in compact.sizes.values())
    return {
        "format": FORMAT,
        "tables": compact.kind,
        "min_count": compact.min_count,
        "bytes": {
            "tables_as_float32": before,
            "tables": after,
            "share": after / before if before else None,
            "variables_on_disk": _on_disk(folder / "variables"),
            "vocabularies_on_disk": _on_disk(folder / "assets"),
        },
        "by_table": {table: asdict(one) for table, one in compact.sizes.items()},
        "effect": None if isinstance(effect, str) else effect,
        "no_effect_because": effect if isinstance(effect, str) else None,
    }


def as_markdown(model: str, found: Mapping[str, Any]) -> str:
    """The same, as a page."""
    sizes = found["bytes"]
    rows = [sum(one[key] for one in found["by_table"].values()) for key in ("learnt", "rows")]
    dropped = "" if found["min_count"] is None else f" Ids seen less often than {found['min_count']} times have no row."
    lines = [
        f"# The tables of {model}",
        "",
        f"Stored as {found['tables']}.{dropped}",
        "",
        "| | as learnt | here |",
        "|---|---|---|",
    ]
    lines += [f"| rows | {rows[0]:,} | {rows[1]:,} |", f"| bytes | {sizes['tables_as_float32']:,} | {sizes['tables']:,} |", ""]
    if found["effect"] is None:
        return "\n".join([*lines, f"What that costs was not measured: {found['no_effect_because']}", ""])
    return "\n".join([*lines, *_effect(found["effect"])])


def _effect(effect: Mapping[str, Any]) -> list[str]:
    lines = [
        f"On {effect['rows']:,} rows ({effect['split']}, {effect['data']}), with the tables as learnt and as stored here; "
        f"the difference with its {effect['level']:.0%} interval, paired by row:",
        "",
        "| probability | figure | as learnt | here | difference | from | to |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in effect["probabilities"]:
        for figure, title in FIGURES.items():
            before, after, change = one["before"][figure], one["after"][figure], one["change"][figure]
            ends = [f"{change[end]:+.6f}" for end in ("value", "low", "high")] if change else ["", "", ""]
            values = ["" if value is None else f"{value:.6f}" for value in (before, after)]
            lines.append(f"| {' | '.join([one['name'], title, *values, *ends])} |")
    return [*lines, ""]


def _on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0
