"""The peers: how each is called, in which environment, and the environments themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from aliccp import ROOT

HERE = ROOT / "benchmarks"
# What each environment of its own is made of; all else runs in funnel's, with its extra `bench`.
PINNED = {
    "deepctr": ("deepctr==0.9.4", "tensorflow==2.21.0", "tf-keras==2.21.0"),
    "torch-rechub": ("torch-rechub==0.9.0", "torch==2.13.0"),
}
NAMED = ("funnel", "tensorflow", "tf_keras", "keras", "torch", "deepctr", "torch-rechub", "numpy", "pandas")  # in the table


@dataclass(frozen=True)
class Way:
    """One way to learn the network.

    Attributes:
        name: In tables.
        script: Beside this one, that measures quality; and speed, where there is no other for it.
        speed: The script that measures speed on a schema and a store, and its arguments.
        environment: Whose Python runs it; None for this one.
        options: Further arguments.
        train: What its schema has otherwise under `train`.
        variables: Of the process.
        once: Whether its speed is measured once, on the smaller tables: a variant that shows what a setting costs.
    """

    name: str
    script: str
    speed: tuple[str, ...] = ()
    environment: str | None = None
    options: tuple[str, ...] = ()
    train: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    once: bool = False

    @property
    def slug(self) -> str:
        """Of files."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.name.lower()).split())


FUNNEL, TORCH, KERAS, DEEPCTR, RECHUB = "funnel", "tuned PyTorch", "naive Keras", "DeepCTR", "torch-rechub"
PACKAGES = DEEPCTR, RECHUB
OF_FUNNEL = {"script": "peers_funnel.py", "speed": ("train_funnel.py",)}
WAYS = (
    Way(FUNNEL, **OF_FUNNEL),
    Way(TORCH, "peers_torch.py", ("train_torch.py", "joined")),
    Way(KERAS, "peers_keras.py"),
    Way(DEEPCTR, "peers_deepctr.py", environment="deepctr"),
    Way(RECHUB, "peers_rechub.py", environment="torch-rechub"),
    Way("funnel, a user's rows together", **OF_FUNNEL, train={"shuffle": "group"}, once=True),
    Way("funnel, Adam for tables", **OF_FUNNEL, train={"optimizer": {"embedding": {"kind": "adam"}}}, once=True),
    Way("DeepCTR, its defaults", "peers_deepctr.py", environment="deepctr", options=("--documented",), once=True),
    Way("DeepCTR, Keras 3", "peers_deepctr.py", environment="deepctr", variables={"TF_USE_LEGACY_KERAS": "0"}, once=True),
    Way("torch-rechub, its defaults", "peers_rechub.py", environment="torch-rechub", options=("--documented",), once=True),
)


def python(work: Path, environment: str | None) -> str:
    """The interpreter of an environment."""
    return sys.executable if environment is None else str(work / "envs" / environment / "bin" / "python")


def make_environments(work: Path, ways: list[Way]) -> None:
    """Make those that are not there: the only step that needs a package index."""
    for name in sorted({way.environment for way in ways} - {None}):
        folder = work / "envs" / name
        if (folder / "made").is_file():
            continue
        print(f"{name}: an environment with {', '.join(PINNED[name])}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)  # noqa: S603 - our own commands, here and below
        subprocess.run([python(work, name), "-m", "pip", "install", "--quiet", *PINNED[name]], check=True)  # noqa: S603
        (folder / "made").touch()


def versions(work: Path, environment: str | None) -> dict[str, str]:
    """Of the packages of an environment that tables name."""
    return json.loads(_versions(python(work, environment)))


@cache
def _versions(program: str) -> str:
    code = (
        "import importlib.metadata as m, json, platform, sys; found = {'Python': platform.python_version()}\n"
        "for name in sys.argv[1:]:\n"
        "    try: found[name] = m.version(name)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    return subprocess.run([program, "-c", code, *NAMED], check=True, capture_output=True, text=True).stdout  # noqa: S603


def run(work: Path, way: Way, what: str, task: Path, predictions: Path) -> dict[str, Any]:
    """Measure one thing in a process of its own.

    Args:
        work: Where the environments are.
        way: The way.
        what: `speed` or `quality`.
        task: The task's file.
        predictions: Where those of the test rows go, for `quality`.

    Returns:
        What it said.
    """
    done = subprocess.run(  # noqa: S603
        command(work, way, what, task, predictions), cwd=ROOT, env=variables(way), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{way.name}, {what}: exit code {done.returncode}\n{done.stderr[-3000:]}")
    return said_last(done.stdout)


def said_last(text: str) -> dict[str, Any]:
    """The last line that is JSON: packages print in between, and after, as DeepCTR when it has looked for a newer version."""
    return json.loads([line for line in text.splitlines() if line.startswith("{")][-1])


def variables(way: Way) -> dict[str, str]:
    """Of the process: this one's, but that another environment must not find this one's packages."""
    own = {name: value for name, value in os.environ.items() if way.environment is None or name != "PYTHONPATH"}
    return own | {"TF_CPP_MIN_LOG_LEVEL": "3"} | way.variables


def command(work: Path, way: Way, what: str, task: Path, predictions: Path) -> list[str]:
    """Of the process."""
    program = python(work, way.environment)
    if what == "speed" and way.speed:
        told = json.loads(task.read_text(encoding="utf-8"))
        script, *rest = way.speed
        how = ["--batch-size", told["batch_size"], "--seconds", told["seconds"], "--warm-up", told["warm_up"]]
        return [program, str(HERE / script), *rest, told["schema"], told["store"], *map(str, how)]
    kind = [] if way.speed else [what]
    kept = [str(predictions)] if what == "quality" else []
    return [program, str(HERE / way.script), *kind, str(task), *kept, *way.options]
