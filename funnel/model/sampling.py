"""From what is likely among rows that were kept to what is likely among all, and back: exact, in log space.

A row is kept at a rate that depends on the deepest stage that it reached. With W the chance that a row is kept, given what is
known of it so far, Bayes' rule gives the odds of a step among the rows that were kept:

    odds'(stage) = odds(stage) W(it happened) / W(it did not)

and W is a mean over the next step: `W = P(stage) W(it happened) + P(not) W(it did not)`. From the deepest stages up, each step
finds the W's below it ready. For a chain with rates s_k this is `W_N = s_N`, `W_k = (1 - p_{k+1}) s_k + p_{k+1} W_{k+1}`, and
`odds(p_k) = odds(p'_k) s_{k-1} / W_k`; declared trees come to the same, branch by branch.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from funnel.model._keras import tf
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.sampling import ROOT, Node, decided_next, kept_at
from funnel.schema.topology import Topology, with_towers


def corrected(schema: FunnelSchema, logits: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The towers' conditional logits among all rows.

    Args:
        schema: The declaration.
        logits: For each stage that is no join, in their order, as learnt from the rows that were kept: float32 [B].

    Returns:
        Likewise; the same tensors where nothing is to be corrected.
    """
    sampling = schema.sampling
    if sampling is None or sampling.correction != "inverse":
        return list(logits)
    return _Steps(schema, logits, ()).among_all()


def sampled_logits(schema: FunnelSchema, logits: Sequence[Any]) -> list[float]:
    """The towers' conditional logits among the rows that were kept, where declared priors speak of all rows.

    Args:
        schema: The declaration, with a sampling that is undone.
        logits: For each stage that is no join: among all rows where its prior is declared, else among those kept.
    """
    declared = [n for n, k in enumerate(with_towers(schema.topology)) if schema.stages[k].prior is not None]
    steps = _Steps(schema, [tf.constant(logit, tf.float64) for logit in logits], declared)
    steps.among_all()
    return [float(logit) for logit in steps.kept]


class _Steps:
    """Goes through the tree of what is decided one after the other, deepest first."""

    def __init__(self, schema: FunnelSchema, logits: Sequence[tf.Tensor], true: Collection[int]) -> None:
        self._topology: Topology = schema.topology
        assert schema.sampling is not None  # noqa: S101  # for the type checker
        self._of_space, self._rates = kept_at(schema.sampling, schema.space, schema.stage_names)
        self._tower = {k: n for n, k in enumerate(with_towers(self._topology))}
        self._given, self._true = logits, true
        self.kept: list[tf.Tensor] = list(logits)
        self._found: list[tf.Tensor] = list(logits)

    def among_all(self) -> list[tf.Tensor]:
        self._log_kept(ROOT, self._of_space)
        return self._found

    def _log_kept(self, node: Node, rate: float) -> tf.Tensor | float:
        """Log W at a node, of rows that are kept at `rate` where nothing more happens."""
        kept = [self._step(stage, rate) for stage in decided_next(self._topology, node)]
        # Below several that may all happen, rows are kept alike, as the schema was checked for.
        return kept[0] if len(kept) == 1 else math.log(rate)

    def _step(self, stage: int, rate: float) -> tf.Tensor | float:
        happened, left = self._log_kept((stage, True), self._rates[stage]), self._log_kept((stage, False), rate)
        if isinstance(happened, float) and isinstance(left, float) and happened == left:
            return happened
        number = self._tower[stage]
        shift = left - happened
        logit = self._given[number] if number in self._true else self._given[number] + shift
        self._found[number], self.kept[number] = logit, logit - shift
        return tf.reduce_logsumexp(tf.stack([happened - tf.math.softplus(-logit), left - tf.math.softplus(logit)]), axis=0)
