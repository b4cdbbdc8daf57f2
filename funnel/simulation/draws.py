"""Chance that is a pure function of what it is for: another option leaves all other draws as they were."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Draws:
    """The random numbers of one simulation."""

    name: str  # of the schema
    seed: int

    def of(self, *parts: str) -> np.random.Generator:
        """The generator that serves one purpose only."""
        digest = hashlib.blake2b("\x1f".join((self.name, *parts)).encode(), digest_size=8).digest()
        return np.random.default_rng([self.seed, int.from_bytes(digest, "little")])
