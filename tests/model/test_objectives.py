"""Every objective against a slow oracle that takes one row after the other, and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import funnel
from funnel.model._keras import tf
from funnel.model.likelihood import cumulative_logits, quotients, with_joins
from funnel.model.objectives import Judged, Minimised, Objective
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt
from funnel.schema.objective import KINDS
from tests import shop
from tests.model.trees import TREES

UNKNOWN = float("nan")


def schema_of(stages: Any, objective: Any) -> FunnelSchema:
    return funnel.load_schema(shop.tree() | {"stages": stages, "objective": objective})


def minimised(
    schema: FunnelSchema, labels: Any, towers: Any, twins: Any = (), *, weights: Any = None, learnt: Learnt | None = None
) -> Minimised:
    """The objective on some rows: labels [B, S], the towers' logits [B, T], the twins' by stage."""
    learnt = learnt or Learnt(rows={}, scales={}, priors=(0.5,) * len(schema.stages))
    names = [stage.name for stage in schema.stages if stage.any_of is None]
    logits = [tf.constant(column, tf.float32) for column in np.array(towers).T]
    meant = quotients(logits, schema.topology) if schema.objective.kind == "division" else logits
    conditional = with_joins(meant, schema.topology)
    judged = Judged(
        dict(zip(names, logits, strict=True)),
        {name: tf.constant(column, tf.float32) for name, column in dict(twins).items()},
        conditional,
        cumulative_logits(conditional, schema.topology),
    )
    weights = None if weights is None else tf.constant(weights, tf.float32)
    return Objective(schema, learnt)(tf.constant(labels, tf.float32), judged, weights)


# The oracle.


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def ce(label: float, p: float) -> float:
    return -(label * math.log(p) + (1 - label) * math.log1p(-p))


class Row:
    """One row as the definitions have it: what is known, and every probability as a product."""

    def __init__(self, schema: FunnelSchema, labels: np.ndarray, towers: np.ndarray) -> None:
        self.schema, divides = schema, schema.objective.kind == "division"
        given, self.tower = iter(towers), {}
        self.p, self.c, self.space = [], [], []  # cumulative, conditional, and P(being among the conditional's rows)
        self.y: list[float | None] = []
        self.inside: list[bool | None] = []  # None where not known
        for stage, place in zip(schema.stages, schema.topology, strict=True):
            above = 1.0 if place.parent < 0 else self.p[place.parent]
            for other in place.excluded:
                # Among the rows of one parent: P(not other | parent and none before it).
                above *= 1 - self.c[other]
            self.space.append(above)
            if place.is_join:
                self.p.append(sum(self.p[branch] for branch in place.branches))
                self.c.append(self.p[-1] / above)
            else:
                self.tower[stage.name] = next(given)
                own = sigmoid(self.tower[stage.name])
                self.c.append(min(own / above, 1 - 1e-6) if divides and place.is_partial else own)
                self.p.append(above * self.c[-1])
            conditions = [(place.parent, 1)] if place.parent >= 0 else []
            conditions += [(other, 0) for other in place.excluded]
            if any(self.y[k] is not None and self.y[k] != wanted for k, wanted in conditions):
                self.inside.append(False)
            else:
                self.inside.append(None if any(self.y[k] is None for k, _ in conditions) else True)
            label = labels[len(self.y)]
            self.y.append(0.0 if self.inside[-1] is False else None if np.isnan(label) else float(label))


def oracle(schema: FunnelSchema, batch: Any, twins: Any, learnt: Learnt) -> dict[str, float]:  # noqa: C901, PLR0912  # one definition after another
    """By stage: the mean loss over a batch of labels, logits and weights."""
    labels, towers, weights = batch
    objective, rows = schema.objective, [Row(schema, y, z) for y, z in zip(labels, towers, strict=True)]
    count, found, every = len(rows), {}, []
    weights = [w / learnt.weight for w in weights]
    for k, (stage, place) in enumerate(zip(schema.stages, schema.topology, strict=True)):
        name, partial = stage.name, place.parent >= 0 or place.excluded
        # A row that is known to be outside is 0; others stand for those of their kind whose label is lost.
        kind = {True: 1 / learnt.known_inside[k], False: 1.0, None: 1 / learnt.known_elsewhere[k]}
        stands = [kind[r.inside[k]] if r.y[k] is not None else 0.0 for r in rows]
        if place.shares_label:
            # Its column may be the other stage's: rows count as they do where it is decided which.
            kind[None] = 0.0
            before = every[place.before]
            stands = [kind[r.inside[k]] * before[i] if r.y[k] is not None else 0.0 for i, r in enumerate(rows)]
        every.append(stands)
        stands = [w * one for w, one in zip(weights, stands, strict=True)]
        entire = sum(w * ce(r.y[k], r.p[k]) for r, w in zip(rows, stands, strict=True) if r.y[k] is not None) / count
        among = [(i, r, w) for i, (r, w) in enumerate(zip(rows, weights, strict=True)) if r.inside[k] and r.y[k] is not None]
        others = [(i, r, w) for i, (r, w) in enumerate(zip(rows, weights, strict=True)) if r.inside[k] is False]
        if objective.kind == "division":
            if not place.is_join:
                direct = [(r.y[k], sigmoid(r.tower[name]), w) for r, w in zip(rows, stands, strict=True)]
                found[name] = sum(w * ce(y, p) for y, p, w in direct if y is not None) / count
            continue
        if objective.kind == "esmm" or not partial:
            found[name] = entire
            continue
        if place.is_join:
            if objective.kind in ("ips", "dr", "dcmt"):
                found[name] = objective.entire_space_weight * entire
            continue
        given = learnt.given[k]
        match objective.kind:
            case "parent_space":
                found[name] = sum(w * ce(r.y[k], r.c[k]) for _, r, w in among) / (count * given)
            case "aman":
                total = sum(w * ce(r.y[k], r.c[k]) for _, r, w in among)
                total += objective.rate * sum(w * ce(0, r.c[k]) for _, r, w in others)
                found[name] = total / (count * (given + objective.rate * (1 - given / learnt.known_inside[k])))
            case "oversampling":
                total = sum(w * (objective.factor if r.y[k] else 1) * ce(r.y[k], r.c[k]) for _, r, w in among)
                rate = learnt.priors[k]
                found[name] = total / (count * given * (rate * objective.factor + 1 - rate))
            case "unbias":
                accepted = [w * min(1, objective.clip / r.space[k]) for _, r, w in among]
                total = sum(a * ce(r.y[k], r.c[k]) for a, (_, r, _) in zip(accepted, among, strict=True))
                found[name] = total / sum(accepted) if among else 0.0
            case _:
                inverse = [w / max(r.space[k], objective.clip) for _, r, w in among]
                mirrored = [w / max(1 - r.space[k], objective.clip) for _, r, w in others]
                scale = count
                if objective.self_normalize:
                    scale = sum(inverse) or 1.0
                risk = sum(v * ce(r.y[k], r.c[k]) for v, (_, r, _) in zip(inverse, among, strict=True)) / scale
                q = [sigmoid(z) for z in twins.get(name, [])]
                if objective.kind == "dr":
                    risk += sum(w * ce(q[i], r.c[k]) for i, (r, w) in enumerate(zip(rows, weights, strict=True))) / count
                    for v, (i, r, _) in zip(inverse, among, strict=True):
                        error, imputed = ce(r.y[k], r.c[k]), ce(q[i], r.c[k])
                        risk += v * (objective.imputation_weight * (error - imputed) ** 2 - imputed) / scale
                if objective.kind == "dcmt":
                    total = sum(v * ce(1, q[i]) for v, (i, _, _) in zip(mirrored, others, strict=True))
                    risk += total / ((sum(mirrored) or 1.0) if objective.self_normalize else count)
                    apart = [w * abs(1 - r.c[k] - q[i]) for i, (r, w) in enumerate(zip(rows, weights, strict=True))]
                    risk += objective.constraint * sum(apart) / count
                found[name] = objective.counterfactual_weight * risk + objective.entire_space_weight * entire
    return found


OPTIONS: dict[str, Any] = {
    "aman": {"rate": 0.3},
    "oversampling": {"factor": 4},
    "unbias": {"clip": 0.3},
    "ips": {"clip": 0.2, "counterfactual_weight": 0.7, "entire_space_weight": 1.3},
    "dr": {"clip": 0.2, "imputation_weight": 0.6},
    "dcmt": {"clip": 0.2, "constraint": 0.05},
}


def consistent(schema: FunnelSchema, rng: np.random.Generator, rows: int, unknown: float) -> np.ndarray:
    """Labels as a funnel has them, some unknown."""
    labels = np.zeros([rows, len(schema.stages)])
    for k, place in enumerate(schema.topology):
        if place.is_join:
            labels[:, k] = labels[:, place.branches].max(axis=1)
            continue
        can = labels[:, place.parent] == 1 if place.parent >= 0 else np.ones(rows, bool)
        for other in place.excluded:
            can &= labels[:, other] == 0
        labels[:, k] = can & (rng.random(rows) < 0.6)
    lost = rng.random(labels.shape) < unknown
    for k, place in enumerate(schema.topology):
        if place.is_join:
            lost[:, k] = lost[:, place.branches].any(axis=1)
    return np.where(lost, UNKNOWN, labels)


@pytest.mark.parametrize("unknown", [0.0, 0.2])
@pytest.mark.parametrize("topology", TREES)
@pytest.mark.parametrize("kind", KINDS)
def test_each_stage_has_the_loss_that_the_definition_gives(kind: str, topology: str, unknown: float) -> None:
    rng = np.random.default_rng(sum(map(ord, kind + topology)))
    for plain in (False, True) if kind in ("ips", "dr", "dcmt") else (False,):
        schema = schema_of(
            TREES[topology], {"kind": kind} | OPTIONS.get(kind, {}) | ({"self_normalize": False} if plain else {})
        )
        stages, towers = len(schema.stages), sum(not place.is_join for place in schema.topology)
        learnt = Learnt(
            rows={},
            scales={},
            priors=tuple(rng.uniform(0.1, 0.9, stages)),
            known_inside=tuple(rng.uniform(0.5, 1, stages)),
            known_elsewhere=tuple(rng.uniform(0.5, 1, stages)),
            given=tuple(rng.uniform(0.1, 0.5, stages)),
            weight=1.7,
        )
        rows = 60
        labels, logits = consistent(schema, rng, rows, unknown), rng.normal(size=[rows, towers]) * 2
        names = [stage.name for stage in schema.stages]
        twins = {
            n: rng.normal(size=rows) for n, p in zip(names, schema.topology, strict=True) if p.is_partial and not p.is_join
        }
        weights = rng.uniform(0, 3, rows)
        found = minimised(schema, labels, logits, twins, weights=weights, learnt=learnt)
        expected = oracle(schema, [labels, logits, weights], twins, learnt)
        assert found.stages.keys() == expected.keys()
        for name, loss in expected.items():
            assert float(tf.reduce_mean(found.stages[name])) == pytest.approx(loss, rel=2e-4, abs=1e-6), name
        np.testing.assert_allclose(found.total, sum(found.stages.values()), rtol=1e-5)
        assert np.isfinite(found.total).all()


# By hand: two stages, click then buy; four impressions, of which two were clicked and one was bought.

TWO = TREES["two"]
LABELS = [[1, 1], [1, 0], [0, 0], [0, 0]]
HALF = [[0.0, 0.0]] * 4  # P(click) = P(buy | click) = 1/2
LOG2 = math.log(2)


def of_buy(objective: Any, towers: Any = HALF, twins: Any = (), labels: Any = LABELS) -> float:
    found = minimised(schema_of(TWO, objective), labels, towers, twins)
    assert float(tf.reduce_mean(found.stages["s0"])) == pytest.approx(
        np.mean([ce(y[0], sigmoid(z[0])) for y, z in zip(labels, towers, strict=True)]), rel=1e-6
    )
    return float(tf.reduce_mean(found.stages["s1"]))


def test_esmm_by_hand() -> None:
    # P(buy) = 1/4: -log 1/4 once, and -log 3/4 three times.
    assert of_buy("esmm") == pytest.approx((math.log(4) + 3 * math.log(4 / 3)) / 4)


def test_parent_space_by_hand() -> None:
    # Over the two clicked rows, each log 2.
    assert of_buy("parent_space") == pytest.approx(LOG2)
    # Where a batch has no click, the stage has nothing to say.
    assert of_buy("parent_space", labels=[[0, 0]] * 4) == 0


def test_aman_by_hand() -> None:
    # P(buy | click) = 1/4: the clicked rows, and a half of each of the two others, as negatives; 3 rows in all.
    z = math.log(1 / 3)
    expected = (math.log(4) + math.log(4 / 3) + 0.5 * 2 * math.log(4 / 3)) / 3
    assert of_buy({"kind": "aman", "rate": 0.5}, [[0.0, z]] * 4) == pytest.approx(expected)


def test_oversampling_by_hand() -> None:
    # The positive counts three times: 4 rows among the clicked ones.
    z = math.log(1 / 3)
    expected = (3 * math.log(4) + math.log(4 / 3)) / 4
    assert of_buy({"kind": "oversampling", "factor": 3}, [[0.0, z]] * 4) == pytest.approx(expected)


def test_unbias_by_hand() -> None:
    # P(click) is 1/2 for the first row, 1/4 for the second: with a clip of 1/4 they are accepted by 1/2 and by 1.
    towers = [[0.0, 0.0], [math.log(1 / 3), math.log(3)], [0.0, 0.0], [0.0, 0.0]]
    assert of_buy({"kind": "unbias", "clip": 0.25}, towers) == pytest.approx((0.5 * LOG2 + 1.0 * math.log(4)) / 1.5)


def test_division_by_hand() -> None:
    # The towers say P(click) = 1/2 and P(buy) = 1/4.
    towers = [[0.0, math.log(1 / 3)]] * 4
    assert of_buy("division", towers) == pytest.approx((math.log(4) + 3 * math.log(4 / 3)) / 4)
    (logit,) = quotients([tf.constant([0.0]), tf.constant([math.log(1 / 3)])], schema_of(TWO, "division").topology)[1:]
    assert float(logit[0]) == pytest.approx(0.0, abs=1e-6)  # (1/4) / (1/2)


def test_ips_by_hand() -> None:
    towers = [[0.0, 0.0], [math.log(1 / 3), math.log(3)], [0.0, 0.0], [0.0, 0.0]]  # P(click) = 1/2, 1/4 on the clicked rows
    only = {"kind": "ips", "entire_space_weight": 0, "clip": 0.01}
    # Each clicked row stands for 2 and for 4.
    assert of_buy({**only, "self_normalize": False}, towers) == pytest.approx((2 * LOG2 + 4 * math.log(4)) / 4)
    assert of_buy(only, towers) == pytest.approx((2 * LOG2 + 4 * math.log(4)) / 6)
    # No propensity below .4 is divided by.
    assert of_buy({**only, "clip": 0.4}, towers) == pytest.approx((2 * LOG2 + 2.5 * math.log(4)) / 4.5)
    found = minimised(schema_of(TWO, only), LABELS, towers)
    assert float(found.effective["s1"]) == pytest.approx((2 + 4) ** 2 / (2**2 + 4**2))
    both = of_buy({"kind": "ips", "counterfactual_weight": 0.5, "clip": 0.01}, HALF)
    assert both == pytest.approx(0.5 * LOG2 + (math.log(4) + 3 * math.log(4 / 3)) / 4)


def test_no_row_counts_more_than_ten_times_the_mean_unless_a_clip_is_declared() -> None:
    towers = [[0.0, 0.0], [math.log(0.01 / 0.99), 0.0], [0.0, 0.0], [0.0, 0.0]]  # P(click) = 1/2, 1/100
    schema = schema_of(TWO, {"kind": "ips", "entire_space_weight": 0})
    learnt = Learnt(rows={}, scales={}, priors=(0.3, 0.5))
    found = minimised(schema, LABELS, towers, learnt=learnt)
    # A tenth of .3, and not .01.
    assert float(found.effective["s1"]) == pytest.approx((2 + 1 / 0.03) ** 2 / (2**2 + 1 / 0.03**2), rel=1e-5)


def test_dr_by_hand() -> None:
    # All labels are guessed as 1/2, so that every imputed error is that of p = 1/4: (log 4 + log 4/3) / 2.
    z = math.log(1 / 3)
    imputed = (math.log(4) + math.log(4 / 3)) / 2
    errors = [math.log(4), math.log(4 / 3)]  # of the two clicked rows, each of which stands for two
    corrections = sum(2 * (error - imputed) for error in errors) / 4
    squares = sum(2 * (error - imputed) ** 2 for error in errors) / 4
    only = {"kind": "dr", "entire_space_weight": 0, "self_normalize": False}
    assert of_buy(only, [[0.0, z]] * 4, {"s1": [0.0] * 4}) == pytest.approx(imputed + corrections + squares)
    assert of_buy({**only, "imputation_weight": 0}, [[0.0, z]] * 4, {"s1": [0.0] * 4}) == pytest.approx(imputed + corrections)


def test_dcmt_by_hand() -> None:
    # P(click) = 1/4: clicked rows stand for 4, the others for 4/3. The second tower says 3/4, the first 1/2.
    towers, twin = [[math.log(1 / 3), 0.0]] * 4, {"s1": [math.log(3)] * 4}
    only = {"kind": "dcmt", "entire_space_weight": 0, "constraint": 0.1, "self_normalize": False}
    expected = (4 * 2 * LOG2 + 4 / 3 * 2 * math.log(4 / 3)) / 4 + 0.1 * abs(1 - 0.5 - 0.75)
    assert of_buy(only, towers, twin) == pytest.approx(expected)
    assert of_buy({**only, "self_normalize": True}, towers, twin) == pytest.approx(LOG2 + math.log(4 / 3) + 0.1 * 0.25)


def test_an_unknown_label_teaches_the_other_stages_only_and_others_like_it_stand_for_it() -> None:
    schema = schema_of(TWO, "esmm")
    learnt = Learnt(rows={}, scales={}, priors=(0.5, 0.5), known_inside=(1.0, 0.5))
    labels = [[1, 1], [1, UNKNOWN], [0, UNKNOWN], [UNKNOWN, 0]]
    found = minimised(schema, labels, HALF, learnt=learnt)
    # A row that was not clicked was not bought, whatever is written there; one clicked row stands for both.
    np.testing.assert_allclose(found.stages["s1"], [2 * math.log(4), 0, math.log(4 / 3), math.log(4 / 3)], rtol=1e-5)
    np.testing.assert_allclose(found.stages["s0"], [LOG2, LOG2, LOG2, 0], rtol=1e-5)


@pytest.mark.parametrize("kind", ["unbias", "ips", "dr", "dcmt"])
def test_no_gradient_goes_through_a_propensity(kind: str) -> None:
    options = {"entire_space_weight": 0} if kind != "unbias" else {}
    schema = schema_of(TWO, {"kind": kind, **options})
    click, buy = tf.Variable([0.3, -0.2, 0.1]), tf.Variable([0.5, -0.5, 0.2])
    with tf.GradientTape() as tape:
        logits = tf.stack([click, buy], axis=1)
        judged = Judged(
            {"s0": click, "s1": buy}, {"s1": tf.constant([0.1, 0.2, 0.3])}, logits, cumulative_logits(logits, schema.topology)
        )
        learnt = Learnt(rows={}, scales={}, priors=(0.5, 0.5))
        loss = tf.reduce_mean(Objective(schema, learnt)(tf.constant([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]), judged).stages["s1"])
    of_click, of_buy_ = tape.gradient(loss, [click, buy])
    assert of_click is None or not np.any(of_click)
    assert np.any(of_buy_)


def test_dr_teaches_its_second_tower_by_the_imputation_alone() -> None:
    schema = schema_of(TWO, {"kind": "dr", "entire_space_weight": 0, "imputation_weight": 0})
    buy, twin = tf.Variable([0.5, -0.5, 0.2]), tf.Variable([0.1, 0.2, 0.3])
    learnt = Learnt(rows={}, scales={}, priors=(0.5, 0.5))
    with tf.GradientTape() as tape:
        logits = tf.stack([tf.zeros(3), buy], axis=1)
        judged = Judged({"s0": tf.zeros(3), "s1": buy}, {"s1": twin}, logits, cumulative_logits(logits, schema.topology))
        loss = tf.reduce_mean(Objective(schema, learnt)(tf.constant([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]), judged).stages["s1"])
    of_buy_, of_twin = tape.gradient(loss, [buy, twin])
    assert of_twin is None or not np.any(of_twin)
    # Where the guess is right, e = e^, and all rows teach: the gradient of a row that was not clicked is p - q.
    assert float(of_buy_[2]) == pytest.approx((sigmoid(0.2) - sigmoid(0.3)) / 3, rel=1e-5)


def test_weights_learnt_from_uncertainty_are_the_inverse_of_the_losses() -> None:
    schema = schema_of(TWO, {"kind": "esmm", "weights": "uncertainty"})
    objective = Objective(schema, Learnt(rows={}, scales={}, priors=(0.5, 0.5)))
    logits = tf.constant([[0.4, -1.0]] * 4)
    judged = Judged({}, {}, logits, cumulative_logits(logits, schema.topology))
    losses = None
    for _ in range(400):
        with tf.GradientTape() as tape:
            found = objective(tf.constant(LABELS, tf.float32), judged)
            total = tf.reduce_mean(found.total)
        losses = np.array([float(tf.reduce_mean(loss)) for loss in found.stages.values()])
        objective.log_variances.assign_sub(0.2 * tape.gradient(total, objective.log_variances))
    # d/ds [exp(-s) loss + s / 2] = 0 where exp(-s) = 1 / (2 loss).
    np.testing.assert_allclose(np.exp(-objective.log_variances.numpy()), 1 / (2 * losses), rtol=1e-3)


def test_fixed_weights_multiply_a_stage() -> None:
    plain = minimised(schema_of(TWO, "esmm"), LABELS, HALF)
    weighted = minimised(schema_of(TWO, {"kind": "esmm", "weights": {"s1": 3}}), LABELS, HALF)
    np.testing.assert_allclose(weighted.total, plain.stages["s0"] + 3 * plain.stages["s1"], rtol=1e-6)
