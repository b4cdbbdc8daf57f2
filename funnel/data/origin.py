"""Where rows come from: the folder a schema names, another one, or frames; and how to tell whether they changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from funnel.data.arrays import checksum
from funnel.data.readers import find_files, has_files
from funnel.errors import DataError, RemoteError
from funnel.locations.location import Location, below, location
from funnel.locations.remote import Remote
from funnel.locations.transfer import copying, fetched
from funnel.schema.data import FACTS, Held
from funnel.schema.funnel_schema import FunnelSchema

Split = Literal["train", "validation", "test"]
SAMPLE = 1 << 16


@dataclass(frozen=True)
class Origin:
    """Where rows are: a folder with files, here or behind a URL, or frames.

    Attributes:
        root: The folder that a schema's patterns start from, or None.
        frames: By source: pandas or polars frames; used where there is no folder.
    """

    root: Location | None = None
    frames: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return str(self.root) if self.root is not None else "the frames given"


def origin_of(schema: FunnelSchema, data: Any = None, schema_file: str | Location | None = None) -> Origin:
    """Understand what a caller gave as data.

    Args:
        schema: The declaration.
        data: A folder; a pandas or polars frame of facts; a mapping of such frames by source; or None for `data.root`.
        schema_file: The file that the schema was read from; a relative `data.root` is looked for beside it and above, too;
            that beside it is taken where the folder here has none of the rows.

    Raises:
        DataError: There is no such folder, or it was not copied whole.
        RemoteError: A URL that cannot be looked at.
    """
    if isinstance(data, Origin):
        return data
    if isinstance(data, Mapping):
        return Origin(frames=data)
    if data is not None and not isinstance(data, str | Path | Remote):
        return Origin(frames={FACTS: data})
    if data is not None:
        return Origin(root=_require_folder(location(data), "Correct `--data`."))
    declared = location(schema.data.root)
    if isinstance(declared, Remote):
        return Origin(root=_require_folder(declared, "Correct `data.root`, or give `--data DIR`."))
    around = _around(location(schema_file)) if schema_file is not None and not declared.is_absolute() else ()
    there = [base / declared for base in (Path(), *around) if (base / declared).is_dir()]
    if there:
        # A folder such as `.` is everywhere. Of that here and that beside the schema, the first with rows is meant.
        near, rows = [base / declared for base in (Path(), *around[:1])], patterns_of(schema, FACTS, "train")
        return Origin(root=next((root for root in there if root in near and has_files(root, rows)), there[0]))
    raise DataError(f"data.root: no folder {schema.data.root!r} from here, expected one with the data. Give `--data DIR`.")


def unparted(schema: FunnelSchema) -> FunnelSchema:
    """The same declaration without `data.test`: all rows of the files are one split."""
    return schema.model_copy(update={"data": schema.data.model_copy(update={"test": None})})


def require_others(schema: FunnelSchema, origin: Origin, split: Split, fitted_on: str | None) -> None:
    """Refuse to test on training rows.

    Args:
        schema: The declaration.
        origin: Where rows are asked for.
        split: Which of them.
        fitted_on: The folder that was trained on, where that is known.

    Raises:
        DataError: The files of the facts serve every split, no share of them is held out, and they are those of the training.
    """
    if split != "test" or schema.data.facts.files is None or schema.data.test is not None:
        return
    if origin.root is not None and fitted_on is not None and _same(origin.root, location(fitted_on)):
        raise DataError(
            f"data.facts.files: got {schema.data.facts.files!r}, which are the training rows, expected others to test on. "
            "Declare `data.test` and fit again, or give other rows with `--data DIR`; `--split train` judges the training rows."
        )


def _same(one: Location, other: Location) -> bool:
    if isinstance(one, Remote) or isinstance(other, Remote):
        return str(one) == str(other)
    return one.resolve() == other.resolve()


def _around(schema_file: Location) -> Sequence[Location]:
    return schema_file.parents if isinstance(schema_file, Remote) else schema_file.resolve().parents


def _require_folder(root: Location, repair: str) -> Location:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder, expected one with the data. {repair}")
    if isinstance(root, Remote) and (by := copying(root)) is not None:
        raise DataError(f"{root}: was not copied whole: it is being copied {by}, or that was stopped. Copy it again.")
    return root


def is_simulated(root: str | Location) -> bool:
    """Whether `funnel simulate` drew the rows of a folder: it writes the truth beside them."""
    try:
        return (location(root) / "truth").is_dir()
    except RemoteError:
        return False  # who cannot look there is not told


def splits_of(schema: FunnelSchema, origin: Origin) -> dict[Split, Origin]:
    """The splits that an origin has: frames are training rows."""
    found: dict[Split, Origin] = {"train": origin}
    if origin.root is None:
        return found
    for split in ("validation", "test"):
        if (split == "validation" and patterns_of(schema, FACTS, split) != patterns_of(schema, FACTS, "train")) or (
            split == "test"
            and (schema.data.test is not None or (schema.data.facts.files is None and schema.data.facts.test is not None))
        ):
            found[split] = origin
    return found


def files_of(schema: FunnelSchema, splits: Mapping[Split, Origin]) -> dict[str, dict[str, Any]]:
    """By file that the splits read: its size, when it was changed, and a hash of its ends and middle; {} for frames.

    Of files behind URLs, the hash or version that their filesystem keeps, or else the time, stands for the latter two.
    """
    found: dict[str, dict[str, Any]] = {}
    for split, origin in splits.items():
        if origin.root is None:
            continue
        for source in schema.sources:
            for path in find_files(origin.root, patterns_of(schema, source, split), source):
                # Two folders may have a file of one name.
                found[f"{split} {source} {below(path, origin.root)}"] = _about(path)
    return found


def _about(path: Location) -> dict[str, Any]:
    if isinstance(path, Remote):
        return {"size": path.size, "changed": path.mark, "path": str(path)}
    status = path.stat()
    sample = _sample(path, status.st_size)
    return {"size": status.st_size, "changed": status.st_mtime_ns, "sample": sample, "path": str(path)}


def hashes_of(files: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The SHA-256 of each file's whole content."""
    found = {}
    for name, file in files.items():
        with fetched(location(file["path"])) as copy:
            found[name] = checksum(copy)
    return found


def fingerprint(
    schema: FunnelSchema,
    splits: Mapping[Split, Origin],
    files: Mapping[str, Mapping[str, Any]],
    *,
    labels: bool,
    known: str = "",
) -> str | None:
    """A hash of all that a store depends on; None for frames.

    Args:
        schema: The declaration: of it what says how rows are read and encoded, not the network nor the fit.
        splits: What is read.
        files: From `files_of`.
        labels: Whether labels are read.
        known: A hash of the vocabulary, where one is given.
    """
    if any(origin.root is None for origin in splits.values()):
        return None
    seen = {name: {key: value for key, value in file.items() if key != "path"} for name, file in files.items()}
    content = {"format": FORMAT, "schema": read_part(schema), "files": seen, "labels": labels, "known": known}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


FORMAT = 3  # of stores: another one is not read


def read_part(schema: FunnelSchema) -> dict[str, Any]:
    """What of a schema says how rows are read and encoded."""
    tree = schema.model_dump(mode="json", include={"stages", "inconsistent_labels", "data", "tables", "features"})
    tree["data"].pop("root")
    if schema.data.test is None:
        tree["data"].pop("test")  # stores that were made before there was such a thing are as good as ever
    # Rates of what is learnt, and counts, depend on it; that test rows were sampled matters to their scores alone.
    tree["sampling"] = schema.sampling.model_dump(mode="json", exclude={"test"}) if schema.sampling is not None else None
    tree["group_by"] = schema.evaluate.group_by
    tree["domain"] = schema.domain_feature if schema.has_absent_stages else None
    for part in [*tree["tables"].values(), *tree["features"], *(f["transform"] for f in tree["features"] if "transform" in f)]:
        for key in ("dim", "pooling", "query", "positions", "serving_default", "compress", "frequencies", "sigma"):
            part.pop(key, None)
    return tree


def _sample(path: Path, size: int) -> str:
    """A hash of the first, middle and last bytes."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for place in (0, size // 2, max(0, size - SAMPLE)):
                file.seek(place)
                digest.update(file.read(SAMPLE))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. Make it readable, or correct the pattern.") from None
    return digest.hexdigest()


def patterns_of(schema: FunnelSchema, source: str, split: Split) -> tuple[str, ...]:
    """The patterns of the files that hold a split's rows of a source."""
    validation = schema.data.validation
    if schema.data.test is not None and split == "test":
        split = "train"
    if split == "validation" and source == FACTS and isinstance(validation, Held):
        return (validation.files,) if isinstance(validation.files, str) else tuple(validation.files)
    return schema.files_of(source).patterns("test" if split == "test" else "train")
