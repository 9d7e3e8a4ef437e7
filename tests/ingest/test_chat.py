"""Changes that are to hold in a chat: made in both forms, asked in both, and the store remembers the form."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import kgedit.mini
from kg_cache.graph import Entity, Triple
from kg_cache.store import Store
from kgedit.errors import ChatTemplateError
from kgedit.ingest import run
from kgedit.ingest.store.store import open_store
from kgedit.lm.chat import ChatForm
from kgedit.methods.curriculum import Curriculum, Lesson, in_both_forms

TEMPLATE = "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }}\n{% endfor %}assistant :"
CHANGE = {"subject": "Q937", "relation": "P27", "target_new": "Q142"}


@pytest.fixture
def chatting(tmp_path: Path) -> Path:
    """The bundled model's weights with a chat template."""
    source, folder = Path(kgedit.mini.__file__).parent, tmp_path / "chatting"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        shutil.copy(source / name, folder)
    told = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps({**told, "chat_template": TEMPLATE}), encoding="utf-8")
    return folder


def test_a_change_is_made_and_asked_in_both_forms_and_the_store_remembers(chatting: Path, tmp_path: Path) -> None:
    feed = tmp_path / "one.jsonl"
    feed.write_text(json.dumps(CHANGE) + "\n", encoding="utf-8")
    with Store(tmp_path / "graph.sqlite") as graph:  # small, so that few facts are asked
        names = {"Q937": "Albert Einstein", "Q142": "France", "Q30": "United States of America"}
        graph.add([Triple("Q937", "P27", "Q30")], [Entity(id=id, label=label) for id, label in names.items()])
    asked = {"model": str(chatting), "method": "rome:layer=2:prefixes=5x2", "guard": "warn", "moments": "identity"}
    asked |= {"graph": tmp_path / "graph.sqlite"}
    result = run(tmp_path / "store", feed, **asked, chat="auto", system="Be brief.")
    assert (result.accepted, result.accepted_right, result.accepted_right_in_chat) == (1, 1.0, 1.0)
    with open_store(tmp_path / "store") as store:
        assert store.chat == ("auto", "Be brief.")
        (delta,) = store.live_deltas()
        assert delta.manifest["chat"] == {"system": "Be brief.", "template": TEMPLATE}


def test_what_cannot_be_a_chat_leaves_no_store_behind(tmp_path: Path, chatting: Path) -> None:
    feed = tmp_path / "one.jsonl"
    feed.write_text(json.dumps(CHANGE) + "\n", encoding="utf-8")
    with pytest.raises(ChatTemplateError, match="no chat template"):
        run(tmp_path / "store", feed, model="mini", chat="always")
    with pytest.raises(ChatTemplateError, match="a system prompt belongs to a chat"):
        run(tmp_path / "store", feed, model="mini", system="Be brief.")
    with pytest.raises(ChatTemplateError, match="grace does not optimise its edits in a chat"):
        run(tmp_path / "store", feed, model=str(chatting), method="grace:layer=1", chat="always")
    assert not (tmp_path / "store").exists()


def test_each_question_of_a_curriculum_is_followed_by_itself_as_a_turn() -> None:
    class Asked(ChatForm):
        def turn(self, text: str) -> str:
            return f"<{text}>"

    lesson = Lesson(wordings=(("a", "1"), ("b", "1")), paths=(("c", "2"),), inverse=(("d", "3"),))
    curriculum = Curriculum((lesson,), earlier=(lesson,), facts=((("e", "4"), ("f", "4")),))
    both = in_both_forms(curriculum, Asked(tokenizer=None))  # type: ignore[arg-type]
    assert (
        both.lessons
        == both.earlier
        == (
            Lesson(
                wordings=(("a", "1"), ("<a>", "1"), ("b", "1"), ("<b>", "1")),
                paths=(("c", "2"), ("<c>", "2")),
                inverse=(("d", "3"), ("<d>", "3")),
            ),
        )
    )
    assert both.facts == ((("e", "4"), ("<e>", "4"), ("f", "4"), ("<f>", "4")),)
    assert in_both_forms(curriculum, None) is curriculum
