"""What is handed over is the edited model: bit for bit as a checkpoint, to rounding as an adapter; damage is found."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ingest.stores import edited_store, fill
from kgedit.delta import LowRankDelta, WeightUpdate
from kgedit.delta.compress import compress
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.errors import FileCorrupt, JournalError, SaveFailed, UnknownModel, WrongBase
from kgedit.ingest import export, open_store, undo, verify_export
from kgedit.ingest.exports.manifest import RECORD, ExportKind, hashes
from kgedit.io.atomic_folder import whole_folder
from kgedit.lm.load import load_model
from kgedit.mini import mini_folder

peft = pytest.importorskip("peft")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return edited_store(tmp_path_factory.mktemp("handover") / "store")


@pytest.fixture(scope="module")
def exports(store: Path) -> dict[str, Path]:
    """One export of each kind, and an adapter of rank 1."""
    made = {str(kind): store.parent / kind for kind in ExportKind} | {"small": store.parent / "small"}
    for kind in ExportKind:
        export(store, made[kind], kind)
    export(store, made["small"], ExportKind.ADAPTER, rank=1)
    return made


def base():
    return load_model(str(mini_folder()), dtype=torch.float32)


@pytest.fixture(scope="module")
def edited(store: Path):
    """Model with the deltas of the store applied one after another, and tokenizer."""
    model, tokenizer = base()
    with open_store(store) as opened:
        for delta in opened.live_deltas():
            delta.apply(model, check=False)
    return model, tokenizer


@torch.no_grad()
def logits(model, tokenizer, store: Path) -> torch.Tensor:
    """Logits at every token of the edit prompts."""
    record = json.loads((store.parent / "delta" / RECORD).read_text(encoding="utf-8"))
    rows = [tokenizer(change["checks"][0]["question"])["input_ids"] for change in record["changes"]]
    return torch.cat([model(input_ids=torch.tensor([row])).logits[0] for row in rows])


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_the_adapter_loaded_by_peft_has_the_logits_of_the_edited_model(store, exports, edited) -> None:
    model, tokenizer = base()
    wanted = logits(*edited, store)
    unedited = logits(model, tokenizer, store)
    loaded = peft.PeftModel.from_pretrained(model, str(exports["adapter"]))
    torch.testing.assert_close(logits(loaded, tokenizer, store), wanted, rtol=1e-4, atol=1e-4)
    assert float((wanted - unedited).abs().max()) > 1.0


def test_the_checkpoint_is_the_edited_model_bit_for_bit_and_brings_its_tokenizer(exports, edited) -> None:
    model, tokenizer = load_model(str(exports["checkpoint"]))
    wanted = edited[0].state_dict()
    assert model.state_dict().keys() == wanted.keys()
    assert all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())
    text = "Marie Curie was born in Warsaw."
    assert tokenizer(text)["input_ids"] == edited[1](text)["input_ids"]


def test_the_delta_is_all_changes_as_one_on_the_unedited_model(exports, edited) -> None:
    model, _ = base()
    delta = LowRankDelta.load(exports["delta"], model)
    assert delta.rank == 2
    assert len(delta.manifest["composed"]) == 2
    delta.apply(model)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, edited[0].state_dict()[name], rtol=1e-5, atol=1e-6)


def test_the_error_of_a_compressed_adapter_is_what_its_numbers_lose(exports) -> None:
    record = json.loads((exports["small"] / RECORD).read_text(encoding="utf-8"))
    whole = LowRankDelta.load(exports["delta"])
    tensors = load_file(exports["small"] / "adapter_model.safetensors")
    (update,) = whole.updates
    module = f"base_model.model.{update.name.removesuffix('.weight')}"
    small = tensors[f"{module}.lora_B.weight"] @ tensors[f"{module}.lora_A.weight"]
    assert record["ranks"] == {update.name: 1}
    lost = float((update.dense() - small).norm() / update.dense().norm())
    assert record["errors"][update.name] == pytest.approx(lost, rel=1e-4)
    assert 0.01 < lost < 1


def test_compression_by_hand() -> None:
    # 3 e1 e1^T + 4 e2 e2^T: the nearest matrix of rank 1 keeps the 4 and loses 3 of 5.
    update = WeightUpdate("a.weight", torch.eye(4)[:, :2], torch.eye(3)[:, :2] * torch.tensor([3.0, 4.0]))
    delta = LowRankDelta((update,), "base")
    small, errors = compress(delta, 1)
    expected = torch.zeros(3, 4)
    expected[1, 1] = 4.0
    torch.testing.assert_close(small.updates[0].dense(), expected)
    assert errors["a.weight"] == pytest.approx(0.6)
    assert small.manifest["compressed_to"] == 1
    same, none = compress(delta, 2)
    assert (same.id, none) == (delta.id, {"a.weight": 0.0})
    with pytest.raises(ValueError, match="rank 1, not 0"):
        compress(delta, 0)


@pytest.mark.parametrize("kind", ExportKind)
def test_a_sound_export_holds_what_the_store_held(exports, kind: ExportKind) -> None:
    found = verify_export(exports[kind])
    assert (found.changes, found.checks, found.right, found.open) == (2, 4, 4, 2)
    assert found.holds


def test_an_export_that_no_longer_answers_is_told_from_a_sound_one(exports) -> None:
    found = verify_export(exports["small"])  # two edits do not fit into rank 1
    assert not found.holds
    assert found.right + len(found.failed) == found.checks == 4


def changed_tensor(folder: Path, name: str) -> None:
    tensors = load_file(folder / name)
    first = min(tensors)
    save_file({**tensors, first: tensors[first] + 1}, folder / name, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("kind", "name"), [("adapter", "adapter_model.safetensors"), ("checkpoint", "model.safetensors")]
)
def test_a_damaged_or_missing_file_is_named(exports, tmp_path: Path, kind: str, name: str) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exports[kind], folder)
    changed_tensor(folder, name)
    with pytest.raises(FileCorrupt, match=f"{name} is damaged"):
        verify_export(folder)
    (folder / name).unlink()
    with pytest.raises(FileCorrupt, match=f"{name} is missing"):
        verify_export(folder)
    (folder / RECORD).unlink()
    with pytest.raises(FileCorrupt, match="is no export"):
        verify_export(folder)


def test_a_checkpoint_with_forged_file_hashes_is_still_found(exports, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exports["checkpoint"], folder)
    changed_tensor(folder, "model.safetensors")
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    (folder / RECORD).write_text(json.dumps({**record, "files": hashes(folder)}), encoding="utf-8")
    with pytest.raises(FileCorrupt, match="has weights of hash"):
        verify_export(folder)


def test_another_base_model_is_refused(exports) -> None:
    with pytest.raises(WrongBase, match="--model"):
        verify_export(exports["delta"], model=str(exports["checkpoint"]))


def test_the_card_lists_every_change_and_no_feed_breaks_out_of_its_cell(exports) -> None:
    text = (exports["checkpoint"] / "README.md").read_text(encoding="utf-8")
    assert "mini with 2 changed facts" in text
    change = r"| 1 | Harriet Beecher Stowe died in | Santa Monica | Q102513 | P20 |"
    assert change + r" 2025-12-01 | https://example.org/a\_b | a\|b.jsonl, line 1 |" in text
    small = (exports["small"] / "README.md").read_text(encoding="utf-8")
    assert "rank 1, relative error of the compression 4." in small


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.parametrize("kind", list(ExportKind))
def test_the_snippet_of_the_card_runs_as_it_stands(exports, kind: ExportKind, monkeypatch, capsys) -> None:
    text = (exports[kind] / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)\n```", text, flags=re.DOTALL)
    monkeypatch.chdir(exports[kind])
    capsys.readouterr()
    exec(compile(snippet, "README.md", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out.startswith("Harriet Beecher Stowe died in Santa Monica")


def test_nothing_that_is_handed_on_names_a_folder_of_this_machine(tmp_path: Path) -> None:
    home = tmp_path / "somebody" / "my-model"
    for part in base():
        part.save_pretrained(home)
    editor = Editor.from_pretrained(str(home), method="rome:layer=1", moments="identity")
    result = editor.apply(Edit(subject="Albert Einstein", relation="P27", target_new="France"))
    editor.save(tmp_path / "own")
    assert b"somebody" not in (tmp_path / "own" / "manifest.json").read_bytes()
    editor.revert(result.id)
    with open_store(tmp_path / "store", write=True) as store:
        fill(store, str(home), editor)
    for kind in ExportKind:
        export(tmp_path / "store", tmp_path / kind, kind)
        for path in (tmp_path / kind).rglob("*"):
            assert not path.is_file() or b"somebody" not in path.read_bytes(), path
        record = json.loads((tmp_path / kind / RECORD).read_text(encoding="utf-8"))
        assert record["model"] == "my-model"
    with pytest.raises(UnknownModel, match="--model"):
        verify_export(tmp_path / "delta")
    assert verify_export(tmp_path / "delta", model=str(home)).checks == 3


def test_what_is_no_export_is_left_alone_and_an_earlier_export_is_replaced_whole(store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(SaveFailed, match="not an earlier export"):
        export(store, out, ExportKind.DELTA)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    (out / "mine.txt").unlink()
    export(store, out, ExportKind.ADAPTER)
    export(store, out, ExportKind.DELTA)
    names = {path.name for path in out.iterdir()}
    assert "manifest.json" in names
    assert "adapter_config.json" not in names
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_export_with_a_persons_files_is_replaced_only_by_force_which_keeps_them(store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(store, out, ExportKind.DELTA)
    (out / "mine.txt").write_text("mine")
    (out / "README.md").write_text("my words")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(SaveFailed, match=r"README\.md, mine\.txt"):
        export(store, out, ExportKind.DELTA)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    export(store, out, ExportKind.DELTA, force=True)
    assert (out / "mine.txt").read_text() == "mine"
    assert "my words" not in (out / "README.md").read_text(encoding="utf-8")


def test_a_failure_leaves_the_earlier_folder_and_nothing_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with whole_folder(out, lambda _: {"mark"}) as folder:
        (folder / "mark").write_text("first")

    def interrupted() -> None:
        with whole_folder(out, lambda _: {"mark"}) as folder:
            (folder / "mark").write_text("second")
            raise OSError(28, "No space left on device")

    with pytest.raises(SaveFailed, match="No space left"):
        interrupted()
    assert (out / "mark").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "mark").stat().st_mode & 0o777 == (tmp_path / "out").stat().st_mode & 0o666


def test_an_undone_change_is_in_no_later_export_and_an_empty_store_has_none(store, tmp_path: Path) -> None:
    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    undo(copy, 1)
    record = export(copy, tmp_path / "out", ExportKind.DELTA)
    assert [change.id for change in record.changes] == [2]
    assert verify_export(tmp_path / "out").holds
    undo(copy, 2)
    with pytest.raises(JournalError, match="nothing to export"):
        export(copy, tmp_path / "none", ExportKind.DELTA)
    assert not (tmp_path / "none").exists()
