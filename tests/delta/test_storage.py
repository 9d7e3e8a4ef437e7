"""A delta on disk comes back the same, or is refused; saving is all or nothing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from families import tiny_model
from kgedit.delta import LowRankDelta
from kgedit.delta.storage import MANIFEST, _Manifest
from kgedit.errors import FileCorrupt, SaveFailed, WrongBase

EXTRA = {"method": "rome", "seed": 0, "edit": {"subject": 'Søren "K" ⟨\u202e⟩', "layers": [1, 2]}, "lr": 0.5}


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def rewrite(directory: Path, **fields) -> None:
    """Change the manifest as somebody would who can also compute its checksum."""
    found = json.loads((directory / MANIFEST).read_text()) | fields
    found["checksum"] = ""
    found["checksum"] = _Manifest.model_validate_json(json.dumps(found)).expected_checksum()
    (directory / MANIFEST).write_text(json.dumps(found))


def test_what_is_loaded_is_what_was_saved(tmp_path, gpt2, make_delta) -> None:
    delta = make_delta(gpt2, layers=(0, 2), rank=3, manifest=EXTRA)
    loaded = LowRankDelta.load(delta.save(tmp_path / "a" / "b"), gpt2)
    assert (loaded.id, loaded.base_hash, loaded.manifest) == (delta.id, delta.base_hash, EXTRA)
    for one, other in zip(delta.updates, loaded.updates, strict=True):
        assert (one.name, one.conv1d) == (other.name, other.conv1d)
        assert torch.equal(one.left, other.left)
        assert torch.equal(one.right, other.right)


def test_the_manifest_holds_the_hash_of_the_tensor_file(tmp_path, gpt2, make_delta) -> None:
    make_delta(gpt2).save(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    data = (tmp_path / manifest["tensors"]).read_bytes()
    assert manifest["tensors_sha256"] == hashlib.sha256(data).hexdigest()


def test_loading_for_another_model_is_refused(tmp_path, gpt2, make_delta) -> None:
    delta = make_delta(gpt2)
    other = tiny_model("gpt2", seed=5)[0]
    with pytest.raises(WrongBase, match=delta.base_hash):
        LowRankDelta.load(delta.save(tmp_path), other)


def test_saving_again_replaces_the_old_delta_without_leftovers(tmp_path, gpt2, make_delta) -> None:
    make_delta(gpt2, seed=1).save(tmp_path)
    second = make_delta(gpt2, seed=2)
    second.save(tmp_path)
    assert LowRankDelta.load(tmp_path).id == second.id
    assert len(files(tmp_path)) == 2
    before = files(tmp_path)
    second.save(tmp_path)
    assert files(tmp_path) == before


def test_other_files_of_the_folder_stay(tmp_path, gpt2, make_delta) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    make_delta(gpt2).save(tmp_path)
    make_delta(gpt2, seed=1).save(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_every_flipped_byte_is_noticed(tmp_path, gpt2, make_delta) -> None:
    delta = make_delta(gpt2, manifest=EXTRA)
    delta.save(tmp_path)
    for name, data in files(tmp_path).items():
        for position in range(0, len(data), max(1, len(data) // 150)):
            damaged = bytearray(data)
            damaged[position] ^= 0x04
            (tmp_path / name).write_bytes(damaged)
            try:
                loaded = LowRankDelta.load(tmp_path)
            except FileCorrupt:
                continue
            # White space of the manifest carries nothing.
            assert name == MANIFEST
            assert data[position : position + 1].isspace()
            assert (loaded.id, loaded.manifest) == (delta.id, EXTRA)
        (tmp_path / name).write_bytes(data)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("which", [0, 1])
def test_truncated_files_are_noticed(tmp_path, gpt2, make_delta, keep, which) -> None:
    make_delta(gpt2).save(tmp_path)
    path = sorted(tmp_path.iterdir())[which]
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(FileCorrupt, match="Restore the folder"):
        LowRankDelta.load(tmp_path)


def test_missing_files_are_named(tmp_path, gpt2, make_delta) -> None:
    with pytest.raises(FileCorrupt, match=r"manifest\.json cannot be read"):
        LowRankDelta.load(tmp_path / "nowhere")
    make_delta(gpt2).save(tmp_path)
    next(tmp_path.glob("*.safetensors")).unlink()
    with pytest.raises(FileCorrupt, match=r"delta-.*safetensors cannot be read"):
        LowRankDelta.load(tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "..", "", "a\\b", "C:x", "x\0"])
def test_a_forged_manifest_cannot_reach_outside_the_folder(tmp_path, gpt2, make_delta, name) -> None:
    inside = tmp_path / "delta"
    make_delta(gpt2).save(inside)
    (tmp_path / "secret").write_bytes(next(inside.glob("*.safetensors")).read_bytes())
    rewrite(inside, tensors=name)
    with pytest.raises(FileCorrupt, match="outside the folder"):
        LowRankDelta.load(inside)


def test_a_forged_manifest_cannot_make_saving_delete_other_files(tmp_path, gpt2, make_delta) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    make_delta(gpt2).save(tmp_path)
    rewrite(tmp_path, tensors="notes.txt")
    make_delta(gpt2, seed=1).save(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_other_tensors_under_a_fitting_checksum_are_refused_by_the_id(tmp_path, gpt2, make_delta) -> None:
    delta = make_delta(gpt2)
    delta.save(tmp_path)
    update = delta.updates[0]
    data = save({"0.left": 2 * update.left, "0.right": update.right})
    next(tmp_path.glob("*.safetensors")).write_bytes(data)
    rewrite(tmp_path, tensors_sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(FileCorrupt, match="its content has the id"):
        LowRankDelta.load(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{}", "[" * 100_000, '{"format": NaN}', "\x80", "{" + '"a":1,' * 1000 + '"a":1}',
    ],
)  # fmt: skip
def test_strange_manifests_are_refused_without_a_crash(tmp_path, text) -> None:
    (tmp_path / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(FileCorrupt):
        LowRankDelta.load(tmp_path)


def test_a_manifest_nested_too_deep_to_be_read_is_not_written(tmp_path, gpt2, make_delta) -> None:
    nested: dict = {}
    for _ in range(400):
        nested = {"a": nested}
    with pytest.raises(ValueError, match="(?i)recursion"):
        make_delta(gpt2, manifest=nested).save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


DISK_FULL = """
import resource, signal, sys
from pathlib import Path
from kgedit.delta import LowRankDelta
from kgedit.errors import SaveFailed

source, target, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
delta = LowRankDelta.load(source)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    delta.save(target)
except SaveFailed as error:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    sys.stdout.write(str(error))
    sys.exit(7)
"""


def save_on_a_full_disk(source: Path, target: Path, limit: int) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-c", DISK_FULL, str(source), str(target), str(limit)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)


def test_a_full_disk_leaves_the_saved_delta_as_it_was(tmp_path, gpt2, make_delta) -> None:
    """The system itself refuses to write beyond the limit: here in the middle of the tensor file."""
    source, target = tmp_path / "source", tmp_path / "target"
    make_delta(gpt2, seed=1, rank=4).save(source)
    make_delta(gpt2, seed=2).save(target)
    before = files(target)
    done = save_on_a_full_disk(source, target, limit=1000)
    assert done.returncode == 7, done.stderr
    assert str(target) in done.stdout
    assert "nothing is half-written" in done.stdout
    assert files(target) == before


def test_a_full_disk_leaves_no_new_folder_behind(tmp_path, gpt2, make_delta) -> None:
    """Room for the tensors, none for the longer manifest."""
    source = tmp_path / "source"
    make_delta(gpt2, manifest={"note": "x" * 20_000}).save(source)
    done = save_on_a_full_disk(source, tmp_path / "new" / "deeper", limit=10_000)
    assert done.returncode == 7, done.stderr
    assert not (tmp_path / "new").exists()


def test_a_file_in_place_of_the_folder(tmp_path, gpt2, make_delta) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(SaveFailed, match="taken"):
        make_delta(gpt2).save(tmp_path / "taken")
    with pytest.raises(SaveFailed, match="deeper"):
        make_delta(gpt2).save(tmp_path / "taken" / "deeper")
    assert (tmp_path / "taken").read_text() == "mine"
