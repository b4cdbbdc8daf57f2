"""Whether 95 % intervals hold the true AUC in 95 % of the cases, the rows of one user being alike."""

from __future__ import annotations

import numpy as np
import pytest

from funnel.evaluation.metrics import auc
from funnel.evaluation.scores import Rows, measure, with_intervals

SHIFTS = np.array([-1.0, -1.5, -1.0])
USERS, SETS = 300, 600


def drawn(random, users):
    """Whose each row is, how far it got, and logits that know a part of why: the user's effects, and the row's own."""
    user = np.repeat(np.arange(users), random.poisson(8, users) + 1).astype(np.int32)
    effect = random.normal(0, 0.8, (users, 3))[user]
    own = random.normal(size=effect.shape)
    chance = 1 / (1 + np.exp(-(SHIFTS + effect + own)))
    reached = np.cumprod(random.random(chance.shape) < chance, axis=1).astype(bool)
    return user, reached, SHIFTS + 0.8 * own + 0.5 * effect + random.normal(0, 0.5, effect.shape)


def probabilities(reached, logits):
    """Each stage's conditional, on the parent's rows, and its cumulative, on all of them."""
    chances = 1 / (1 + np.exp(-logits))
    above = np.cumprod(chances, axis=1)
    for stage in range(3):
        inside = reached[:, stage - 1] if stage else np.ones(len(reached), bool)
        yield f"conditional {stage}", inside, chances[:, stage].astype(np.float32)
        if stage:
            yield f"cumulative {stage}", np.ones(len(reached), bool), above[:, stage].astype(np.float32)


@pytest.mark.slow
def test_intervals_hold_the_true_auc():
    true: dict[str, list[float]] = {}
    for seed in range(8):
        _, reached, logits = drawn(np.random.default_rng([0, seed]), 150_000)
        for name, inside, chances in probabilities(reached, logits):
            true.setdefault(name, []).append(auc(reached[inside, int(name[-1])], chances[inside]))
    held = dict.fromkeys(true, 0)
    for seed in range(SETS):
        user, reached, logits = drawn(np.random.default_rng([1, seed]), USERS)
        measured = []
        for name, inside, chances in probabilities(reached, logits):
            label = reached[inside, int(name[-1])]
            rows = Rows(label, chances[inside], np.zeros(len(label)), None, None, user[inside])
            measured.append(measure(name, "", rows, USERS))
        for scores in with_intervals(measured, USERS):
            low, high = scores.intervals["auc"]
            held[scores.name] += low <= np.mean(true[scores.name]) <= high
    shares = {name: count / SETS for name, count in held.items()}
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares
