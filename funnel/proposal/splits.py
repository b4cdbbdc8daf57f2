"""Which files of a table hold training, validation and test rows, by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from funnel.locations.location import Location

TEST = {"test", "testing", "eval", "evaluation", "holdout"}
VALIDATION = {"valid", "validation", "val", "dev"}
TRAIN = {"train", "training"}
DATE = re.compile(r"(?:19|20)\d\d[-_]?(?:0[1-9]|1[0-2])(?:[-_]?(?:0[1-9]|[12]\d|3[01]))?")


@dataclass(frozen=True)
class Splits:
    """The files of a table.

    Attributes:
        name: What they have in common.
        train: Those of the training rows.
        validation: Those of validation rows, maybe none.
        test: Those of test rows, maybe none.
        reason: How this was found out, where there is more to it than one kind of rows.
    """

    name: str
    train: tuple[Location, ...]
    validation: tuple[Location, ...] = ()
    test: tuple[Location, ...] = ()
    reason: str = ""


def splits_of(paths: Sequence[Location]) -> Splits:
    """Part files of one table: by words of their names, or the latest by a date in them."""
    by_kind: dict[str, list[Location]] = {"train": [], "validation": [], "test": []}
    for path in paths:
        by_kind[_kind(path)].append(path)
    train, validation, test = (tuple(by_kind[kind]) for kind in ("train", "validation", "test"))
    reason = "by the files' names" if validation or test else ""
    if not train:  # without training rows, those held out, or the only ones, are
        train, validation, test = (validation, (), test) if validation else (test, (), ())
        reason = "by the files' names" if test else ""
    name = _common(train)
    dated = [_date(path) for path in train]
    if not test and None not in dated and len(set(dated)) > 1:
        latest = max(str(one) for one in dated)
        test = tuple(path for path, one in zip(train, dated, strict=True) if one == latest)
        train = tuple(path for path in train if path not in test)
        reason = f"the latest by the dates in the files' names ({latest})"
    return Splits(name, train, validation, test, reason)


def words(text: str) -> list[str]:
    """The words of a name, in lower case: `isClicked_at` has is, clicked, at."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return [word for word in re.split(r"[\W_]+", apart.casefold()) if word]


def stem(path: Location) -> str:
    """A file's name without its endings."""
    return path.name.partition(".")[0] or path.name


def _kind(path: Location) -> str:
    for found in (set(words(stem(path))), set(words(path.parent.name))):
        for kind, said in (("test", TEST), ("validation", VALIDATION), ("train", TRAIN)):
            if found & said:
                return kind
    return "train"


def _date(path: Location) -> str | None:
    match = DATE.search(path.name)
    return re.sub(r"[-_]", "", match[0]) if match else None


def _common(paths: Sequence[Location]) -> str:
    """The words that the files' names have in common, without those of a split: offers-train -> offers."""
    of = [words(stem(path)) for path in paths]
    shared = [word for word in of[0] if all(word in one for one in of) and word not in TEST | VALIDATION | TRAIN]
    return "_".join(word for word in shared if not word.isdigit()) or "facts"
