"""What the Tab key offers for the values of arguments: each asks as little as it can, and never imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

SCHEMA_ENDINGS = (".yaml", ".yml")


def schema_files(incomplete: str) -> list[str]:
    """The YAML files that a path may go on to, and the folders on the way, which end in a slash."""
    return _paths(incomplete, lambda path: path.suffix in SCHEMA_ENDINGS)


def run_folders(incomplete: str) -> list[str]:
    """The runs that a path may go on to, and the folders on the way, which end in a slash."""
    return [path.removesuffix("/") if _is_run(Path(path)) else path for path in _paths(incomplete, lambda _: False)]


def splits(incomplete: str) -> list[str]:
    """Which rows of a folder there are."""
    return _starting(incomplete, ("train", "test"))


def table_kinds(incomplete: str) -> list[str]:
    """What embeddings may be stored as."""
    return _starting(incomplete, ("float32", "float16", "int8"))


def objectives(incomplete: str) -> list[str]:
    """A list with commas, whose last name goes on to one that is not in it yet."""
    # pydantic takes a while: it is imported only where it is asked.
    from funnel.schema.objective import KINDS  # noqa: PLC0415

    *before, last = incomplete.split(",")
    names = [f"{kind}{suffix}" for kind in KINDS for suffix in ("", "-ns")]
    return [",".join([*before, name]) for name in _starting(last, names) if name not in before]


def features(runs: Sequence[str], incomplete: str) -> list[str]:
    """The features of the first of some runs, by which its rows may be told apart."""
    # The schema's own reader would import layers of the user's, and with them TensorFlow.
    from ruamel.yaml import YAML  # noqa: PLC0415
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        first = Path(runs[0])
        declared: Any = YAML(typ="safe", pure=True).load((first / "schema.yaml").read_text(encoding="utf-8"))
        return _starting(incomplete, [str(feature["name"]) for feature in declared["features"]])
    except (OSError, UnicodeError, YAMLError, LookupError, TypeError):
        return []  # Who presses Tab wants no message.


def _starting(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _paths(incomplete: str, wanted: Callable[[Path], bool]) -> list[str]:
    """Folders, and files that are wanted, beside what was typed; hidden ones only after a dot."""
    around, slash, begun = incomplete.rpartition("/")
    folder = Path(f"{around}{slash}" or ".").expanduser()
    try:
        there = sorted(folder.iterdir())
    except OSError:
        return []
    return [
        f"{around}{slash}{path.name}{'/' if path.is_dir() else ''}"
        for path in there
        if path.name.startswith(begun) and (begun or not path.name.startswith(".")) and (path.is_dir() or wanted(path))
    ]


def _is_run(path: Path) -> bool:
    return (path / "manifest.json").is_file() and (path / "schema.yaml").is_file()
