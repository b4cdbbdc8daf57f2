"""A fit from a store to a run: trains and judges, telling its caller what happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from funnel.data.batches import dataset
from funnel.data.store import Store
from funnel.errors import DataError
from funnel.model.funnel_model import FunnelModel, build_model
from funnel.run import Run, versions
from funnel.schema.funnel_schema import FunnelSchema
from funnel.training.loop import Epoch, Step, train


@dataclass(frozen=True)
class Prepared:
    """Training data, ready for the network.

    Attributes:
        store: Where they are.
        rows: Training rows.
        validation_rows: Rows held out.
        violations: By stage: rows that had it without its parent.
        positives: By stage: training rows that reached it.
        skipped: Rows that could not be used, of all sources.
    """

    store: Store
    rows: int
    validation_rows: int
    violations: dict[str, int]
    positives: dict[str, int]
    skipped: int


def prepared(store: Store) -> Prepared:
    """What a store has to train with.

    Raises:
        DataError: It has no training rows.
    """
    if not store.shards("train").rows:
        raise DataError(f"{store}: has no training rows (have: {', '.join(store.splits)}). Prepare a store with them.")
    found = store.manifest["splits"]["train"]
    skipped = sum(source["rows"] for source in found["skipped"].values())
    validation = store.shards("validation").rows
    return Prepared(store, found["rows"], validation, found["inconsistent_labels"]["rows"], found["stages"], skipped)


def model_of(schema: FunnelSchema, store: Store) -> FunnelModel:
    """A compiled model for the rows of a store."""
    return build_model(schema, store.learnt, store.vocabulary_files())


def fit_events(schema: FunnelSchema, store: Store) -> Iterator[Prepared | Step | Epoch | Run]:
    """Fit, and judge on the validation and test rows that the store has.

    Args:
        schema: The declaration.
        store: The rows.

    Yields:
        Prepared once, Steps and Epochs, and at the end the Run, not yet saved.

    Raises:
        FunnelError: The rows are not what the schema says, or the loss diverged.
    """
    ready = prepared(store)
    yield ready
    model = model_of(schema, store)
    run = Run(schema, store.learnt, store.vocabulary, model, [], {}, _manifest(schema, ready))
    shards = store.shards("train")
    data = dataset(schema, shards, batch_size=schema.train.batch_size, shuffle=schema.train.shuffle)
    held = store.shards("validation")

    def validate() -> dict[str, float]:
        stopping = schema.train.early_stopping
        metric = stopping.metric if stopping is not None else "log_loss"
        return {name: getattr(scores, metric) for name, scores in run.judge(held).cumulative.items()}

    for event in train(model, data, validate if held.rows else None):
        if isinstance(event, Epoch):
            run.history.append(dict(vars(event)))
        yield event
    for split, rows in (("validation", held), ("test", store.shards("test"))):
        if rows.rows:
            run.metrics[split] = run.judge(rows).as_dict()
    yield run


def _manifest(schema: FunnelSchema, ready: Prepared) -> dict[str, Any]:
    store = ready.store
    return {
        "versions": versions(),
        "seed": schema.train.seed,
        "data": store.manifest["data"],
        "data_fingerprint": store.manifest["fingerprint"],
        "training_rows": ready.rows,
        "validation_rows": ready.validation_rows,
        "positives": ready.positives,
        "inconsistent_labels": {"policy": schema.inconsistent_labels, "rows": ready.violations},
        "skipped": store.manifest["splits"]["train"]["skipped"],
    }
