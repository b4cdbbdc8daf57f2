"""A fit from files to a run: reads, learns, trains and judges, telling its caller what happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.batches import dataset
from funnel.data.encode import Star, encode
from funnel.data.holdout import hold_out
from funnel.data.origin import fingerprint
from funnel.data.raw_star import Origin, read_star
from funnel.data.statistics import learn
from funnel.data.vocabulary import Vocabulary
from funnel.model.funnel_model import build_model
from funnel.run import Run, versions
from funnel.schema.data import Held
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt
from funnel.training.loop import Epoch, Step, train


@dataclass(frozen=True)
class Prepared:
    """Training data, ready for the network.

    Attributes:
        learnt: Sizes, scales and priors of the training rows.
        vocabulary: The training rows' ids.
        star: The training facts, those held out among them.
        rows: Positions of the training rows.
        validation: The star with the validation rows; None without any.
        validation_rows: Their positions.
        violations: By stage: rows that had it without its parent.
        positives: By stage: training rows that reached it.
    """

    learnt: Learnt
    vocabulary: Vocabulary
    star: Star
    rows: NDArray[np.int64]
    validation: Star | None
    validation_rows: NDArray[np.int64]
    violations: dict[str, int]
    positives: dict[str, int]


def prepare(schema: FunnelSchema, origin: Origin) -> Prepared:
    """Read the training rows, hold some out, and learn from the others.

    Raises:
        DataError: The data are not what the schema says.
    """
    raw = read_star(schema, origin, "train")
    held = hold_out(schema, raw)
    rows, validation_rows = np.flatnonzero(~held), np.flatnonzero(held)
    learnt, vocabulary = learn(schema, raw, rows)
    star = encode(schema, raw, vocabulary)
    validation = star if len(validation_rows) else None
    if isinstance(schema.data.validation, Held):
        validation = encode(schema, read_star(schema, origin, "validation"), vocabulary)
        validation_rows = np.arange(validation.rows)
    labels = star.labels if star.labels is not None else np.zeros([0, len(schema.stages)], np.uint8)
    positives = dict(zip(schema.stage_names, (int(count) for count in labels[rows].sum(axis=0)), strict=True))
    return Prepared(learnt, vocabulary, star, rows, validation, validation_rows, raw.violations, positives)


def fit_events(schema: FunnelSchema, origin: Origin, test: Origin | None) -> Iterator[Prepared | Step | Epoch | Run]:
    """Fit, and judge on the validation and test rows.

    Args:
        schema: The declaration.
        origin: The training rows.
        test: The test rows; None to do without.

    Yields:
        Prepared once, Steps and Epochs, and at the end the Run, not yet saved.

    Raises:
        FunnelError: The data are not what the schema says, or the loss diverged.
    """
    prepared = prepare(schema, origin)
    yield prepared
    model = build_model(schema, prepared.learnt, {table: list(terms) for table, terms in prepared.vocabulary.terms.items()})
    manifest = _manifest(schema, origin, prepared)
    run = Run(schema, prepared.learnt, prepared.vocabulary, model, [], {}, manifest)
    data = dataset(schema, prepared.star, prepared.rows, batch_size=schema.train.batch_size, shuffle=True)

    def validate() -> dict[str, float]:
        stopping = schema.train.early_stopping
        metric = stopping.metric if stopping is not None else "log_loss"
        report = run.judge(prepared.validation, prepared.validation_rows)  # type: ignore[arg-type]  # called only where there is one
        return {name: getattr(scores, metric) for name, scores in report.cumulative.items()}

    for event in train(model, data, validate if prepared.validation is not None else None):
        if isinstance(event, Epoch):
            run.history.append(dict(vars(event)))
        yield event
    if prepared.validation is not None:
        run.metrics["validation"] = run.judge(prepared.validation, prepared.validation_rows).as_dict()
    if test is not None:
        run.metrics["test"] = run.judge(run.star(test, "test", labels=True), None).as_dict()
    yield run


def has_test(schema: FunnelSchema, origin: Origin) -> bool:
    """Whether the data have test rows."""
    return origin.root is not None and bool(schema.data.facts.patterns("test")) and schema.data.facts.files is None


def _manifest(schema: FunnelSchema, origin: Origin, prepared: Prepared) -> dict[str, Any]:
    return {
        "versions": versions(),
        "seed": schema.train.seed,
        "data": str(origin),
        "data_fingerprint": fingerprint(schema, origin),
        "training_rows": len(prepared.rows),
        "validation_rows": len(prepared.validation_rows),
        "positives": prepared.positives,
        "inconsistent_labels": {"policy": schema.inconsistent_labels, "rows": prepared.violations},
    }
