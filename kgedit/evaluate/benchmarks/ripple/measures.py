"""RippleEdits' six criteria (Cohen et al., 2023): what else must change with an edit, and what must not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Literal, NamedTuple

from kgedit.evaluate.measures.matching import contains
from kgedit.lm.generation.greedy import Answers, Ask
from kgedit.lm.generation.sentences import first_sentence

# Name in the published files -> name in reports.
CRITERIA: Mapping[str, str] = MappingProxyType(
    {
        "Logical_Generalization": "logical_generalization",
        "Compositionality_I": "compositionality_1",
        "Compositionality_II": "compositionality_2",
        "Subject_Aliasing": "subject_aliasing",
        "Forgetfulness": "preservation",
        "Relation_Specificity": "relation_specificity",
    }
)
Protocol = Literal["published", "strict"]


@dataclass(frozen=True)
class Query:
    """A prompt, and groups of names: of every group at least one must be said."""

    prompt: str
    answers: tuple[tuple[str, ...], ...]

    def ask(self, protocol: Protocol) -> Ask:
        """As published, the text may grow to as many tokens as the prompt has characters and 30 more."""
        if protocol == "published":
            return Ask(self.prompt, len(self.prompt) + 30, "limit", total=True)
        return Ask(self.prompt)

    @property
    def usable(self) -> tuple[tuple[str, ...], ...]:
        """The groups without names of a single character that is no digit; groups left empty stay, and fail."""
        return tuple(tuple(name for name in group if len(name) > 1 or name.isdigit()) for group in self.answers)

    @property
    def can_be_answered(self) -> bool:
        """Whether there is a prompt and an answer to look for; the published code passes a query without answers."""
        return bool(self.prompt.strip()) and bool(self.usable) and all(self.usable)

    def holds(self, answers: Answers, protocol: Protocol) -> bool:
        """Whether every group is answered; as published, by a substring of the prompt and its continuation."""
        if not self.can_be_answered:
            return False
        text = answers[self.ask(protocol)]
        if protocol == "published":
            whole = f"{self.prompt} {text}"
            return all(any(name in whole for name in group) for group in self.usable)
        return all(contains(first_sentence(text), group) for group in self.usable)


@dataclass(frozen=True)
class RippleTest:
    """Queries about the edited model, to be asked only if the unedited one meets the conditions.

    Attributes:
        queries: Test queries.
        conditions: Condition queries.
        rule: Whether one of the queries must hold, or all.
    """

    queries: tuple[Query, ...]
    conditions: tuple[Query, ...] = ()
    rule: Literal["OR", "AND"] = "OR"

    def outcome(self, before: Answers, after: Answers, protocol: Protocol) -> bool | None:
        """Passed or failed; None if it is not executed: a condition fails, or no query can be answered."""
        queries = [query for query in self.queries if query.can_be_answered]
        if not queries or not all(query.holds(before, protocol) for query in self.conditions):
            return None
        held = (query.holds(after, protocol) for query in queries)
        return any(held) if self.rule == "OR" else all(held)


class Tally(NamedTuple):
    """Outcomes of one criterion in one case."""

    passed: int
    executed: int
    tests: int


@dataclass(frozen=True)
class RippleProbe:
    """One edit with its tests.

    Attributes:
        edit: The edited fact as a query.
        tests: Criterion (a key of `CRITERIA`) -> tests.
    """

    edit: Query
    tests: Mapping[str, tuple[RippleTest, ...]]

    def asks_before(self, protocol: Protocol = "published") -> list[Ask]:
        """What the unedited model is asked: all conditions."""
        return _asks((query for test in self._all() for query in test.conditions), protocol)

    def asks(self, protocol: Protocol = "published") -> list[Ask]:
        """What the edited model is asked: the edit itself and all tests."""
        return _asks((self.edit, *(query for test in self._all() for query in test.queries)), protocol)

    def tally(self, before: Answers, after: Answers, protocol: Protocol = "published") -> dict[str, Tally]:
        """Outcomes of every criterion that has tests."""
        found = {}
        for criterion, tests in self.tests.items():
            outcomes = [test.outcome(before, after, protocol) for test in tests]
            executed = [outcome for outcome in outcomes if outcome is not None]
            if outcomes:
                found[criterion] = Tally(sum(executed), len(executed), len(outcomes))
        return found

    def judge(self, before: Answers, after: Answers, protocol: Protocol = "published") -> dict[str, float]:
        """Values of this edit.

        `edit_success`: whether the edited fact itself is said. `NAME_executed`: share of a criterion's tests whose
        conditions held. `NAME`: share of the executed tests that passed; only where the edit succeeded and a
        test was executed, which are the edits that the published means run over. NAME as in `CRITERIA`.
        """
        success = self.edit.holds(after, protocol)
        found = {"edit_success": float(success)}
        for criterion, (passed, executed, tests) in self.tally(before, after, protocol).items():
            name = CRITERIA[criterion]
            found[f"{name}_executed"] = executed / tests
            if success and executed:
                found[name] = passed / executed
        return found

    def _all(self) -> list[RippleTest]:
        return [test for tests in self.tests.values() for test in tests]


def ripple_mean(values: Mapping[str, float]) -> float | None:
    """Plain mean of the six criteria that have a value."""
    found = [values[name] for name in CRITERIA.values() if name in values]
    return fmean(found) if found else None


def _asks(queries: Iterable[Query], protocol: Protocol) -> list[Ask]:
    return [query.ask(protocol) for query in queries if query.can_be_answered]
