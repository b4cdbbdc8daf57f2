"""A layer of the user's own: found, imported, and looked at. TensorFlow is not imported here: the user's module does that."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import module_from_spec, spec_from_file_location
from inspect import Parameter, isclass, signature
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, NamedTuple

from funnel.errors import have, listed

GIVEN = ("self", "seed", "name", "trainable", "dtype", "dynamic")  # arguments that all layers of Keras have, and the fit's seed


class UnusableError(ValueError):
    """What a schema names is no layer that can be used.

    Attributes:
        key: The part of the declaration that is not right: `layer`, `config`, or `config.units`.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class Found(NamedTuple):
    """What a path leads to.

    Attributes:
        make: The class, or the function that gives a layer.
        name: What it is called.
        module: The name of the module that it is written in.
        file: The module's file; None where it has none.
        folder: The one that it was found from: what has to be on Python's path, or what a file is named from; None likewise.
    """

    make: Callable[..., Any]
    name: str
    module: str
    file: Path | None
    folder: Path | None

    @property
    def text(self) -> bytes | None:
        """The module's source; None where there is none to read."""
        if self.file is None or self.file.suffix != ".py":
            return None
        try:
            return self.file.read_bytes()
        except OSError:
            return None

    @property
    def sha256(self) -> str | None:
        """Of its source."""
        return None if self.text is None else hashlib.sha256(self.text).hexdigest()

    @property
    def package(self) -> tuple[str, str] | None:
        """The distribution that it was installed with, and its version; None of a loose file."""
        for distribution in packages_distributions().get(self.module.partition(".")[0], ()):
            try:
                return distribution, version(distribution)
            except PackageNotFoundError:
                continue
        return None


def found(layer: str, folders: Sequence[Path] = ()) -> Found:
    """Import what a path names.

    Args:
        layer: `package.module:Name`, or a file: `layers.py:Name`.
        folders: Where it is looked for, beside the current folder; for a module, after where Python looks.

    Raises:
        UnusableError: There is none, or importing it fails; says what there is.
    """
    path, _, name = layer.rpartition(":")
    if not path or not all(part.isidentifier() for part in name.split(".")):
        raise UnusableError("layer", f"got {layer!r}, expected `package.module:Name`, or a file: `layers.py:Name`. Write one.")
    places = list(dict.fromkeys(place.absolute() for place in (*folders, Path())))
    # Read when `tf.keras` is first touched, which may be by the user's module.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    module, folder = _of_file(path, places) if path.endswith(".py") else _of_name(path, places)
    target: Any = module
    for part in name.split("."):
        if not hasattr(target, part):
            own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
            raise UnusableError("layer", f"{path} has no {name!r} {have(name, own)} Correct the name.")
        target = getattr(target, part)
    if not callable(target):
        raise UnusableError("layer", f"{name} is {target!r}, expected a layer's class, or a function that returns a layer.")
    home = sys.modules.get(getattr(target, "__module__", None) or "", module)
    # What a package shows at its top may be written further down; what it only borrows from another one is not its own.
    home = home if home.__name__.partition(".")[0] == module.__name__.partition(".")[0] else module
    file = getattr(home, "__file__", None)
    return Found(target, name, home.__name__, None if file is None else Path(file), folder)


def require_usable(made: Found, config: Mapping[str, Any]) -> None:
    """Look at a class or function without calling it.

    Raises:
        UnusableError: It is no layer of tf_keras, or does not take the config.
    """
    if isclass(made.make):
        require_layer(made.make, made.name)
    takes, needs = arguments(made.make)
    for key in config:
        if takes is not None and key not in takes:
            shown = [name for name in takes if name not in GIVEN]
            raise UnusableError(f"config.{key}", f"{made.name} takes no such argument {have(key, shown)}")
    lacking = [name for name in needs if name not in config and name not in GIVEN]
    if lacking:
        raise UnusableError(
            "config", f"{made.name} needs {listed(lacking)}, expected every argument without a default. Add it."
        )


def require_layer(kind: type, name: str) -> None:
    """Refuse a class that is no layer of tf_keras.

    Raises:
        UnusableError: Of which Keras, or of none, it is.
    """
    bases = {(base.__module__.partition(".")[0], base.__name__) for base in kind.__mro__}
    if ("tf_keras", "Layer") in bases:
        return
    if ("keras", "Layer") in bases:
        raise UnusableError(
            "layer",
            f"{name} is a layer of Keras 3, expected one of tf_keras, which tensorflow-recommenders needs. Write `import "
            "tf_keras as keras` in its module.",
        )
    raise UnusableError("layer", f"{name} is no layer, expected one of tf_keras. Derive it from `tf_keras.layers.Layer`.")


def arguments(make: Callable[..., Any]) -> tuple[list[str] | None, list[str]]:
    """The arguments that it takes, None where it takes any; and those without a default."""
    if not isclass(make):
        named, more = _named(make)
        return None if more else [one.name for one in named], [one.name for one in named if one.default is Parameter.empty]
    takes: list[str] = []
    needs: list[str] | None = None
    for base in make.__mro__:
        if "__init__" not in vars(base):
            continue
        named, more = _named(vars(base)["__init__"])
        takes += [one.name for one in named]
        if needs is None:  # what a class hands on to its base it names itself
            needs = [one.name for one in named if one.default is Parameter.empty]
        if not more or base.__name__ == "Layer":
            break
    return list(dict.fromkeys(takes)), needs or []


def _named(function: Callable[..., Any]) -> tuple[list[Parameter], bool]:
    """The arguments that can be named, and whether it takes more."""
    each = list(signature(function).parameters.values())
    named = [one for one in each if one.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)]
    return named, any(one.kind is Parameter.VAR_KEYWORD for one in each)


def _of_file(path: str, places: Sequence[Path]) -> tuple[ModuleType, Path]:
    files = [place / path for place in places]
    place = next((place for place in places if (place / path).is_file()), None)
    if place is None:
        near = sorted({other.name for one in files if one.parent.is_dir() for other in one.parent.glob("*.py")})
        raise UnusableError("layer", f"{path}: no such file in {_in(places)} {have(Path(path).name, near)} Correct the path.")
    file = place / path
    # One whose text has changed is another module.
    digest = hashlib.sha256(str(file.resolve()).encode() + file.read_bytes()).hexdigest()
    name = f"{file.stem}_{digest[:16]}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise UnusableError("layer", f"{path}: is no Python, expected a module. Correct the path.")
        module = sys.modules[name] = module_from_spec(spec)
        with _on_path([file.parent]), _told(path):
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
    return sys.modules[name], place


def _of_name(name: str, places: Sequence[Path]) -> tuple[ModuleType, Path | None]:
    top = name.partition(".")[0]
    with _on_path(places), _told(name):
        try:
            importlib.invalidate_caches()
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # of what the module itself imports
            around = sys.modules.get(error.name.rpartition(".")[0])
            where = places if around is None else [Path(place) for place in getattr(around, "__path__", ())] or places
            near = sorted({other.stem for place in where for other in place.glob("*") if _is_module(other)})
            last = error.name.rpartition(".")[2]
            raise UnusableError(
                "layer",
                f"Python finds no module {error.name!r} in {_in(where)}, or where it looks {have(last, near)} Correct the path"
                ", or install the package.",
            ) from None
    file = getattr(module, "__file__", None)
    if file is None:
        return module, None
    root = Path(file).absolute().parents[name.count(".") + (Path(file).name == "__init__.py")]
    nearer = next(
        (place for place in places if any(map(Path.exists, (place / top / "__init__.py", place / f"{top}.py")))), root
    )
    if nearer.resolve() != root.resolve():
        raise UnusableError(
            "layer",
            f"Python takes {name!r} from {file}, and there is another one in {nearer}, expected one of that name. Rename it, "
            f"or name the file: `{name.replace('.', '/')}.py:...`.",
        )
    return module, root


def _is_module(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").is_file()


def _in(places: Sequence[Path]) -> str:
    return " or ".join(str(place) for place in places)


@contextmanager
def _on_path(places: Sequence[Path]) -> Iterator[None]:
    """Python looks there, too, last: a file there does not stand in for a module that is installed."""
    before = list(sys.path)
    sys.path += [str(place) for place in places if str(place) not in sys.path]
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What goes wrong in the user's module, as one line."""
    try:
        yield
    except UnusableError:
        raise
    except Exception as error:
        said = f"importing {name} failed: {type(error).__name__}: {' '.join(str(error).split())}"
        raise UnusableError("layer", f"{said}{_place(error)}, expected a module that can be imported. Mend it.") from None


def _place(error: Exception) -> str:
    """The last line of the user's that an error has passed."""
    if isinstance(error, SyntaxError):
        return ""  # says so itself
    frames = [one for one in extract_tb(error.__traceback__) if "importlib" not in one.filename and one.filename != __file__]
    # The first is the user's module.
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(Path(frames[0].filename).parent)]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
