"""Raw rows -> an encoded store, out of core: read once, grouped into shards, ids counted, then encoded."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from funnel.data.arrays import checksum
from funnel.data.codes import NO_TEXTS
from funnel.data.columns import Columns, take
from funnel.data.keyed import parts_of, texts
from funnel.data.known import Known
from funnel.data.lookup import Lookup
from funnel.data.memory import give_back
from funnel.data.origin import Origin, Split
from funnel.data.parallel import in_order
from funnel.data.parts import Parts
from funnel.data.progress import Progress, Watch
from funnel.data.reading import Reading
from funnel.data.sampling import keep_rates
from funnel.data.shards import Condensed, Range, build, condense, encode, ranges
from funnel.data.split_reader import read
from funnel.data.stage_counts import StageCounts
from funnel.data.star import Star
from funnel.data.statistics import Learner, Seen
from funnel.data.store import LEARNT, VOCABULARY
from funnel.data.summary import FeatureSummary, summarise
from funnel.data.vocabulary import Vocabulary
from funnel.data.wanted import code_role
from funnel.schema.features import Cross
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt

CODES = "codes of "  # before a table's name in a draft: tables may be called as sources are


@dataclass
class _Split:
    """What becomes of a split: its shards, and what is known of its rows."""

    shards: list[dict[str, Any]] = field(default_factory=list)
    features: dict[str, FeatureSummary] = field(default_factory=dict)
    stages: list[StageCounts] = field(default_factory=list)

    def add(self, entry: dict[str, Any], summary: Mapping[str, FeatureSummary], stages: list[StageCounts]) -> None:
        """A shard, and the counts of its rows: as they are, and, where they were sampled, of all that they stand for."""
        self.shards.append(entry)
        self.stages = [one + more for one, more in zip(self.stages, stages, strict=True)] if self.stages else stages
        for name, feature in summary.items():
            self.features.setdefault(name, FeatureSummary()).add(feature)


@dataclass
class Preparation:
    """The work itself.

    Attributes:
        schema: The declaration.
        splits: Where the rows of each split are.
        folder: Where the store is made.
        labels: Whether labels are read.
        known: What a run has learnt; None to learn it from the training rows.
        base: What a run has learnt, to which the training rows add.
        seed: Of the codes' hash.
        watch: Called with each Progress.
        parts: What several machines have read; None to read the rows.
        made: By split: its shards, and what is known of its rows.
        about: By split: what reading it told.
        seconds: By part of the work.
        lookups: By table: how ids find their rows.
        last_position: The greatest position among the rows read last.
    """

    schema: FunnelSchema
    splits: Mapping[Split, Origin]
    folder: Path
    labels: bool
    known: Known | None
    base: Known | None
    seed: int
    watch: Watch
    parts: Parts | None = None
    made: dict[str, _Split] = field(default_factory=dict)
    about: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    lookups: dict[str, Lookup] = field(default_factory=dict)
    last_position: int = 0

    def run(self) -> dict[str, Any]:
        """Fill the folder; what the manifest says of it."""
        shutil.rmtree(self._work, ignore_errors=True)  # of a hash that collided
        self._work.mkdir()
        (self.folder / VOCABULARY).mkdir(exist_ok=True)  # also where no table has one
        if self.known is not None:
            self._write_learnt(self.known.learnt)
            for table in self.known.vocabulary.terms:
                self._keep(self.known.vocabulary.only([table]))
        elif "train" in self.splits:
            self._train(self.splits["train"])
        else:
            raise ValueError("got neither training rows nor what was learnt from some")
        for split, origin in self.splits.items():
            if split != "train" or self.known is not None:
                self._encoded(split, origin)
        shutil.rmtree(self._work, ignore_errors=True)
        splits = [split for split in ("train", "validation", "test") if split in self.made]
        return {"splits": {split: self._described(split) for split in splits}, "seconds": self.seconds}

    @property
    def _work(self) -> Path:
        return self.folder / "work"

    # The training rows: drafts first, since nothing can be looked up before everything is counted.

    def _train(self, origin: Origin) -> None:
        reading = self._read("train", origin, {})
        learner = Learner(self.schema, self._work, self.base)
        drafts: list[tuple[str, Path]] = []
        parts = self._parts(reading)

        def work(numbered: tuple[int, Columns]) -> list[tuple[str, Path, Seen | None]]:
            number, facts = numbered
            held = reading.held_out(facts)
            done: list[tuple[str, Path, Seen | None]] = []
            for split, mask in (("train", ~held), ("validation", held)):
                if mask.any():
                    star = build(self.schema, reading, take(facts, np.flatnonzero(mask)), parts)
                    condensed = condense(self.schema, star, count=split == "train")
                    path = self._work / f"{split}-{number}.draft"
                    condensed.star.save(path, **{CODES + table: codes for table, codes in condensed.codes.items()})
                    done.append((split, path, learner.see(condensed) if split == "train" else None))
            return done

        with self._timed("grouping"):
            for done in in_order(work, self._shards_of(reading, "grouping rows")):
                for split, path, seen in done:
                    drafts.append((split, path))
                    if seen is not None:
                        learner.add(seen, Star.load(path, self.schema.sources)[0])
        self._forget(reading)
        with self._timed("vocabulary"):
            training = [path for split, path in drafts if split == "train"]

            def again() -> Iterator[Star]:
                return (Star.load(path, self.schema.sources)[0] for path in training)

            self._write_learnt(learner.learnt(reading.texts, again, self._keep))

        def finish(draft: tuple[str, Path]) -> tuple[str, Condensed]:
            star, codes = Star.load(draft[1], self.schema.sources)
            return draft[0], Condensed(star, {name.removeprefix(CODES): array for name, array in codes.items()}, {})

        with self._timed("encoding"):
            self._write((finish, drafts), len(drafts))

    # Other rows: with a vocabulary at hand, a shard is encoded as soon as it is grouped.

    def _encoded(self, split: Split, origin: Origin) -> None:
        reading = self._read(split, origin, {table: found.texts for table, found in self.lookups.items()})
        parts = self._parts(reading)

        def finish(numbered: tuple[int, Columns]) -> tuple[str, Condensed]:
            return split, condense(self.schema, build(self.schema, reading, numbered[1], parts), count=False)

        with self._timed(f"encoding {split}"):
            self._write((finish, self._shards_of(reading, f"encoding {split} rows")), 0)
        self._forget(reading)

    # What both have in common.

    def _read(self, split: Split, origin: Origin, known: Mapping[str, pl.DataFrame]) -> Reading:
        with self._timed(f"reading {split}"):
            folder = self._work / split
            if self.parts is not None:
                reading = self.parts.read(self.schema, origin, split, folder)
            else:
                reading = read(self.schema, origin, split, folder, labels=self.labels, seed=self.seed, watch=self.watch)
            reading.require_injective(known)
        self.last_position = max(0, reading.rows - 1)
        self.about[split] = {
            "read": reading.rows,
            "apart": reading.apart,
            "inconsistent_labels": {"policy": self.schema.inconsistent_labels, "rows": reading.violations},
            "elsewhere": reading.elsewhere,
            "young": {stage: {"rows": rows, "positives": positives} for stage, (rows, positives) in reading.young.items()},
            "skipped": {source: faults.as_dict() for source, faults in reading.faults.items()},
        }
        return reading

    def _parts(self, reading: Reading) -> dict[str, pl.DataFrame]:
        """By feature that crosses need: its ids that are not their own codes."""
        names = {name for feature in self.schema.features if isinstance(feature, Cross) for name in feature.of}
        found = {}
        for name in names:
            gathered = reading.texts.get(code_role(name)) or texts(self._work / "no texts")
            rows = [part for (part,) in parts_of(gathered) if part.height]
            found[name] = pl.concat(rows) if rows else NO_TEXTS
        return found

    def _shards_of(self, reading: Reading, what: str) -> Iterator[tuple[int, Columns]]:
        found: Sequence[Range] = ranges(self.schema, reading)
        number = 0
        for done, one in enumerate(found, 1):
            for facts in reading.facts.read(one.first, one.last, one.most):
                yield number, facts
                number += 1
            self.watch(Progress(what, done, len(found), "shards"))

    def _write(self, work: tuple[Callable[[Any], tuple[str, Condensed]], Any], total: int) -> None:
        finish, items = work
        numbers = count()  # several are written at once

        def write(item: Any) -> tuple[str, dict[str, Any], dict[str, FeatureSummary], list[StageCounts]]:
            split, condensed = finish(item)
            rows = {table: self.lookups[table].find(codes) for table, codes in condensed.codes.items()}
            star = encode(self.schema, condensed, rows, self.last_position)
            part = self.folder / f"{next(numbers)}.part"
            star.save(part)
            entry = {"file": str(part), "rows": star.rows, "bytes": part.stat().st_size, "sha256": checksum(part)}
            return split, entry, summarise(self.schema, star), self._counted(star)

        for done, (split, entry, summary, stages) in enumerate(in_order(write, items), 1):
            made = self.made.setdefault(split, _Split())
            name = f"{split}-{len(made.shards):05d}.shard"
            Path(entry["file"]).rename(self.folder / name)
            made.add(entry | {"file": name}, summary, stages)
            if total:
                self.watch(Progress("encoding", done, total, "shards"))

    def _counted(self, star: Star) -> list[StageCounts]:
        if star.labels is None:
            return []
        counts = [StageCounts.of(self.schema.topology, star.labels)]
        if self.schema.sampling is not None:
            stands_for = (1 / keep_rates(self.schema, star.labels)).astype(np.float32)
            counts.append(StageCounts.of(self.schema.topology, star.labels, stands_for))
        return counts

    def _write_learnt(self, learnt: Learnt) -> None:
        (self.folder / LEARNT).write_text(learnt.model_dump_json(indent=1), encoding="utf-8")

    def _keep(self, vocabulary: Vocabulary) -> None:
        """Write a vocabulary down, and be ready to look its ids up; their texts are not held any longer."""
        vocabulary.save(self.folder / VOCABULARY)
        for table in vocabulary.terms:
            self.lookups[table] = vocabulary.lookup(table, self.seed)

    def _described(self, split: str) -> dict[str, Any]:
        made = self.made[split]
        return {
            **self.about.get(split, self.about.get("train", {})),
            "rows": sum(shard["rows"] for shard in made.shards),
            "stages": {name: int(made.stages[0].reached[place]) for place, name in self._named(made)},
            "spaces": {name: _space(made.stages, place) for place, name in self._named(made)},
            "features": {name: summary.as_dict(self.schema.feature(name)) for name, summary in made.features.items()},
            "shards": made.shards,
        }

    def _named(self, made: _Split) -> list[tuple[int, str]]:
        """The stages, where there are labels."""
        return list(enumerate(self.schema.stage_names)) if made.stages else []

    def _forget(self, reading: Reading) -> None:
        for spill in (reading.facts, *reading.dimensions.values()):
            spill.remove()

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        """A part of the work: its time is kept, its memory is not."""
        begun = time.perf_counter()
        yield
        self.seconds[what] = round(time.perf_counter() - begun, 3)
        give_back()


def _space(stages: list[StageCounts], place: int) -> dict[str, Any]:
    """A stage's rows: with a known label in its conditional's space, those of them with it, and all with an unknown one."""
    counts = stages[0]
    found: dict[str, Any] = {
        "rows": int(counts.given[place]),
        "positives": int(counts.passed[place]),
        "unknown": int(counts.rows - counts.absent[place] - counts.known[place]),
    }
    if len(stages) > 1:
        found["unsampled"] = {"rows": float(stages[1].given[place]), "positives": float(stages[1].passed[place])}
    return found
