"""`kgedit export` and `kgedit ingest verify`: folders, numbers, and the exit code of an export that does not hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.conftest import Run
from ingest.stores import edited_store
from kgedit.cli import main


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return edited_store(tmp_path_factory.mktemp("store"))


def test_each_kind_is_written_and_verified(store: Path, tmp_path: Path, run: Run) -> None:
    for kind, held in (("adapter", "adapter_config.json"), ("checkpoint", "config.json"), ("delta", "manifest.json")):
        out = str(tmp_path / kind)
        made = run("export", kind, "--store", str(store), "--out", out, "--json")
        assert (made["kind"], made["checks"], made["held"], len(made["changes"])) == (kind, 6, 4, 2)
        assert held in made["files"]
        found = run("ingest", "verify", out, "--json")
        assert (found["kind"], found["right"], found["checks"], found["holds"]) == (kind, 4, 4, True)


def test_a_reader_sees_rank_and_error_and_what_does_not_hold(
    store: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "small")
    shown = " ".join(run("export", "adapter", "--store", str(store), "--out", out, "--rank", "1").split())
    assert "adapter of 2 changes" in shown
    assert "1 4." in shown  # rank and relative error, 4.38e-01
    with pytest.raises(SystemExit) as ended:
        main(["ingest", "verify", out])
    assert ended.value.code == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "of 4 checks hold; these do not:" in told
    with pytest.raises(SystemExit) as ended:
        main(["ingest", "verify", out, "--json"])
    assert ended.value.code == 1
    assert json.loads(capsys.readouterr().out)["holds"] is False


def test_what_cannot_be_exported_or_verified_is_one_line(store: Path, tmp_path: Path, refused: Run) -> None:
    assert "no journal" in refused("export", "delta", "--store", str(tmp_path / "none"), "--out", str(tmp_path / "x"))
    (tmp_path / "taken").write_text("mine")
    taken = str(tmp_path / "taken")
    assert "is not replaced" in refused("export", "delta", "--store", str(store), "--out", taken)
    assert "is no export" in refused("ingest", "verify", str(tmp_path))
