"""The line from an edit to a kept change and back, for every kind of change that a method makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedTokenizerBase

from families import tiny_model
from kg_cache.bundled import bundled_store
from kgedit.delta import Delta
from kgedit.delta.storage import save_stored
from kgedit.edit import Edit, EditResult, LoadedEdits
from kgedit.editor import Editor
from kgedit.errors import AlreadyApplied, FileCorrupt, TargetError, UnknownEdit, UnknownMethod, UnsupportedExport
from kgedit.lm.tokens import encode_target
from kgedit.methods.engine.closed_form import Moment
from kgedit.methods.rome import Rome, RomeConfig
from kgedit.text.names import begins
from side_store import SideStoreMethod, SideStoreSettings

EDITS = [
    Edit(subject="Albert Einstein", relation="P27", target_new="France"),
    Edit(subject="Pablo Picasso", relation="P27", target_new="Japan"),
]
PROMPT = "Albert Einstein is a citizen of"
PICASSO = "Pablo Picasso is a citizen of"


def cheap(layer: int = 2) -> Rome:
    return Rome(RomeConfig(layer=layer, steps=15, clamp=20.0))


@pytest.fixture(scope="module")
def loaded() -> Editor:
    return Editor.from_pretrained("mini", method="rome", moments="identity")


@pytest.fixture(scope="module")
def usual() -> Editor:
    """With second moments, as users have it."""
    return Editor.from_pretrained("mini", method="rome")


@pytest.fixture
def editor(loaded: Editor) -> Iterator[Editor]:
    """The bundled model with an editor of its own; afterwards it must be as it was."""
    before = traces(loaded)
    made = Editor(loaded.model, loaded.tokenizer, loaded.graph, cheap(), moments="identity", prefixes=["", "The. "])
    made.name = "mini"
    yield made
    for id in list(made.history):
        made.revert(id)
    assert same(traces(loaded), before)


def traces(editor: Editor) -> dict[str, object]:
    """Everything that an edit could leave behind: weights, buffers, and hooks of every module."""
    found: dict[str, object] = {name: value.clone() for name, value in editor.model.state_dict().items()}
    for name, module in editor.model.named_modules():
        found[f"hooks of {name}"] = [*module._forward_hooks, *module._forward_pre_hooks]
    return found


def same(one: dict[str, object], other: dict[str, object]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]
        for name, value in one.items()
    )


METHODS = {"low-rank": cheap, "test-side-store": lambda: SideStoreMethod(SideStoreSettings())}


@pytest.fixture(params=METHODS)
def kind(request: pytest.FixtureRequest, editor: Editor) -> str:
    """Each kind of delta in turn, made by the editor's method."""
    editor.method = METHODS[request.param]()
    return str(request.param)


@pytest.mark.usefixtures("kind")
def test_an_edit_is_reverted_without_a_trace(editor: Editor) -> None:
    before, said = traces(editor), editor.complete(PROMPT)
    result = editor.apply(EDITS[0])
    assert editor.history == {result.id: result}
    assert editor.complete(PROMPT) != said
    assert not same(traces(editor), before)
    editor.revert(result.id)
    assert editor.history == {}
    assert same(traces(editor), before)
    with pytest.raises(UnknownEdit):
        editor.revert(result.id)


@pytest.mark.usefixtures("kind")
def test_a_preview_leaves_no_trace_also_after_an_error(editor: Editor) -> None:
    kept = editor.apply(EDITS[1])
    before = traces(editor)

    def interrupted() -> None:
        with editor.preview(EDITS[0]):
            assert not same(traces(editor), before)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert same(traces(editor), before)
    assert list(editor.history) == [kept.id]


@pytest.mark.usefixtures("kind")
def test_the_first_of_two_edits_can_be_reverted_alone(editor: Editor, tmp_path: Path) -> None:
    second = editor.apply(EDITS[1])
    alone, said = editor.model.state_dict(), editor.complete(PICASSO)
    alone = {name: value.clone() for name, value in alone.items()}
    editor.save(tmp_path)
    editor.revert(second.id)

    first = editor.apply(EDITS[0])
    editor.load_delta(tmp_path)  # the same second edit, now on top of another
    editor.revert(first.id)
    assert same(editor.model.state_dict(), alone)
    assert editor.complete(PICASSO) == said


def test_a_saved_edit_is_loaded_by_its_kind_and_listed(editor: Editor, kind: str, tmp_path: Path) -> None:
    editor.apply(EDITS[0])
    edited, said = traces(editor), editor.complete(PROMPT)
    editor.save(tmp_path / "delta")
    editor.revert(next(iter(editor.history)))
    assert editor.complete(PROMPT) != said

    id = editor.load_delta(tmp_path / "delta")
    assert Delta.load(tmp_path / "delta").kind == kind
    assert editor.complete(PROMPT) == said
    if kind == "low-rank":
        assert same(traces(editor), edited)
    assert editor.history == {id: LoadedEdits(id=id, edits=(EDITS[0],), methods=(editor.method.name,))}
    with pytest.raises(AlreadyApplied):
        editor.load_delta(tmp_path / "delta")
    editor.revert(id)
    assert editor.history == {}
    assert editor.complete(PROMPT) != said


def test_several_edits_saved_as_one_are_all_listed(editor: Editor, tmp_path: Path) -> None:
    for edit in EDITS:
        editor.apply(edit)
    editor.save(tmp_path)
    for id in list(editor.history):
        editor.revert(id)
    id = editor.load_delta(tmp_path)
    assert editor.history[id].edits == tuple(EDITS)


def test_a_delta_without_a_word_on_its_edits_is_listed_and_reverted(editor: Editor, tmp_path: Path) -> None:
    (computed,) = editor.compute(*zip(editor.prepare(EDITS[0]), strict=True))
    computed.delta.with_manifest({"edit": {"no": "edit"}}).save(tmp_path)
    id = editor.load_delta(tmp_path)
    assert editor.history == {id: LoadedEdits(id=id, edits=(), methods=())}
    editor.revert(id)


def test_kinds_side_by_side_are_reverted_in_any_order_and_not_saved_as_one(editor: Editor, tmp_path: Path) -> None:
    before = traces(editor)
    weights = editor.apply(EDITS[0]).id
    only_weights = traces(editor)
    editor.method = METHODS["test-side-store"]()
    stored = editor.apply(EDITS[1]).id
    with pytest.raises(UnsupportedExport, match="low-rank, test-side-store"):
        editor.save(tmp_path / "both")
    assert not (tmp_path / "both").exists()
    editor.revert(stored)
    assert same(traces(editor), only_weights)
    stored = editor.apply(EDITS[1]).id
    editor.revert(weights)
    with pytest.raises(UnsupportedExport, match="test-side-store"):
        editor.export_adapter(tmp_path / "adapter")
    editor.revert(stored)
    assert same(traces(editor), before)


def test_a_trial_lies_on_top_for_its_length(editor: Editor) -> None:
    editor.apply(EDITS[1])
    before = traces(editor)
    for method in METHODS.values():
        editor.method = method()
        (computed,) = editor.compute(*zip(editor.prepare(EDITS[0]), strict=True))
        with editor.trial(computed.delta):
            assert not same(traces(editor), before)
        assert same(traces(editor), before)


def test_another_method_finds_the_statistics_of_its_layers_on_the_unedited_model(editor: Editor) -> None:
    editor.apply(EDITS[0])
    unedited = {name: value.clone() for name, value in editor._stack._base.items()}
    seen: list[bool] = []
    find = editor.moments.of

    def watching(layers: Sequence[int], **options: Any) -> dict[int, Moment]:
        if editor.moments.lacks(layers):
            seen.append(all(torch.equal(editor.model.get_parameter(name), value) for name, value in unedited.items()))
        return find(layers, **options)

    editor.moments.of = watching  # type: ignore[assignment, method-assign]
    editor.method = cheap(layer=4)
    result = editor.apply(EDITS[1])
    assert [name.split(".")[2] for name in result.weights] == ["4"]
    assert seen == [True]
    editor.method = cheap(layer=2)
    assert tuple(editor.workbench.moments) == (2,)
    assert seen == [True], "what was found stays"


def test_notes_on_the_settings_of_a_method_do_not_outlive_it(editor: Editor) -> None:
    told = Editor(
        editor.model, editor.tokenizer, editor.graph, cheap(), moments="identity", prefixes=[""], notes=("guessed",)
    )
    with told.preview(EDITS[0]):
        (result,) = told.history.values()
        assert isinstance(result, EditResult)
        assert "guessed" in result.notes
    told.method = cheap()
    with told.preview(EDITS[0]):
        (result,) = told.history.values()
        assert "guessed" not in result.notes


def test_what_is_answered_already_is_no_edit(editor: Editor) -> None:
    known = editor.complete("Albert Einstein died in")
    with pytest.raises(TargetError, match="nothing to change"):
        editor.apply(Edit(subject="Albert Einstein", relation="P20", target_new=known))
    assert editor.history == {}


def test_nothing_applied_nothing_saved(editor: Editor, tmp_path: Path) -> None:
    with pytest.raises(UnknownEdit, match="no edit is applied"):
        editor.save(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_an_unknown_kind_is_refused(editor: Editor, tmp_path: Path) -> None:
    (computed,) = editor.compute(*zip(editor.prepare(EDITS[0]), strict=True))
    stored = computed.delta.stored()._replace(kind="of-tomorrow")
    save_stored(stored, tmp_path)
    with pytest.raises(FileCorrupt, match="of-tomorrow.*import the package"):
        editor.load_delta(tmp_path)


@pytest.mark.parametrize(
    "edit",
    [
        EDITS[0],
        Edit(subject="Albert Einstein", prompt="{} lives in the city of", target_new="St. Louis"),
        # With the full stop behind it, this name ends in one token of two stops.
        Edit(subject="Albert Einstein", prompt="{} lives in the city of", target_new="Washington, D.C."),
    ],
)
def test_ask_lists_the_new_object_with_the_probability_of_the_edit(usual: Editor, edit: Edit) -> None:
    with usual.preview(edit) as edited:
        (result,) = edited.history.values()
        assert isinstance(result, EditResult)
        assert result.succeeded
        assert result.after == result.target_new == edit.target_new
        assert result.probability_after > 0.5
        asked = edited.resolver.resolve(edit).request.question
        assert dict(edited.ask(asked))[edit.target_new] == pytest.approx(result.probability_after, rel=1e-2)


def says(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, text: str) -> RemovableHandle:
    """Make a model continue every prompt with this text, by the number of its calls."""
    script = [*encode_target(tokenizer, text), tokenizer.eos_token_id]
    steps: list[int] = []

    def scripted(module: torch.nn.Module, args: object, logits: torch.Tensor) -> torch.Tensor:
        told = torch.zeros_like(logits)
        told[..., script[min(len(steps), len(script) - 1)]] = 9.0
        steps.append(0)
        return told

    return model.lm_head.register_forward_hook(scripted)


@pytest.mark.parametrize("name", ["St. Louis", "2. Bundesliga", "Washington, D.C.", "J. K. Rowling", "Mr. Bean"])
@pytest.mark.parametrize("behind", ["", ".", ". He was", ", where"])
def test_an_answer_with_full_stops_is_given_whole(name: str, behind: str) -> None:
    model, tokenizer = tiny_model("gpt2")
    editor = Editor(model, tokenizer, bundled_store(), cheap(1), moments="identity")
    handle = says(model, tokenizer, name + behind)
    said = editor.complete("It is called", max_new_tokens=60, names=(name,))
    handle.remove()
    assert begins(said, [name])
    if behind != ", where":
        assert said == name


def test_an_editor_without_a_method_resolves_and_asks_but_says_why_it_cannot_edit(loaded: Editor) -> None:
    made = Editor(loaded.model, loaded.tokenizer, loaded.graph, None, moments="identity")
    request, subgraph = made.prepare(EDITS[0])
    assert (request.subject, request.target) == ("Albert Einstein", "France")
    assert subgraph is not None
    assert made.complete(PROMPT)
    before = traces(made)
    with pytest.raises(UnknownMethod, match="has no method.*set `editor.method`"):
        made.apply(EDITS[0])
    assert same(traces(made), before)


def test_a_revert_inside_a_preview_does_not_replace_the_users_exception(editor: Editor) -> None:
    before = traces(editor)

    def reverts_and_fails() -> None:
        with editor.preview(EDITS[0]):
            editor.revert(next(iter(editor.history)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        reverts_and_fails()
    assert same(traces(editor), before)
