"""Whether a fit goes well: a loss that is no number, one that grows beyond any reason, predictions that no longer differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.errors import DivergedError

MOST_SHOWN = 8
MEMORY = 50  # steps over which the loss is averaged
TIMES = 10.0  # so many times the loss of a constant is divergence


class Watchdog:
    """Looks at every step's losses.

    Args:
        names: The stages.
        rates: Their cumulative rates: [stages].
        steps: That were made before.
    """

    def __init__(self, names: Sequence[str], rates: Sequence[float], steps: int = 0) -> None:
        self._names, self._steps = names, steps
        # The losses of a positive and a negative, were the rate predicted for all rows, and their mean.
        rate_S = np.array(rates)
        self._of_1, self._of_0 = -np.log(rate_S), -np.log1p(-rate_S)
        self._usual = rate_S * self._of_1 + (1 - rate_S) * self._of_0
        self._mean, self._constant = np.array(self._usual), np.array(self._usual)

    def see(self, loss: float, losses_BS: Any, labels_BS: Any, where: str, rows_of: Callable[[int], NDArray[np.int64]]) -> None:
        """Look at a step.

        Args:
            loss: What was minimised.
            losses_BS: The cumulative cross-entropy of each row and stage: a tensor [B, stages], which is looked at every
                eighth step, or where something is wrong.
            labels_BS: Likewise, the cumulative labels, NaN where unknown.
            where: Names the step.
            rows_of: Gives the positions of the rows of this step (0), or of the one before it (1).

        Raises:
            DivergedError: The loss is no number, or has been far above that of a constant for a while.
        """
        if not np.isfinite(loss):
            raise self._no_number(loss, np.asarray(losses_BS), where, rows_of)
        if self._steps % 8 == 0:  # a mean of 50 steps needs no more
            labels = np.asarray(labels_BS)
            # Of an unknown label, neither.
            positive_S, negative_S = ((labels == label).mean(axis=0, dtype=np.float64) for label in (1, 0))
            constant_S = positive_S * self._of_1 + negative_S * self._of_0
            self._mean += (np.asarray(losses_BS).mean(axis=0, dtype=np.float64) - self._mean) * (8 / MEMORY)
            self._constant += (constant_S - self._constant) * (8 / MEMORY)
            # A positive of a rare stage weighs more than all that is usual: for a constant, too.
            ratios = self._mean / np.maximum(self._constant, self._usual)
            worst = int(np.argmax(ratios))
            if ratios[worst] > TIMES:
                rows = rows_of(0)[np.argsort(-np.asarray(losses_BS)[:, worst], kind="stable")]
                raise DivergedError(
                    f"{where}: the loss of {self._names[worst]!r} has grown to {self._mean[worst]:.4g} in the mean of "
                    f"the last steps, {ratios[worst]:.4g} times that of predicting its rate for every row. This step's "
                    f"rows with the greatest losses: {_shown(rows)} (from 0, in the order of the training files). Look for "
                    "extreme values in them (transform: log1p), or lower train.optimizer's learning rates.",
                    rows,
                )
        self._steps += 1

    def _no_number(
        self, loss: float, losses_BS: NDArray[Any], where: str, rows_of: Callable[[int], NDArray[np.int64]]
    ) -> DivergedError:
        broken_BS = ~np.isfinite(losses_BS)
        if not broken_BS.any():
            rows = np.sort(rows_of(0))
            return DivergedError(
                f"{where}: the loss is {loss}, expected a number, though the predictions are numbers: the objective broke. "
                "Lower train.optimizer's learning rates.",
                rows,
            )
        stage = self._names[int(np.argmax(broken_BS.any(axis=0)))]
        bad_B = broken_BS.any(axis=1)
        if bad_B.all() and self._steps:
            rows = np.sort(rows_of(1))
            cause = f"for every row: the step before it broke the weights, with the rows {_shown(rows)}"
            repair = "Lower train.optimizer's learning rates, or look for extreme values in them (transform: log1p)."
        else:
            rows = np.sort(rows_of(0)[bad_B])
            cause = f"for {bad_B.sum():,} of {len(bad_B):,} rows: {_shown(rows)}"
            repair = "Look for extreme values in them (transform: log1p), or lower train.optimizer's learning rates."
        return DivergedError(
            f"{where}: the loss is {loss}, expected a number. {stage!r} is the first stage without one, {cause} (from 0, in "
            f"the order of the training files). {repair}",
            rows,
        )


def _shown(rows: NDArray[np.int64]) -> str:
    shown = ", ".join(str(row) for row in rows[:MOST_SHOWN])
    return shown + (f" and {len(rows) - MOST_SHOWN:,} more" if len(rows) > MOST_SHOWN else "")
