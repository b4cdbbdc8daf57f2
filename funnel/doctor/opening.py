"""A store of whatever rows can be used, so that one problem does not hide the others."""

from __future__ import annotations

from collections.abc import Mapping

from funnel.data.origin import Origin, Split
from funnel.data.prepare import make_store
from funnel.data.progress import Watch
from funnel.data.store import Store
from funnel.doctor.finding import Finding
from funnel.errors import DataError
from funnel.folders import TemporaryFolder
from funnel.schema.data import SkipBadRows
from funnel.schema.funnel_schema import FunnelSchema


def lenient(schema: FunnelSchema) -> FunnelSchema:
    """The same declaration, but for rows that it refuses: they are left out and counted."""
    data = schema.data.model_copy(update={"bad_rows": SkipBadRows(kind="skip", max_share=1.0)})
    policy = "drop" if schema.inconsistent_labels == "error" else schema.inconsistent_labels
    return schema.model_copy(update={"data": data, "inconsistent_labels": policy})


def open_rows(schema: FunnelSchema, splits: Mapping[Split, Origin], watch: Watch) -> tuple[Store | None, list[Finding]]:
    """Prepare what can be prepared, in a temporary place.

    Args:
        schema: The declaration.
        splits: Where the rows of each split are.
        watch: Called with each Progress.

    Returns:
        The store, or None where not even the training rows can be read; and what stood in the way.
    """
    training: dict[Split, Origin] = {"train": splits["train"]}
    problems: dict[str, None] = {}
    store = None
    for some in (splits, training) if len(splits) > 1 else (splits,):
        store = _try(lenient(schema), some, problems, watch)
        if store is not None:
            break
    if store is None:
        # "No row can be used" does not say why: what a fit would say does.
        _try(schema, training, problems, watch)
    return store, [Finding("error", "data", problem) for problem in problems]


def _try(schema: FunnelSchema, splits: Mapping[Split, Origin], problems: dict[str, None], watch: Watch) -> Store | None:
    folder = TemporaryFolder()
    try:
        return make_store(schema, splits, folder.path / "store", watch=watch, owner=folder)
    except DataError as error:
        problems[str(error)] = None
        return None
