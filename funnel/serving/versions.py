"""Version folders, as TensorFlow Serving looks for them: DIR/1, DIR/2, ...; the greatest number is served."""

from __future__ import annotations

from funnel.errors import RunError
from funnel.locations.location import Location

LARGEST = 2**63 - 1  # that TensorFlow Serving can read
SAVED_MODEL = "saved_model.pb"


def version_folder(path: Location) -> Location:
    """Where to write: the path itself where its last part is a version, else the next version inside it.

    Raises:
        RunError: The last part is a number that is no version, or the folder around the version is a model itself.
    """
    name = path.name
    if name.isascii() and name.isdecimal():
        if str(int(name)) != name or int(name) > LARGEST:
            raise RunError(
                f"{path}: got the version {name}, expected a whole number such as 1, without zeros before it. Change it."
            )
        _require_no_model(path.parent)
        return path
    _require_no_model(path)
    return path / str(max((int(one.name) for one in _versions(path)), default=0) + 1)


def newest_version(path: Location) -> Location | None:
    """The version in a folder that is served: that of the greatest number; None where there is none."""
    return max(_versions(path), key=lambda one: int(one.name), default=None)


def _versions(path: Location) -> list[Location]:
    return [one for one in path.iterdir() if one.name.isascii() and one.name.isdecimal()] if path.is_dir() else []


def _require_no_model(folder: Location) -> None:
    if (folder / SAVED_MODEL).exists():
        message = (
            "is a model itself, expected a folder for its versions. Choose another --out, or move it to a folder 1 inside."
        )
        raise RunError(f"{folder}: {message}")
