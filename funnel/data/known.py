"""What a run has learnt already."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from funnel.data.vocabulary import Vocabulary
from funnel.schema.learnt import Learnt


@dataclass(frozen=True)
class Known:
    """What a run has learnt already: rows are encoded with it, and nothing is learnt from them."""

    learnt: Learnt
    vocabulary: Vocabulary

    @property
    def digest(self) -> str:
        """A hash of the vocabulary."""
        digest = hashlib.sha256(self.learnt.model_dump_json().encode())
        for table, terms in self.vocabulary.terms.items():
            digest.update(f"\n{table}\n".encode() + "\n".join(terms).encode())
        return digest.hexdigest()
