"""What went wrong, where, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["warning", "error"]
Status = Literal["ok", "partial", "failed"]


@dataclass(frozen=True)
class Problem:
    """One thing a person should know about a page.

    ``code`` is stable and lower-case with dashes ("grid-not-found"); ``stage`` is the stage's name ("grid");
    ``message`` says in plain words what happened and what to do.
    """

    code: str
    stage: str
    message: str
    severity: Severity = "warning"

    def __str__(self) -> str:
        return f"{self.stage}: {self.message} [{self.code}]"

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


class StageError(Exception):
    """Raised by a stage that cannot go on; the pipeline turns it into a failed result. Holds the :class:`Problem`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def fail(code: str, stage: str, message: str) -> StageError:
    """The error to raise for a page that this stage cannot read."""
    return StageError(Problem(code, stage, message, "error"))


def status_of(problems: tuple[Problem, ...]) -> Status:
    """``failed`` when any problem is an error, ``partial`` when any is a warning, else ``ok``."""
    severities = {p.severity for p in problems}
    return "failed" if "error" in severities else "partial" if severities else "ok"
