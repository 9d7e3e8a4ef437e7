"""Known facts that methods may rehearse in a run: none about an item that the run's own questions name.

So what a run measures is never what a method was trained on, and a method that rehearses is measured as it is used: an
ingestion hands it known facts, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kg_cache.settings import Settings
from kgedit.delta import model_hash
from kgedit.editor import Editor
from kgedit.evaluate.benchmarks.case import BenchmarkCase
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.ingest.decide.kept_verdicts import KeptVerdicts
from kgedit.ingest.decide.known_facts import FactPool
from kgedit.methods.base import Request


class Rehearsal:
    """The known facts of a run, found when a method first wants some."""

    def __init__(self, settings: EvaluationSettings, cases: Sequence[BenchmarkCase]) -> None:
        """Take the run.

        Args:
            settings: Its model, and the seed that draws the facts.
            cases: All its cases, with all that is asked of them.
        """
        self._settings, self._cases = settings, cases
        self._found: dict[int, list[Request]] = {}  # by how many are wanted

    def known_facts(self, editor: Editor) -> Sequence[Request]:
        """As many facts as the editor's method draws from, fewer where the model recalls fewer; none for most methods.

        Args:
            editor: Its model is unedited.
        """
        count = editor.method.rehearses
        if count and count not in self._found:
            self._found[count] = self._recalled(editor, count)
        return self._found[count] if count else ()

    def _recalled(self, editor: Editor, count: int) -> list[Request]:
        kept = KeptVerdicts(Settings().cache_dir / "recalled", model_hash(editor.model), editor.progress)
        pool = FactPool.of(self._settings.model, editor.graph, editor.text, kept=kept, progress=editor.progress)
        seed = self._settings.seed + 2  # as in an ingestion, so that what was asked there is known here
        facts = pool.recalled(editor.model, editor.tokenizer, count, seed=seed, part="protected")
        named = "\n".join(text for case in self._cases for text in _named(case))
        return [
            Request(fact.subject_label, editor.text[fact.relation].cloze[0], fact.object_label, fact.relation)
            for fact in facts
            if fact.subject_label not in named
        ]


def _named(case: BenchmarkCase) -> Iterator[str]:
    """Every text in which a case names an item that it asks about or changes."""
    for rewrite in case.rewrites:
        yield from (rewrite.text, rewrite.target_new, rewrite.target_true or "")
    questions = case.questions
    yield from (prompt for prompt, _ in questions.pairs)
    yield from (asked.prompt for asked in questions.asks)
    yield from questions.texts
    yield from (follow_up.first.prompt + follow_up.behind for follow_up in questions.follow_ups)
    if questions.fuzzy is not None:
        yield from (question for question, _ in questions.fuzzy.questions)
