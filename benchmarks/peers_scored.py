"""Predictions held against the truth that rows were simulated from.

AUCs and log losses are those of outcomes drawn with the true probabilities, in the mean over the draws: without the noise of a
single draw, a few ten thousand rows tell models apart, also by P(buy | click) on rows that were not clicked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from peers_rows import used_rows

from funnel.evaluation.influence import auc_influence
from funnel.evaluation.metrics import predicted_over_observed

PROBABILITIES = "click", "buy_given_click", "buy"
TINY = 1e-12
Floats = NDArray[np.float64]


def truth_of(data: Path) -> Floats:
    """The true probabilities of the test rows that are used: [rows, 3]."""
    found = pl.read_parquet(data / "truth" / "test.parquet").select(PROBABILITIES).to_numpy()
    return found[used_rows(data, "test")]


def aligned(predictions: Floats, used: NDArray[np.bool_]) -> Floats:
    """Of the rows that are used, [epochs, rows, 3]: a peer has predicted these only, or all there are."""
    return predictions[:, used] if predictions.shape[1] == len(used) else predictions


def best_epoch(predictions: Floats, labels: NDArray[np.float32]) -> int:
    """After which epoch, from 0, the labels are likeliest: by the log losses of P(click) and P(buy) together.

    Args:
        predictions: After each epoch: [epochs, rows, 3].
        labels: Click and buy: [rows, 2].
    """
    said = np.clip(predictions[..., [0, 2]], TINY, 1 - TINY)
    return int(np.argmin(-np.log(np.where(labels == 1, said, 1 - said)).mean(axis=(1, 2))))


def judged(predictions: Floats, truth: Floats, labels: NDArray[np.float32]) -> dict[str, Any]:
    """The first half of the rows chooses the number of epochs, the second is what scores are of.

    Args:
        predictions: After each epoch: [epochs, rows, 3].
        truth: [rows, 3].
        labels: [rows, 2].

    Returns:
        By probability what `scores` finds; and `epochs`.
    """
    half = len(labels) // 2
    best = best_epoch(predictions[:, :half], labels[:half])
    return scores(predictions[best, half:], truth[half:], labels[half:]) | {"epochs": best + 1}


def scores(predictions: Floats, truth: Floats, labels: NDArray[np.float32]) -> dict[str, Any]:
    """By probability: `auc`, `best_auc` (the truth's), `ratio` (predicted over observed, where it is observed), `excess`.

    Args:
        predictions: [rows, 3].
        truth: The true ones.
        labels: Click and buy: [rows, 2].

    Returns:
        `excess` is the log loss less the truth's, in nats a row.

    Raises:
        ValueError: They are not of the same rows, or one is no probability.
    """
    if predictions.shape != truth.shape or not ((predictions >= 0) & (predictions <= 1)).all():
        what = f"{predictions.shape} with {int(np.isnan(predictions).sum())} NaN"
        raise ValueError(f"predictions: got {what}, expected probabilities, {truth.shape}.")
    clicked = labels[:, 0] == 1
    observed = {
        "click": (labels[:, 0], np.ones(len(labels), bool)),
        "buy_given_click": (labels[:, 1], clicked),
        "buy": (labels[:, 1], np.ones(len(labels), bool)),
    }
    found = {}
    for place, name in enumerate(PROBABILITIES):
        said, true = predictions[:, place], truth[:, place]
        label, there = observed[name]
        found[name] = {
            "auc": auc_influence(true, said)[0],
            "best_auc": auc_influence(true, true)[0],
            "ratio": predicted_over_observed(label[there], said[there]),
            "excess": excess(said, true),
        }
    return found


def excess(said: Floats, true: Floats) -> float:
    """The mean log loss of outcomes drawn with `true`, less what it is where `true` is said: in nats."""
    said = np.clip(said, TINY, 1 - TINY)  # what was rounded to 0 or 1 costs much, and not infinitely much
    return float(np.mean(true * np.log(true / said) + (1 - true) * np.log((1 - true) / (1 - said))))
