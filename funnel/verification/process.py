"""The fresh process, and the talk with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from funnel.errors import RunError

SENDER = Path(__file__).with_name("sender.py")
OURS = ("TF_USE_LEGACY_KERAS", "PYTHONPATH")  # which this process may have, and a server has not


class Fresh:
    """A process that has the export and TensorFlow, and nothing of funnel.

    Args:
        export: The SavedModel's folder.
        fields: What the sender is told of each input.
        folder: For the files that are exchanged.
    """

    def __init__(self, export: Path, fields: list[dict[str, Any]], folder: Path) -> None:
        self._export, self._folder = export, folder
        plan = folder / "plan.json"
        plan.write_text(json.dumps({"export": str(export.resolve()), "fields": fields}), encoding="utf-8")
        self._remarks: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        environment = {name: value for name, value in os.environ.items() if name not in OURS} | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-I", str(SENDER), str(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._remarks,
            text=True,
            encoding="utf-8",
            cwd=folder,
            env=environment,
        )
        self.about: dict[str, Any] = {}

    def __enter__(self) -> Self:
        try:
            self.about = self._answer("cannot be loaded")
        except BaseException:
            self._end(kill=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(kill=kind is not None)

    def _end(self, *, kill: bool) -> None:
        if kill:
            self._process.kill()
        # Its input ends, and so does it.
        self._process.communicate()
        self._remarks.close()

    def answers(self, rows: Path) -> Mapping[str, NDArray[Any]]:
        """By signature and output: what the export says of the rows in a file.

        Raises:
            RunError: It refuses them, or the process ended.
        """
        written = self._folder / "answers.npz"
        assert self._process.stdin is not None  # noqa: S101  # it is a pipe
        try:
            self._process.stdin.write(json.dumps({"rows": str(rows), "answers": str(written)}) + "\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has ended: what it said is read next
        self._answer("does not answer")
        with np.load(written, allow_pickle=False) as file:
            return dict(file)

    def _answer(self, what: str) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101  # it is a pipe
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line.endswith("\n") else {"error": self._last_words()}
        if "error" in answer:
            reason = " ".join(answer["error"].split())[:600]
            raise RunError(f"{self._export}: {what}: {reason}. Is it whole, and of this run? Export again.")
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        self._remarks.seek(0)
        said = self._remarks.read().decode(errors="replace").strip().splitlines()
        return f"the process ended with {code}" + (f": {said[-1]}" if said else "")
