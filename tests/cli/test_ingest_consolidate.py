"""`kgedit ingest consolidate`: its options, its table, and the exit code where nothing was switched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kgedit.cli import main
from kgedit.ingest import Consolidated
from kgedit.ingest.store.run_record import RefusedChange

Run = Callable[..., Any]
NOT_HELD = RefusedChange(
    id=7, subject="Q937", relation="P27", target_new="Q142", reason="probability 0.2 is below 0.5", numbers={},
    labels={"Q937": "Albert Einstein"},
)  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """In place of any consolidation; by locft none comes about."""
    calls: list[dict[str, Any]] = []

    def consolidate(store: Path, **given: Any) -> Consolidated:
        calls.append(given)
        if given["method"] == "locft":
            return Consolidated(method="locft", asked=1, switched=False, failed=(NOT_HELD,))
        return Consolidated(method=given["method"], asked=9, switched=True, trained=7, patches=1, refused=(NOT_HELD,))

    monkeypatch.setattr("kgedit.ingest.consolidation.consolidate", consolidate)
    return calls


def test_the_result_is_a_table_with_what_is_refused_now(asked: list[dict[str, Any]], run: Run, tmp_path: Path) -> None:
    shown = run(
        "ingest", "consolidate", "--store", tmp_path, "--live-only", "--anew", "--without", "3", "--guard", "warn"
    )
    assert "9 changes consolidated by finetune-adapter" in shown
    assert "Albert Einstein (Q937)" in shown
    (given,) = asked
    assert (given["method"], given["refused"], given["anew"], list(given["without"]), given["guard"]) == (
        "finetune-adapter", False, True, [3], "warn",
    )  # fmt: skip


def test_the_exit_code_is_1_where_nothing_was_switched(
    asked: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["ingest", "consolidate", "--store", str(tmp_path), "--into", "matrix"])
    assert caught.value.code == 1
    assert "locft held none of 1 changes" in capsys.readouterr().out


def test_a_method_that_does_not_train_what_is_asked_for_is_refused(refused: Run, tmp_path: Path) -> None:
    store = ("ingest", "consolidate", "--store", str(tmp_path))
    assert "does not train one matrix" in refused(*store, "--into", "matrix", "--method", "finetune-adapter")
