"""`kgedit locate` on the bundled model and on a tiny one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_facts_that_the_model_recalls_are_traced(run: Run, tmp_path: Path) -> None:
    found = run("locate", "--facts", "1", "--samples", "1", "--neurons", "--out", str(tmp_path / "out"), "--json")
    assert len(found["traces"]) == 1
    assert found["settings"]["window"] == 2
    assert found["clean"] > 0.5 > found["corrupted"]
    assert set(found["effects"]) == {"state", "mlp", "attention"}
    assert "last subject token" in found["effects"]["mlp"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(found["files"])
    # The neurons of the same prompts, the largest attribution first, and those that the relation's wordings share.
    assert [own["prompt"] for own in found["neurons"]] == [traced["prompt"] for traced in found["traces"]]
    for own, traced in zip(found["neurons"], found["traces"], strict=True):
        assert own["answer"].startswith(traced["answer"].strip())
        sizes = [neuron["attribution"] for neuron in own["coarse"]]
        assert sizes == sorted(sizes, reverse=True)
        assert 0.2 * sizes[0] < sizes[-1]
        assert own["wordings"] > 1
        assert all(len(neuron["says"]) == 3 for neuron in own["refined"])
    assert "its column says" in (tmp_path / "out" / "locate.html").read_text()


def test_a_subject_given_by_hand_draws_its_own_map(run: Run, tiny: str) -> None:
    words = ("--model", tiny, "--subject", "Marie Curie", "--prompt", "Therefore Marie Curie works in", "--json")
    found = run("locate", "--samples", "1", *words)
    (traced,) = found["traces"]
    assert found["neurons"] == []
    first, last = traced["subject"]
    assert "".join(traced["tokens"][first : last + 1]).strip() == "Marie Curie"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--subject", "Marie Curie"), "--prompt"),
        (("--prompt", "Marie Curie works in"), "--subject"),
        (("--subject", "Pierre Curie", "--prompt", "Marie Curie works in"), "Pierre Curie"),
        (("--subject", "", "--prompt", "{} works in"), "subject"),
        (("--samples", "0"), "samples"),
        (("--facts", "0"), "facts"),
        (("--model", "no/such-model"), "no/such-model"),
    ],
)
def test_what_cannot_be_traced_is_one_line(
    words: tuple[str, ...], named: str, tiny: str, refused: Run, tmp_path: Path
) -> None:
    given = words if "--model" in words else ("--model", tiny, *words)
    assert named in refused("locate", "--out", str(tmp_path / "out"), *given)
    assert not (tmp_path / "out").exists()


def test_a_model_that_recalls_nothing_is_told_so(refused: Run, tiny: str, tmp_path: Path) -> None:
    assert "recalls none of the facts" in refused("locate", "--model", tiny, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
