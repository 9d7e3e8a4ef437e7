"""RippleEdits' six criteria (Cohen et al., 2024): what else must change with an edit, and what must not.

Two protocols: "published" looks for a name anywhere in the prompt and a long continuation, "strict" as whole words in
the first sentence of a short one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from kgedit.evaluate.benchmarks.ripple.record import CRITERIA, RippleQuery, RippleTest
from kgedit.evaluate.measures.matching import contains
from kgedit.lm.generation.greedy import Answers, Ask
from kgedit.text.sentences import first_sentence

Protocol = Literal["published", "strict"]


def ask_of(query: RippleQuery, protocol: Protocol) -> Ask:
    """As published, the text may grow to as many tokens as the prompt has characters and 30 more."""
    if protocol == "published":
        return Ask(query.prompt, len(query.prompt) + 30, "limit", total=True)
    return Ask(query.prompt)


def usable_names(query: RippleQuery) -> tuple[tuple[str, ...], ...]:
    """The groups without names of a single character that is no digit; groups left empty stay, and fail."""
    return tuple(tuple(name for name in group if len(name) > 1 or name.isdigit()) for group in query.answers)


def can_be_answered(query: RippleQuery) -> bool:
    """Whether there is an answer to look for; the published code passes a query without answers."""
    names = usable_names(query)
    return bool(names) and all(names)


def holds(query: RippleQuery, answers: Answers, protocol: Protocol) -> bool:
    """Whether every group is answered; as published, by a substring of the prompt and its continuation."""
    if not can_be_answered(query):
        return False
    text = answers[ask_of(query, protocol)]
    if protocol == "published":
        whole = f"{query.prompt} {text}"
        return all(any(name in whole for name in group) for group in usable_names(query))
    return all(contains(first_sentence(text), group) for group in usable_names(query))


def outcome(test: RippleTest, before: Answers, after: Answers, protocol: Protocol) -> bool | None:
    """Passed or failed; None if it is not executed: a condition fails, or no query can be answered.

    Args:
        test: The test.
        before: What the unedited model said; the conditions are judged by it.
        after: What the edited model said.
        protocol: When an answer counts.
    """
    # Conditions are judged on the unedited model: a test only counts if its premises were known.
    queries = [query for query in test.queries if can_be_answered(query)]
    if not queries or not all(holds(query, before, protocol) for query in test.conditions):
        return None
    verdicts = (holds(query, after, protocol) for query in queries)
    return any(verdicts) if test.condition == "OR" else all(verdicts)


class Tally(NamedTuple):
    """Outcomes of one criterion in one case."""

    passed: int
    executed: int
    tests: int


@dataclass(frozen=True)
class RippleProbe:
    """One edit with its tests; `edit` asks for the edited fact itself."""

    edit: RippleQuery
    tests: tuple[RippleTest, ...]

    def asks_before(self, protocol: Protocol = "published") -> list[Ask]:
        """What the unedited model is asked: all conditions."""
        return _asks((query for test in self._by_criterion() for query in test.conditions), protocol)

    def asks(self, protocol: Protocol = "published") -> list[Ask]:
        """What the edited model is asked: the edit itself and all tests."""
        return _asks((self.edit, *(query for test in self._by_criterion() for query in test.queries)), protocol)

    def tally(self, before: Answers, after: Answers, protocol: Protocol = "published") -> dict[str, Tally]:
        """Outcomes of every criterion that has tests."""
        outcomes: dict[str, list[bool | None]] = {}
        for test in self._by_criterion():
            outcomes.setdefault(test.criterion, []).append(outcome(test, before, after, protocol))
        return {
            criterion: Tally(
                passed=sum(verdict is True for verdict in verdicts),
                executed=sum(verdict is not None for verdict in verdicts),
                tests=len(verdicts),
            )
            for criterion, verdicts in outcomes.items()
        }

    def judge(self, before: Answers, after: Answers, protocol: Protocol = "published") -> dict[str, float]:
        """Values of this edit.

        `edit_success`: whether the edited fact itself is said. `NAME_executed`: share of a criterion's tests whose
        conditions held. `NAME`: share of the executed tests that passed; only where the edit succeeded and a
        test was executed, which are the edits that the published means run over. NAME as in `CRITERIA`.
        """
        success = holds(self.edit, after, protocol)
        values = {"edit_success": float(success)}
        for criterion, (passed, executed, tests) in self.tally(before, after, protocol).items():
            name = CRITERIA[criterion]
            values[f"{name}_executed"] = executed / tests
            if success and executed:
                values[name] = passed / executed
        return values

    def _by_criterion(self) -> list[RippleTest]:
        """The tests, those of one criterion together: the order of prompts decides what shares a batch."""
        criteria = dict.fromkeys(test.criterion for test in self.tests)
        return [test for criterion in criteria for test in self.tests if test.criterion == criterion]


def _asks(queries: Iterable[RippleQuery], protocol: Protocol) -> list[Ask]:
    return [ask_of(query, protocol) for query in queries if can_be_answered(query)]
