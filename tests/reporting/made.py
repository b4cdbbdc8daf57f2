"""Run folders as `fit` leaves them, made up: labels are drawn from known chances for any tree of stages, and judged plainly."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.evaluation import metrics
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt
from funnel.schema.reader import dump_schema, load_schema

ROOT = Path(__file__).parents[2]
LEVEL = 0.95


def shipped(name: str) -> FunnelSchema:
    """A schema of the project."""
    return load_schema(ROOT / "schemas" / f"{name}.yaml")


def small(stages: Sequence[Mapping[str, Any]], **more: Any) -> FunnelSchema:
    """A schema with these stages and little else."""
    return load_schema(
        {
            "name": "shop",
            "stages": list(stages),
            "data": {"facts": {"format": "parquet", "train": "train.parquet", "test": "test.parquet"}},
            "features": [{"name": "tab", "kind": "categorical", "buckets": 5}],
            **more,
        }
    )


def draw(schema: FunnelSchema, rows: int, seed: int = 0, rate: float | None = None) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Labels, predicted and true conditionals [rows, stages], and columns to slice by; what is not known of a label is 0."""
    random = np.random.default_rng(seed)
    columns = {
        "tab": random.choice(np.array(["1", "2", "3", "4"]), rows, p=[0.5, 0.3, 0.15, 0.05]),
        "user_group": random.choice(np.array([f"group {n}" for n in range(16)]), rows),
    }
    shift = {"1": 0.2, "2": -0.1, "3": -0.4, "4": 0.8}
    size = (rows, len(schema.stages))
    true, predicted, labels = np.zeros(size), np.zeros(size), np.zeros(size, np.int64)
    for stage, (declared, place) in enumerate(zip(schema.stages, schema.topology, strict=True)):
        if place.is_join:
            branches = list(place.branches)
            labels[:, stage] = labels[:, branches].any(1)
            continue
        base = np.log((declared.prior or rate or 0.1) / (1 - (declared.prior or rate or 0.1)))
        moved = np.array([shift[tab] for tab in columns["tab"]]) * (1 if stage % 2 == 0 else -0.7)
        seen, hidden = random.normal(0, 0.8, rows), random.normal(0, 0.4, rows)
        true[:, stage] = 1 / (1 + np.exp(-(base - 0.3 + moved + seen + hidden)))
        predicted[:, stage] = 1 / (1 + np.exp(-(base - 0.2 + 0.5 * moved + 1.1 * seen)))
        reached = labels[:, place.parent].astype(bool) if place.parent >= 0 else np.ones(rows, bool)
        for other in place.excluded:
            reached &= labels[:, other] == 0
        labels[:, stage] = reached & (random.random(rows) < true[:, stage])
    cumulate(schema, true)
    return labels, predicted, true, columns


def evaluation(
    schema: FunnelSchema,
    labels: NDArray[Any],
    predicted: NDArray[Any],
    columns: Mapping[str, NDArray[Any]],
    true: NDArray[Any] | None = None,
) -> dict[str, Any]:
    """The entry of one split in `metrics.json`."""
    cumulative = cumulate(schema, predicted)
    whole = _judged(schema, labels, predicted, cumulative, curves=True)
    slices = {
        name: [
            _slice(schema, value, values == value, (labels, predicted, cumulative), whole["funnel"])
            for value in sorted(set(values), key=lambda value: -int((values == value).sum()))
        ]
        for name, values in columns.items()
    }
    worst = []
    for column, found in slices.items():
        for one in found:
            for stage in schema.stage_names:
                here, all_ = one["conditional"][stage], whole["conditional"][stage]
                ends = here["intervals"]["auc"]
                if ends is not None and ends[1] < all_["auc"]:
                    entry = {"column": column, "value": one["value"], "probability": here["name"], "stage": stage}
                    entry |= {"kind": "conditional", "measure": "auc", "score": here["auc"], "whole": all_["auc"]}
                    worst.append(entry | {"low": ends[0], "high": ends[1]} | {k: here[k] for k in ("rows", "positives")})
    truth = None
    if true is not None:
        truth = {name: _truth(schema, stage, predicted, true) for stage, name in enumerate(schema.stage_names)}
    return {
        "space": schema.space,
        "rows": len(labels),
        "weighted": False,
        "level": LEVEL,
        "drawn": {"unit": schema.space, "count": len(labels)},
        "group_by": None,
        "constant": [],
        **whole,
        "slices": slices,
        "worst": worst,
        "truth": truth,
    }


def cumulate(schema: FunnelSchema, conditional: NDArray[Any]) -> NDArray[Any]:
    """Cumulatives, from conditionals: [rows, stages]."""
    found = np.zeros_like(conditional)
    for stage, place in enumerate(schema.topology):
        if place.is_join:
            found[:, stage] = found[:, list(place.branches)].sum(1)
            continue
        above = found[:, place.parent] if place.parent >= 0 else 1.0
        for other in place.excluded:
            above = above * (1 - conditional[:, other])
        found[:, stage] = above * conditional[:, stage]
    for stage, place in enumerate(schema.topology):
        if place.is_join:
            conditional[:, stage] = found[:, stage] / (found[:, place.parent] if place.parent >= 0 else 1.0)
    return found


def _spaces(schema: FunnelSchema, labels: NDArray[Any]) -> list[NDArray[Any]]:
    found = []
    for place in schema.topology:
        rows = labels[:, place.parent] == 1 if place.parent >= 0 else np.ones(len(labels), bool)
        for other in place.excluded:
            rows = rows & (labels[:, other] == 0)
        found.append(rows)
    return found


def _judged(schema: FunnelSchema, labels: Any, conditional: Any, cumulative: Any, *, curves: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"cumulative": {}, "conditional": {}, "funnel": []}
    drawn: dict[str, Any] = {"cumulative": {}, "conditional": {}}
    spaces = _spaces(schema, labels)
    for stage, name in enumerate(schema.stage_names):
        place = schema.topology[stage]
        everything = np.ones(len(labels), bool)
        for kind, called, space, rows, chances in (
            ("cumulative", name, schema.space, everything, cumulative),
            ("conditional", schema.conditional_names[stage], schema.conditional_spaces[stage], spaces[stage], conditional),
        ):
            found[kind][name] = _scores(called, space, labels[rows, stage], chances[rows, stage])
            if curves:
                drawn[kind][name] = _curves(labels[rows, stage], chances[rows, stage])
        rates = [one[:, stage].mean() for one in (labels, cumulative)]
        parents = [one[:, place.parent].mean() if place.parent >= 0 else 1.0 for one in (labels, cumulative)]
        steps = [float(rate / parent) if parent else None for rate, parent in zip(rates, parents, strict=True)]
        found["funnel"].append(
            {
                "stage": name, "given": schema.stage_names[place.parent] if place.parent >= 0 else None,
                "observed": float(labels[:, stage].sum()), "predicted": float(cumulative[:, stage].sum()),
                "observed_rate": float(rates[0]), "predicted_rate": float(rates[1]),
                "observed_step": steps[0], "predicted_step": steps[1],
            }
        )  # fmt: skip
    return found | ({"curves": drawn} if curves else {})


MEASURES = (
    "auc", "group_auc", "pr_auc", "log_loss", "normalized_entropy", "predicted_over_observed", "calibration_error",
)  # fmt: skip


def _scores(name: str, space: str, labels: Any, chances: Any) -> dict[str, Any]:
    rows, positives = len(labels), int(labels.sum())
    found = {"name": name, "space": space, "rows": rows, "positives": positives, "groups": None}
    found |= dict.fromkeys(MEASURES) | {"calibration_error_by_chance": None, "intervals": dict.fromkeys(MEASURES)}
    if positives:
        found["predicted_over_observed"] = value = float(chances.sum() / positives)
        width = 1.96 * value / np.sqrt(positives)
        found["intervals"]["predicted_over_observed"] = [max(0.0, value - width), value + width]
    if 0 < positives < rows:
        logits = np.log(chances) - np.log1p(-chances)
        area, error = metrics.auc(labels, logits), metrics.auc_standard_error(labels, logits)
        found |= {
            "auc": area, "pr_auc": 2 * positives / rows, "log_loss": metrics.log_loss_from_logits(labels, logits),
            "normalized_entropy": metrics.normalized_entropy(labels, logits),
            "calibration_error": 0.05 * positives / rows, "calibration_error_by_chance": 0.04 * positives / rows,
        }  # fmt: skip
        if np.isfinite(error):
            found["intervals"]["auc"] = [max(0.0, area - 1.96 * error), min(1.0, area + 1.96 * error)]
    return found


def _curves(labels: Any, chances: Any) -> dict[str, Any]:
    order = np.argsort(-chances, kind="stable")
    hit, rows = labels[order], len(labels)
    positives = int(hit.sum())
    if not 0 < positives < rows:
        return {"roc": [], "calibration": []}
    at = np.unique(np.linspace(0, rows - 1, 200).astype(int))
    true, false = np.cumsum(hit)[at] / positives, np.cumsum(1 - hit)[at] / (rows - positives)
    bins = []
    for part in np.array_split(order[::-1], min(10, max(2, positives // 10))):
        n, k = len(part), int(labels[part].sum())
        p, z = k / n, 1.96
        middle, half = (p + z * z / 2 / n) / (1 + z * z / n), z * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n) / (1 + z * z / n)
        low, high = max(0.0, middle - half), middle + half
        bins.append(
            {"rows": n, "predicted": float(chances[part].mean()), "observed": p, "low": float(low), "high": float(high)}
        )
    return {"roc": [[0.0, 0.0], *([float(x), float(y)] for x, y in zip(false, true, strict=True))], "calibration": bins}


def _slice(schema: FunnelSchema, value: str, rows: Any, arrays: Any, whole: Any) -> Any:
    found = _judged(schema, *(array[rows] for array in arrays))
    at = {name: number for number, name in enumerate(schema.stage_names)}
    lost = {}
    for name in schema.stage_names:
        way = [at[name]]
        while schema.topology[way[0]].parent >= 0:
            way.insert(0, schema.topology[way[0]].parent)
        lost[name] = [
            {"stage": schema.stage_names[stage]}
            | {
                key: _log(found["funnel"][stage][f"{key}_step"], whole[stage][f"{key}_step"])
                for key in ("observed", "predicted")
            }
            for stage in way
        ]
    return {"value": str(value), "rows": int(rows.sum()), "share": float(rows.mean()), **found, "lost": lost}


def _log(here: float | None, all_: float | None) -> float | None:
    return float(np.log(here / all_)) if here and all_ else None


def _truth(schema: FunnelSchema, stage: int, predicted: Any, true: Any) -> dict[str, Any]:
    ratio = float(predicted[:, stage].sum() / max(1e-9, true[:, stage].sum()))
    return {
        "name": schema.conditional_names[stage], "rows": len(true), "auc": 0.61, "auc_of_truth": 0.66,
        "predicted_over_true": ratio,
        "mean_absolute_error": float(np.abs(predicted - true)[:, stage].mean()), "correlation": 0.8,
        "intervals": {"auc": [0.6, 0.62], "predicted_over_true": [ratio - 0.01, ratio + 0.01]},
    }  # fmt: skip


def history(schema: FunnelSchema, epochs: int = 4) -> list[dict[str, Any]]:
    """A fit whose best epoch is the last but one."""
    found = []
    for epoch in range(1, epochs + 1):
        loss = {f"{name}_loss": 0.5 / (stage + 1) - 0.02 * epoch for stage, name in enumerate(schema.stage_names)}
        scores = {
            name: 0.5 / (stage + 1) - (0.02 * epoch if epoch < epochs else 0) for stage, name in enumerate(schema.stage_names)
        }
        found.append({"epoch": epoch, "losses": {"loss": sum(loss.values())} | loss, "scores": scores, "best": epoch < epochs})
    return found


def health(schema: FunnelSchema) -> dict[str, Any]:
    """Findings of two levels, and shares for each feature."""
    findings = [
        {"level": "warning", "about": "feature tab", "message": "drift: unknown ids: 49% in the test rows, 0% in training."},
        {"level": "note", "about": "stage buy", "message": "1 of 30,000 train rows have buy = 1 with click = 0."},
    ]
    shares = {"train": (0.01, 0.0), "validation": (0.01, 0.05), "test": (0.02, 0.3)}
    features = {
        split: {feature.name: {"missing": missing, "oov": oov} for feature in schema.features}
        for split, (missing, oov) in shares.items()
    }
    return {"format": 1, "rows": 30000, "examined": 30000, "findings": findings, "features": features}


def importance(schema: FunnelSchema, features: int = 5, *, undefined: str = "", named: str = "feature") -> dict[str, Any]:
    """What `funnel importance` keeps: the first feature matters most, the last not at all, the one before is of harm."""
    random = np.random.default_rng(0)
    names = [f"{named} {number}" for number in range(features)]
    probabilities = []
    for stage, name in enumerate(schema.stage_names):
        kinds = ["cumulative"] + (["conditional"] if schema.conditional_names[stage] != name else [])
        for kind in kinds:
            lost: dict[str, Any] = {}
            for number, feature in enumerate(names):
                value = 0.02 * 0.6**number if number < features - 2 else -0.004 if number == features - 2 else 0.0001
                half = abs(value) * random.uniform(0.2, 0.5) if number < features - 1 else 0.001
                one = {"value": value, "low": value - half, "high": value + half}
                lost[feature] = {"log_loss": one} | ({} if name == undefined else {"auc": one})
            probabilities.append(
                {
                    "name": name if kind == "cumulative" else schema.conditional_names[stage], "stage": name, "kind": kind,
                    "space": schema.space, "rows": 20000, "positives": 700, "lost": lost,
                    "figures": {"log_loss": 0.15, "auc": None if name == undefined else 0.7},
                }
            )  # fmt: skip
    together = {feature: ["cross"] if feature == names[0] else [] for feature in names}
    return {
        "format": 1, "data": "data/shop", "split": "test", "space": schema.space, "rows": 20000, "of": 90000, "repeats": 3,
        "seed": 0, "together": together, "probabilities": probabilities, "group_by": None, "weighted": False, "level": 0.95,
        "drawn": {"unit": schema.space, "count": 20000}, "order": names, "unneeded": names[-1:],
    }  # fmt: skip


def manifest() -> dict[str, Any]:
    """Without what does not matter here."""
    return {
        "versions": {"funnel": "0.1.0", "python": "3.11.7", "tensorflow": "2.21.0"},
        "seed": 0,
        "data": "data/shop",
        "data_fingerprint": "7a59ab014a401f6e39a79398043c4ecc5cb00525b305bff78a36398aa5fc0002",
        "training_rows": 30000,
        "validation_rows": 3000,
        "steps": 70,
        "ended": "2026-03-01T12:34:56+00:00",
        "simulated": False,
    }


def write(folder: Path, schema: FunnelSchema, splits: Mapping[str, Any], **parts: Any) -> Path:
    """A run folder: `history`, `manifest` and `health` may be given; a health of None is not written."""
    folder.mkdir(parents=True)
    (folder / "schema.yaml").write_text(dump_schema(schema), encoding="utf-8")
    priors = tuple(stage.prior or 0.1 for stage in schema.stages)
    learnt = Learnt(rows={}, scales={}, priors=priors)
    (folder / "learnt.json").write_text(learnt.model_dump_json(), encoding="utf-8")
    usual = {"history": history(schema), "manifest": manifest(), "health": health(schema)}
    content = (
        usual
        | parts
        | {"metrics": {"format": 1, "splits": dict(splits)}}
        | {key: parts[key] for key in ("metrics",) if key in parts}
    )
    for name, value in content.items():
        if value is not None:
            (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return folder


def run(folder: Path, schema: FunnelSchema, rows: int = 3000, *, truth: bool = True, **parts: Any) -> Path:
    """A whole run folder of a schema, sliced `by` all columns or by some; `rate` is that of stages without a prior."""
    labels, predicted, true, columns = draw(schema, rows, rate=parts.pop("rate", None))
    sliced = {name: columns[name] for name in parts.pop("by", columns)}
    test = evaluation(schema, labels, predicted, sliced, true if truth else None)
    held = evaluation(schema, labels[: rows // 3], predicted[: rows // 3], {})
    return write(folder, schema, {"validation": held, "test": test}, **parts)
