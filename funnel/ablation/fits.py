"""The fits of an ablation, one after the other in this process; each is kept, and goes on where it was stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.ablation.events import FitBegun, FitEnded
from funnel.ablation.folder import Folder
from funnel.ablation.variants import Variant
from funnel.data.store import Store
from funnel.errors import DivergedError, FunnelError
from funnel.fitting import Start, fit_events
from funnel.model.release import released
from funnel.run import Run
from funnel.schema.funnel_schema import FunnelSchema
from funnel.training.workspace import Workspace


def make_fits(variants: Sequence[Variant], repeats: int, store: Store, folder: Folder) -> Generator[Any, None, None]:
    """Fit what is not there yet: all variants with the first seed, then with the next, so that the table fills evenly.

    Args:
        variants: The rows of the table.
        repeats: Seeds of each.
        store: The rows, the same for all.
        folder: Where fits are kept, held by this process.

    Yields:
        For each fit that is made: FitBegun, all events of the fit but its Run, and FitEnded.

    Raises:
        FunnelError: A fit cannot be made; those before it are kept.
    """
    todo = [(variant, repeat) for repeat in range(repeats) for variant in variants]
    failures = failed_in(folder, variants, repeats)
    todo = [one for one in todo if one[0].name not in failures]
    total = len(todo)
    todo = [(v, repeat) for v, repeat in todo if not _is_done(folder, v.name, v.schema.train.seed + repeat)]
    done, begun, made = total - len(todo), time.monotonic(), 0
    while todo:
        (variant, repeat), *todo = todo
        schema = variant.seeded(repeat)
        seed = schema.train.seed
        yield FitBegun(done + 1, total, variant.name, seed)
        started = time.monotonic()
        failed = yield from _fit(variant.name, schema, store, folder)
        done, made = done + 1, made + 1
        if failed is not None:
            # What cannot be compared for one seed is not fitted for others.
            total -= sum(one[0] is variant for one in todo)
            todo = [one for one in todo if one[0] is not variant]
        now = time.monotonic()
        yield FitEnded(done, total, variant.name, seed, now - started, (now - begun) / made * len(todo), failed)


def failed_in(folder: Folder, variants: Sequence[Variant], repeats: int) -> dict[str, str]:
    """By variant that diverged: its seed, and how."""
    found: dict[str, str] = {}
    for variant in variants:
        for seed in range(variant.schema.train.seed, variant.schema.train.seed + repeats):
            metrics = folder.metrics(variant.name, seed)
            if metrics is not None and "failed" in metrics:
                found.setdefault(variant.name, f"seed {seed}: {metrics['failed']}")
    return found


def _is_done(folder: Folder, variant: str, seed: int) -> bool:
    done = folder.metrics(variant, seed) is not None
    if done:
        # Its process ended between keeping the fit and removing what it would have gone on from.
        folder.workspace(variant, seed).remove()
    return done


def _fit(variant: str, schema: FunnelSchema, store: Store, folder: Folder) -> Generator[Any, None, str | None]:
    """Make one fit and keep it; why it has no scores, where it diverged."""
    workspace = folder.workspace(variant, schema.train.seed)
    metrics = {"variant": variant, "seed": schema.train.seed, "objective": schema.objective.model_dump(mode="json")}
    metrics["share_embeddings"] = schema.model.share_embeddings
    failed: str | None = None
    logits: NDArray[np.float32] | None = None
    try:
        # The graphs and the weights of so many models do not fit into memory together.
        with released(), _without_remarks():
            found, logits = yield from _made(schema, store, workspace)
        metrics |= found
    except DivergedError as error:
        # It would do so again: the others are worth more than a stop.
        failed = metrics["failed"] = str(error)
    except FunnelError as error:
        raise type(error)(f"{variant}, seed {schema.train.seed}: {error}") from None
    folder.save(variant, schema.train.seed, metrics, logits)
    workspace.remove()
    return failed


def _made(
    schema: FunnelSchema, store: Store, workspace: Workspace
) -> Generator[Any, None, tuple[dict[str, Any], NDArray[np.float32] | None]]:
    """Make one fit: what it came to, and its logits. No model outlives this call."""
    found: dict[str, Any] = {}
    logits: NDArray[np.float32] | None = None
    with closing(fit_events(schema, store, Start(workspace, resume=True, brief=True))) as events:
        for event in events:
            if not isinstance(event, Run):
                yield event
                continue
            logits = _test_logits(event, store)
            seconds = sum(epoch["seconds"] for epoch in event.history)
            found = {"steps": event.manifest["steps"], "epochs": len(event.history), "seconds": seconds} | event.metrics
    return found, logits


@contextmanager
def _without_remarks() -> Iterator[None]:
    """TensorFlow takes the functions of one model after the other for one that is traced too often: they have one name."""

    def about_other(record: logging.LogRecord) -> bool:
        return "triggered tf.function retracing" not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(about_other)
    try:
        yield
    finally:
        logger.removeFilter(about_other)


def _test_logits(run: Run, store: Store) -> NDArray[np.float32]:
    """Conditional logits of the test rows in the order of the files' rows: float32 [rows, stages]."""
    parts, positions = [], []
    for star in store.shards("test").once():
        parts.append(run.logits(star))
        positions.append(np.array(star.position))
    return np.concatenate(parts)[np.argsort(np.concatenate(positions), kind="stable")].astype(np.float32, copy=False)
