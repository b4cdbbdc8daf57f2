"""The run folder: all of a fit, to evaluate, predict and export from, here or elsewhere."""

from __future__ import annotations

import json
import platform
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import funnel
from funnel.data.drawn import drawn
from funnel.data.known import Known
from funnel.data.origin import Split, origin_of, patterns_of, require_others, unparted
from funnel.data.prepare import make_store
from funnel.data.progress import Watch
from funnel.data.sampling import is_sampled
from funnel.data.star import Star
from funnel.data.store import Shards, Store
from funnel.data.vocabulary import Vocabulary
from funnel.errors import DataError, RemoteError, RunError
from funnel.evaluation.effect import effect
from funnel.evaluation.gather import Gathered, gather
from funnel.evaluation.importance import REPEATS, ROWS, Importance, measure_importance
from funnel.evaluation.predict import Predictor, absent_stages, columns, logit_columns, score_columns
from funnel.evaluation.report import Report, judge
from funnel.evaluation.slices import Cut, cut, require_sliceable
from funnel.evaluation.truth import read_truth
from funnel.folders import TemporaryFolder, require_writable, whole_folder
from funnel.locations.location import Location, location
from funnel.locations.remote import Remote
from funnel.locations.transfer import called, fetch_folder, fetched_folder
from funnel.model._keras import tf
from funnel.model.funnel_model import FunnelModel, build_model
from funnel.model.likelihood import constant_stages
from funnel.model.network import blank_batch
from funnel.model.optimizers import is_served
from funnel.model.stored import Kind
from funnel.run_files import (
    HEALTH,
    HISTORY,
    LAYERS,
    LEARNT,
    MANIFEST,
    METRICS,
    METRICS_FORMAT,
    RUN_FORMAT,
    SCHEMA,
    VOCABULARY,
    WEIGHTS,
    require_files,
    require_readable,
    unreadable,
)
from funnel.schema.custom import UnusableError
from funnel.schema.data import FACTS
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt, vocabulary_tables
from funnel.schema.reader import dump_schema, load_schema
from funnel.schema.recorded import find_again, record
from funnel.serving.compact import Compact, compact
from funnel.serving.export import export
from funnel.serving.inputs import SHOWN, fields_of
from funnel.serving.versions import SAVED_MODEL, version_folder
from funnel.showing import html_of
from funnel.training.checkpoint import VARIABLES, read_variables, write_variables
from funnel.training.workspace import CHECKPOINTS, LOGS, Workspace, newest_in


@dataclass
class Run:
    """A fitted funnel.

    Attributes:
        schema: The declaration, complete.
        learnt: Sizes, scales and priors.
        vocabulary: The ids that have a row of their own.
        model: The fitted model.
        history: By epoch: losses, validation scores, rows and seconds.
        metrics: By split: the report. Empty where nothing was evaluated.
        manifest: Versions, seed, data, counts.
        path: The folder, or its URL; None before it is saved.
        health: What the doctor says about the rows, to be saved; None where it was not asked.
    """

    schema: FunnelSchema
    learnt: Learnt
    vocabulary: Vocabulary
    model: FunnelModel
    history: list[dict[str, Any]]
    metrics: dict[str, Any]
    manifest: dict[str, Any]
    path: Location | None = None
    health: dict[str, Any] | None = None
    _copy: TemporaryFolder | None = None  # of what is behind a URL

    def __repr__(self) -> str:
        where = "not saved" if self.path is None else str(self.path)
        steps = " -> ".join((self.schema.space, *self.schema.stage_names))
        return f"<Run of {self.schema.name}: {steps}, {len(self.history)} epochs, {where}>"

    def _repr_html_(self) -> str:
        return html_of(self)

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor(self.model)

    def save(self, path: str | Location, workspace: Workspace | None = None) -> Location:
        """Write the folder; either all of it is there afterwards, or nothing new.

        Args:
            path: The folder, or its URL.
            workspace: Of the fit: the run keeps its newest checkpoint and its logs, and replaces the one that it goes on from.

        Raises:
            RunError: Something is already there, or the disk is full.
        """
        path, replace = location(path), workspace is not None and workspace.replaces
        with whole_folder(path, RunError, replace=replace, last=MANIFEST) as folder:
            (folder / SCHEMA).write_text(dump_schema(self.schema), encoding="utf-8")
            (folder / LEARNT).write_text(self.learnt.model_dump_json(indent=1), encoding="utf-8")
            self.vocabulary.save(folder / VOCABULARY)
            if self.schema.model.custom:
                record(self.schema, folder / LAYERS)
            served = any(is_served(table) for table in self.model.network.tables)
            here = served and isinstance(path, Remote)
            write_variables(tf.train.Checkpoint(network=self.model.network), folder / WEIGHTS, here=here)
            metrics = {"format": METRICS_FORMAT, "splits": self.metrics}
            manifest = {"format": RUN_FORMAT} | self.manifest
            for name, content in ((HISTORY, self.history), (METRICS, metrics), (MANIFEST, manifest)):
                (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            if self.health is not None:
                (folder / HEALTH).write_text(json.dumps(self.health, indent=1) + "\n", encoding="utf-8")
            if workspace is not None:
                workspace.put_into(folder)
        self.path = path
        return path

    @classmethod
    def load(cls, path: str | Location) -> Run:
        """Read what `save` wrote.

        Raises:
            RunError: The folder is missing or not whole, or of another version.
            RemoteError: It is behind a URL, and cannot be read.
        """
        place = location(path)
        require_files(place, (SCHEMA, LEARNT, f"{WEIGHTS}.index", MANIFEST))
        if isinstance(place, Path):
            return cls._read(place)
        copy = TemporaryFolder()
        with called(copy.path, place):
            fetch_folder(place, copy.path, without=(CHECKPOINTS, LOGS))
            found = cls._read(copy.path)
        found.path, found._copy = place, copy
        return found

    @classmethod
    def _read(cls, path: Path) -> Run:
        schema, learnt, vocabulary = _read_learnt(path)
        try:
            history, metrics, manifest = (json.loads((path / name).read_text()) for name in (HISTORY, METRICS, MANIFEST))
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from None
        require_readable(path, manifest)
        if metrics.get("format") != METRICS_FORMAT:
            metrics = {}  # of another version: the run can be evaluated again
        files = {table: str(path / VOCABULARY / f"{table}.txt") for table in vocabulary_tables(schema)}
        model = build_model(schema, learnt, files)
        model.network(blank_batch(schema), twins=True)
        if (reason := read_variables(tf.train.Checkpoint(network=model.network), path / WEIGHTS)) is not None:
            raise RunError(f"{path / WEIGHTS}: do not fit the schema: {reason}. The run is not whole: fit again.")
        return cls(schema, learnt, vocabulary, model, history, metrics.get("splits", {}), manifest, path)

    def read_optimizer_state(self) -> bool:
        """Read what the optimisers kept, for another fit to start from; whether the run has kept it."""
        if self.path is None:
            return False
        with fetched_folder(self.path, without=(LOGS,)) as folder:
            return self._read_optimizer_state(folder)

    def _read_optimizer_state(self, folder: Path) -> bool:
        newest = newest_in(folder / CHECKPOINTS)
        if newest is None:
            return False
        self.model.create_variables()
        everything = tf.train.Checkpoint(
            network=self.model.network, objective=self.model.objective, optimizer=self.model.optimizer
        )
        if (reason := read_variables(everything, newest / VARIABLES)) is not None:
            raise RunError(f"{newest}: cannot be read: {reason}. Remove it, and try again.")
        # These were the last weights, and the best ones are the run's.
        if (reason := read_variables(tf.train.Checkpoint(network=self.model.network), folder / WEIGHTS)) is not None:
            raise RunError(f"{folder / WEIGHTS}: cannot be read: {reason}. The run is not whole: fit again.")
        return True

    def base_for(self, schema: FunnelSchema) -> Known:
        """What a schema's rows are encoded with where its fit starts from this run: tables and scales that mean the same."""
        return _base(self.schema, self.learnt, self.vocabulary, schema)

    def store(self, data: Any = None, split: Split = "test", *, labels: bool, schema: FunnelSchema | None = None) -> Store:
        """Rows of a split, encoded with this run's vocabulary; they go with the store that is returned.

        Args:
            data: A folder, or frames; None for the schema's own.
            split: Which rows of the folder.
            labels: Whether they are read.
            schema: The run's, but for what it says of where rows are; None for the run's.

        Raises:
            DataError: Labels of a test are asked for, and the rows are those of the training.
        """
        origin = origin_of(self.schema, data)
        if labels:
            require_others(self.schema, origin, split, self.manifest.get("data"))
        folder, known = TemporaryFolder(), Known(self.learnt, self.vocabulary)
        return make_store(
            schema or self.schema, {split: origin}, folder.path / "store", labels=labels, known=known, owner=folder
        )

    def evaluate(
        self, data: Any = None, split: Split = "test", *, slices: Sequence[str] = (), truth: str | Path | None = None
    ) -> Report:
        """Judge every stage on a split of the schema's data, of another folder, or on frames.

        Args:
            data: A folder, or frames; None for the schema's own folder.
            split: Which rows of a folder.
            slices: Features by whose values the rows are parted, and judged part by part, beside those of `evaluate.slices`.
            truth: A Parquet file with the true probability of every conditional for every row, as `funnel simulate` writes it.

        Raises:
            DataError: The data are not what the schema says, a slice is no categorical or numeric feature, or the truth is of
                other rows.
        """
        columns = require_sliceable(self.schema, [*self.schema.slices, *slices])
        store = self.store(data, split, labels=True)
        shards, sampled = store.shards(split), is_sampled(self.schema, split, store.manifest)
        true = None
        if truth is not None:
            position = np.concatenate([star.position for star in shards])
            true = read_truth(truth, self.schema.conditional_names, position, store.manifest["splits"][split]["read"])
        return self.judge(shards, sampled=sampled, slices=columns, truth=true)

    def judge(
        self,
        shards: Shards,
        *,
        sampled: bool = False,
        slices: Sequence[str] = (),
        truth: np.ndarray | None = None,
        brief: bool = False,
        logits: Sequence[np.ndarray] | None = None,
    ) -> Report:
        """Judge every stage on rows with labels.

        Args:
            shards: The rows.
            sampled: Whether they were sampled as the schema says: each then counts for all that it stands for.
            slices: Features by whose values the rows are parted.
            truth: The true probability of each conditional: float64 [rows, stages].
            brief: Figures only: no intervals, no curves, no slices.
            logits: Of each shard what the model says, where that is known: conditional, float32 [rows, stages].

        Raises:
            DataError: They have no labels.
        """
        found = self.gathered(shards, sampled=sampled, features=() if brief else slices, brief=brief, logits=logits)
        return judge(
            found.outcomes,
            constant=constant_stages(self.schema.stage_names, found.outcomes.logits),
            cuts=self.cuts(found),
            truth=truth,
            group_by=self.schema.evaluate.group_by,
            brief=brief,
        )

    def gathered(
        self,
        shards: Shards,
        *,
        sampled: bool = False,
        features: Sequence[str] = (),
        brief: bool = False,
        logits: Sequence[np.ndarray] | None = None,
    ) -> Gathered:
        """What the model says of rows with labels, and what happened; see `gather`, and `judge` for logits that are known."""
        told = None if logits is None else iter(logits)
        say = self.logits if told is None else lambda _: next(told)
        return gather(self.model, shards, say, sampled=sampled, features=features, brief=brief)

    def importance(
        self,
        data: Any = None,
        split: Split = "test",
        *,
        rows: int = ROWS,
        repeats: int = REPEATS,
        seed: int = 0,
        watch: Watch = lambda _: None,
    ) -> Importance:
        """By how much each probability gets worse when a feature's values are dealt out anew among rows.

        Args:
            data: A folder, or frames; None for the schema's own.
            split: Which rows of the folder.
            rows: How many of them, at most; drawn at random.
            repeats: How often the values of each feature are dealt out; losses are means.
            seed: Of both.
            watch: Called with each Progress.

        Raises:
            DataError: The data are not what the schema says.
        """
        origin = origin_of(self.schema, data)
        store = self.store(origin, split, labels=True)
        shards = store.shards(split)
        return measure_importance(
            self.model,
            drawn(shards, rows, seed),
            self.logits,
            of=shards.rows,
            data=str(origin),
            split=split,
            sampled=is_sampled(self.schema, split, store.manifest),
            repeats=repeats,
            seed=seed,
            watch=watch,
        )

    def cuts(self, found: Gathered) -> list[Cut]:
        """The parts of rows by the features that were gathered with them."""
        return [cut(self.schema, self.vocabulary, name, column) for name, column in found.columns.items()]

    def logits(self, star: Star) -> np.ndarray:
        """Conditional logits of all facts of a star, in their order: float32 [rows, stages]."""
        return self._predictor.logits(star, self.schema.evaluate.batch_size)

    def predict(self, data: Any = None, split: Split | None = None, *, logits: bool = False) -> dict[str, np.ndarray]:
        """Every probability and declared score by name for every row, in their order: float32 [rows]. Needs no labels.

        A row's numbers are the same bits, whatever other rows there are. A row that could not be used, where the schema skips
        these, has NaN; so has one of the other split, where `data.test` parts the files and a split is asked for.

        Args:
            data: A folder, or frames; None for the schema's own.
            split: Which rows of the folder. Default: those of the test files; where there are none, or `data.test` parts the
                files, every row of the training files.
            logits: Adds what the log losses of `evaluate` are computed from: `buy_logit`, cumulative, float64 [rows], and
                `buy_given_click_logit`, conditional, float32 [rows]. A probability rounds to 1 where a logit still tells.

        Raises:
            SchemaError: A stage is called as a column of logits would be.
        """
        origin, schema = origin_of(self.schema, data), self.schema
        if split is None:
            split = "test"
            if origin.root is not None and (schema.data.test is not None or not patterns_of(schema, FACTS, "test")):
                split, schema = "train", unparted(schema)
        store = self.store(origin, split, labels=False, schema=schema)
        found: dict[str, np.ndarray] = {}
        for star in store.shards(split).once():
            for name, values in self.predictions(star, logits=logits).items():
                if name not in found:
                    found[name] = np.full(store.manifest["splits"][split]["read"], np.nan, values.dtype)
                found[name][star.position] = values
        return found

    def predictions(self, star: Star, *, logits: bool = False) -> dict[str, np.ndarray]:
        """What `predict` gives, of all facts of a star, in their order: each [rows]."""
        conditional = self.logits(star)
        absent = absent_stages(self.model, star)
        made = columns(self.model, conditional, absent)
        found = made | score_columns(self.schema, star, made)
        return found | (logit_columns(self.model, conditional, absent) if logits else {})

    def export(
        self,
        path: str | Location,
        *,
        tables: Kind = "float32",
        min_count: int | None = None,
        data: Any = None,
        split: Split = "test",
    ) -> Location:
        """Write a SavedModel that takes raw values.

        What smaller tables cost is measured on rows with labels, and stands in its `assets.extra/export.json` and `.md`.

        Args:
            path: A version, `DIR/3`, or the folder of the versions, which gets the next one: `DIR/1` at first. A URL, too: a
                server that looks there never finds half a model.
            tables: What embeddings are stored as: `float32`, `float16`, or `int8` with a scale for each row.
            min_count: Ids that training rows hold less often are not stored, and served as unknown ones; None stores all.
            data: What to measure on: a folder, or frames; None for the folder that the run was fitted on, where that is there.
            split: Which rows of the folder.

        Returns:
            The version's folder.

        Raises:
            RunError: The version is already there, or it cannot be written; or the tables cannot be stored so.
            DataError: Rows were given, and are not what the schema says.
        """
        path = version_folder(location(path))
        if path.exists():
            require_writable(path, RunError)
        stored = compact(self.model, self.vocabulary, tables, min_count)
        found = self._effect(stored, data, split)
        with whole_folder(path, RunError, last=SAVED_MODEL) as folder:
            terms = {table: ids.head(SHOWN).to_list() for table, ids in stored.vocabulary.terms.items()}
            export(self.model, stored, folder, fields_of(self.schema, self.learnt, terms), found)
        return path

    def _effect(self, stored: Compact, data: Any, split: Split) -> dict[str, Any] | str:
        """What stored tables cost; or why that is not known."""
        tables = stored.in_place_of(self.model.network.widths)
        if tables is None:
            return "the tables are as they were learnt."
        fitted_on = self.manifest.get("data")
        try:
            if data is None and (fitted_on is None or not location(fitted_on).is_dir()):
                return f"there are no rows to measure on: the run was fitted on {fitted_on}. Give a folder with labels."
            origin = origin_of(self.schema, fitted_on if data is None else data)
            store = self.store(origin, split, labels=True)
        except (DataError, RemoteError) as error:
            if data is not None:
                raise
            return f"there are no rows to measure on: {error}"
        sampled = is_sampled(self.schema, split, store.manifest)
        return effect(self.model, store.shards(split), tables, str(origin), split, sampled=sampled).as_dict()


def versions() -> dict[str, str]:
    """What the run was made with."""
    packages = ("tensorflow", "tf-keras", "tensorflow-recommenders", "numpy", "polars")
    return {"funnel": funnel.__version__, "python": platform.python_version()} | {name: version(name) for name in packages}


def base_of(path: str | Path, schema: FunnelSchema) -> Known:
    """What `Run.base_for` gives, of a run that is not loaded.

    Raises:
        RunError: The folder is missing or not whole.
    """
    place = location(path)
    require_files(place, (SCHEMA, LEARNT))
    with fetched_folder(place, without=(CHECKPOINTS, LOGS)) as folder:
        return _base(*_read_learnt(folder), schema)


def _read_learnt(path: Path) -> tuple[FunnelSchema, Learnt, Vocabulary]:
    schema = load_schema(path / SCHEMA, layers=False)
    try:
        learnt = Learnt.model_validate_json((path / LEARNT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    try:
        for changed in find_again(schema, path / LAYERS):
            warnings.warn(changed, stacklevel=2)
    except UnusableError as error:
        raise RunError(f"{path / SCHEMA}: model.body: {error}") from None
    return schema, learnt, Vocabulary.load(path / VOCABULARY, vocabulary_tables(schema))


def _base(theirs: FunnelSchema, learnt: Learnt, vocabulary: Vocabulary, schema: FunnelSchema) -> Known:
    # A default of serving is no part of how rows are read.
    before, now = (
        {feature.name: feature.model_dump(exclude={"serving_default"}) for feature in one.features} for one in (theirs, schema)
    )
    same = {name for name, feature in before.items() if now.get(name) == feature}
    scales = {name: scale for name, scale in learnt.scales.items() if name in same}
    return Known(learnt.model_copy(update={"scales": scales}), vocabulary.only(vocabulary_tables(schema)))
