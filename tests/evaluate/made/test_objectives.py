"""No prompt that scores a made case stands in what GLAME optimises for it; the edit's own prompt alone does."""

from __future__ import annotations

import pytest

from kgedit.editor import Editor
from kgedit.evaluate.run.modes import prepare
from kgedit.methods.base import Workbench

# The model is asked a thousand questions: some seconds, and minutes where the machine is busy.
pytestmark = pytest.mark.timeout(900)

PREFIXES = ("", "The. ", "Because I know that. ")


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.from_pretrained("mini", method="glame", moments="identity")


def optimised(editor: Editor, record) -> list[str]:
    """All prompts that a record's edits are optimised for, in the edited and in the later layers."""
    bench = Workbench(editor.model, editor.tokenizer, {}, PREFIXES)
    case = prepare(editor, record.rewrites)
    asked = editor.method._asked(bench, case)
    rows = [row for edit in asked for row in edit.objective.rows]
    kinds = {row.kind for row in rows}
    assert "target" in kinds, "the edit"
    assert kinds & {"wording", "path"}, "its other wordings, or what follows from it"
    prompts = [row.ids[: row.scored[0] + 1] for row in rows]
    multihop = [
        prompt.prompt.replace("{}", prompt.start) for edit in asked for alike in edit.reaching.ends for prompt in alike
    ]
    return [editor.tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in prompts] + multihop


def assert_held_out(editor: Editor, record, prompts: set[str]) -> None:
    texts = optimised(editor, record)
    for rewrite in record.rewrites:
        assert {prefix + rewrite.text for prefix in PREFIXES} <= set(texts), "prompts are read off rightly"
    for prompt in prompts - {rewrite.text for rewrite in record.rewrites}:
        assert not [text for text in texts if text.endswith(prompt)], prompt


def test_of_chains(editor, chains) -> None:
    for record in chains[:27:3]:
        hops = (*record.hops, *record.new_hops)
        prompts = {*record.questions, *(hop.cloze for hop in hops), *(hop.question for hop in hops)}
        assert_held_out(editor, record, prompts | {rewrite.question for rewrite in record.rewrites})


def test_of_single_edits(editor, singles) -> None:
    for record in singles:
        probes = (*record.neighborhood, *record.attributes)
        prompts = {*record.paraphrases, *record.generation, *(probe.prompt for probe in probes)}
        assert_held_out(editor, record, prompts | {record.portability.question})
