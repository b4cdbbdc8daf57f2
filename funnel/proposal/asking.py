"""What is asked where there is somebody to answer; elsewhere what is proposed is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from funnel.errors import DataError

Answer = TypeVar("Answer")
TRIES = 3


@dataclass(frozen=True)
class Question:
    """A question.

    Attributes:
        about: What it is about: `stages`, `key of users`.
        text: As one asks it.
        proposed: The answer that is taken where nobody answers; empty for none.
        without: What is said where there is neither; empty where none is an answer, too.
        sure: Whether what is proposed need not be asked for.
        problem: What was wrong with the last answer.
    """

    about: str
    text: str
    proposed: str
    without: str
    sure: bool
    problem: str = ""


Ask = Callable[[Question], str]


def silent(question: Question) -> str:
    """Nobody is there to be asked."""
    return question.proposed


def answered(ask: Ask, question: Question, understand: Callable[[str], Answer]) -> Answer:
    """Ask, again where an answer cannot be used.

    Raises:
        DataError: There is no answer, or the last of a few cannot be used either.
    """
    tries = 0
    while True:
        answer = question.proposed if question.sure else ask(question)
        if not answer.strip() and question.without:
            raise DataError(question.without)
        try:
            return understand(answer)
        except DataError as error:
            tries += 1
            if tries == TRIES or ask is silent or question.sure:
                raise
            question = replace(question, problem=str(error))
