"""What a fit says on a terminal of how it ended."""

from __future__ import annotations

import pytest

from funnel.terminal import Screen
from funnel.training.events import Epoch


def epoch(number: int, best: bool, scores: dict[str, float]) -> Epoch:
    return Epoch(number, number, {"loss": 0.5}, scores, best=best, seconds=1.0, rows=5, constant=())


@pytest.mark.parametrize(
    ("epochs", "best", "said"),
    [
        (3, [1, 2, 3], "epoch 3 is kept; it was the last, and the best: more of them (`train.epochs`) may do better"),
        (3, [1, 2], "epoch 2 is kept, the best by the rows held out"),
        (9, [1], "epoch 1 is kept; those after it were no better (`train.early_stopping`)"),
    ],
)
def test_which_epoch_is_kept_and_why_no_other(
    epochs: int, best: list[int], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Screen(quiet=False, epochs=epochs)
    for number in (1, 2, 3):
        screen.watch(epoch(number, number in best, {"click": 0.5}))
    capsys.readouterr()
    screen.conclude()
    assert capsys.readouterr().out == f"{said}\n"


def test_without_rows_held_out_nothing_was_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(quiet=False, epochs=1)
    screen.conclude()
    screen.watch(epoch(1, True, {}))
    capsys.readouterr()
    screen.conclude()
    assert capsys.readouterr().out == ""
