"""The call behind `funnel ablate`: fits each objective with several seeds on the same rows, and compares them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from funnel.ablation.draw import draw
from funnel.ablation.events import Planned
from funnel.ablation.fits import failed_in, make_fits
from funnel.ablation.folder import Folder, described
from funnel.ablation.markdown import markdown
from funnel.ablation.rows import read_rows
from funnel.ablation.table import Ablation, make_table
from funnel.ablation.variants import chosen
from funnel.data.origin import Origin, origin_of, splits_of
from funnel.data.prepare import SchemaLike, prepare, schema_file
from funnel.data.store import store_of
from funnel.errors import DataError, DivergedError, RunError
from funnel.folders import held_folder
from funnel.locations.location import Location, location
from funnel.run import versions
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema


def default_out(schema: FunnelSchema) -> Path:
    """Where an ablation is kept, unless another folder is named."""
    return Path("ablations") / schema.name


def ablate(
    schema: SchemaLike,
    data: Any = None,
    *,
    test: Any = None,
    objectives: Sequence[str] | None = None,
    repeats: int = 10,
    out: str | Location | None = None,
    store: str | Location | None = None,
    overrides: Sequence[str] = (),
    watch: Callable[[Any], None] | None = None,
) -> Ablation:
    """Compare objectives on the test rows, as Table 2 of Ma et al., 2018, does.

    Each is fitted once for each seed, on the same rows; fits that the folder has already are not made again, and one that was
    stopped goes on from its checkpoint.

    Args:
        schema: A file, a mapping, or a schema.
        data: A folder; a pandas or polars frame of facts; a mapping of frames by source; a store; or None for the schema's own
            folder.
        test: The test rows, given likewise. Default: those of the folder.
        objectives: The rows of the table, the one that others are compared to first: kinds of objectives, each maybe with `-ns`
            for embeddings that stages do not share. Default: those of the paper, then `ips`, `dr`, `dcmt`; of these, what does
            not go with the schema is left out.
        repeats: Fits of each, with the declared `train.seed`, that plus 1, and so on.
        out: The folder. Default: `ablations/NAME`. It may hold fits of the same schema, rows and versions.
        store: Where to keep the encoded rows, for the next time. Default: nowhere.
        overrides: `path=value` texts, such as `train.epochs=3`.
        watch: Called with each event: Progress, Planned, FitBegun, what a fit tells, FitEnded.

    Returns:
        The table, which also stands in `ablation.md`, `.json`, `.png` and `.svg` in the folder.

    Raises:
        FunnelError: The schema or the data are not right, or the folder is of others; fits that were made are kept.
    """
    declared = load_schema(schema, overrides)
    if repeats < 1:
        raise RunError(f"ablate: repeats: got {repeats}, expected 1 or more.")
    variants, left_out = chosen(declared, objectives)
    variants[0].seeded(repeats - 1)  # a seed that is too great is told of now
    rows, root = _origins(declared, data, test, schema)
    tell = watch or (lambda _: None)
    encoded = prepare(declared, rows, store, test=test, watch=tell)
    if not encoded.shards("test").rows:
        raise DataError(f"{encoded}: has no test rows, expected some to judge on. {_REPAIR}")
    folder = Folder(location(out) if out is not None else default_out(declared))
    with held_folder(folder.path, RunError):
        folder.begin(described(declared, encoded))
        seeds = [declared.train.seed + repeat for repeat in range(repeats)]
        there = sum(folder.metrics(variant.name, seed) is not None for variant in variants for seed in seeds)
        tell(Planned(folder.path, encoded.path, tuple(variant.name for variant in variants), repeats, there, left_out))
        for event in make_fits(variants, repeats, encoded, folder):
            tell(event)
        failures = failed_in(folder, variants, repeats)
        left = [variant for variant in variants if variant.name not in failures]
        if not left:
            raise DivergedError("; ".join(f"{name}, {reason}" for name, reason in failures.items()))
        judged = read_rows(declared, encoded, root)
        columns, table = make_table(declared, left, seeds, judged, folder=folder, watch=tell)
        made = Ablation(
            name=declared.name,
            out=folder.path,
            data=encoded.manifest["data"],
            space=declared.space,
            test_rows=judged.shape[0],
            drawn=f"groups of {declared.evaluate.group_by}" if judged.grouped else "rows",
            seeds=tuple(seeds),
            columns=columns,
            rows=table,
            left_out=left_out | failures,
            remarks=judged.remarks,
            versions=versions(),
        )
        if len(made.rows) > 1:
            draw(made, folder.path)
        folder.write("ablation.md", markdown(made, "ablation.svg"))
        folder.write("ablation.json", json.dumps(made.as_dict(), indent=1) + "\n")
    return made


_REPAIR = "Name them in the schema (`data.facts.test`), or give `test`."


def _origins(schema: FunnelSchema, data: Any, test: Any, given: SchemaLike) -> tuple[Any, Location | None]:
    """The rows as `prepare` takes them, and the folder that the test rows are from.

    Raises:
        DataError: There are no test rows.
    """
    if test is not None:
        rows = data if data is not None else origin_of(schema, None, schema_file(given))
        return rows, origin_of(schema, test).root
    if (there := store_of(schema, data)) is not None:
        return data, location(there.manifest["data"])
    origin: Origin = origin_of(schema, data, schema_file(given))
    if "test" not in splits_of(schema, origin):
        raise DataError(f"{origin}: got no test rows, expected some to judge on. {_REPAIR}")
    return origin, origin.root
