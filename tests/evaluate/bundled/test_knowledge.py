"""What the bundled model knows: a folder of a few of its facts is asked in full, and edits are kept on the whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kgedit.evaluate.bundled.knowledge import Capacity, Knowledge, Recall, capacity, check
from kgedit.mini import mini_folder
from kgedit.mini.corpus import load_chains, load_facts

KINDS = {"facts", "facts_unseen_wording"} | {
    f"{hops}{ending}" for hops in ("two_hop", "three_hop", "four_hop") for ending in ("", "_unseen")
}


def small(folder: Path, facts: list[str], chains: list[str]) -> Path:
    """The bundled model with other lists of what it knows."""
    for path in mini_folder().iterdir():
        if path.suffix in {".json", ".safetensors"}:
            shutil.copy(path, folder)
    (folder / "facts.tsv").write_text("".join(f"{line}\n" for line in facts), encoding="utf-8")
    (folder / "chains.tsv").write_text("".join(f"{line}\n" for line in chains), encoding="utf-8")
    return folder


def lines(name: str) -> list[str]:
    return (mini_folder() / name).read_text(encoding="utf-8").splitlines()


def test_every_fact_and_chain_is_asked_and_counted(tmp_path: Path) -> None:
    facts, chains = lines("facts.tsv")[:30], lines("chains.tsv")[:20]
    folder, told = small(tmp_path, facts, chains), list[tuple[str, int, int]]()
    found = check(folder, progress=lambda *words: told.append(words))
    kept, paths = load_facts(folder), load_chains(folder)
    assert found.facts == len(kept) == 30
    assert found.relations == len({line.split("\t")[1] for line in facts})
    assert found.entities == len({line.split("\t")[column] for line in facts for column in (0, 2)})
    assert found.chains == {
        name: sum(len(chain.relations) == hops for chain in paths)
        for hops, name in ((2, "two_hop"), (3, "three_hop"), (4, "four_hop"))
    }
    assert found.recall.keys() == found.shares.keys() == KINDS
    assert found.recall["facts"].asked == found.recall["facts_unseen_wording"].asked == 30
    assert sum(recall.asked for name, recall in found.recall.items() if "hop" in name) == 2 * len(paths)
    unseen = sum(not chain.trained for chain in paths)
    assert sum(recall.asked for name, recall in found.recall.items() if name.endswith("hop_unseen")) == 2 * unseen
    assert told[-1][1:] == (60 + 2 * len(paths), 60 + 2 * len(paths))
    assert found.recall["facts"].share >= 0.9
    assert Knowledge.model_validate_json(found.model_dump_json()) == found


def test_a_fact_that_the_model_never_learned_is_not_recalled(tmp_path: Path) -> None:
    """Each fact gets the object of another one; a check that passes these would pass anything."""
    rows = [line.split("\t") for line in lines("facts.tsv") if "\tP19\t" in line][:20]
    wrong = ["\t".join((s, r, other[2], unseen)) for (s, r, _, unseen), other in zip(rows, rows[1:], strict=False)]
    wrong = [line for line, row in zip(wrong, rows, strict=False) if line.split("\t")[2] != row[2]]
    found = check(small(tmp_path, wrong, []))
    assert len(wrong) > 5
    assert found.recall["facts"] == Recall(right=0, asked=len(wrong))
    assert found.shares["two_hop"] == 0.0, "nothing asked is nothing recalled, and no division by zero"


def test_edits_kept_one_after_another_are_watched() -> None:
    told: list[tuple[str, int, int]] = []
    found = capacity(edits=6, facts=40, seed=3, progress=lambda *words: told.append(words))
    assert (found.method, found.seed, found.facts) == ("rome", 3, 40)
    assert list(found.kept) == list(found.efficacy) == [1, 5, 6], "the last edit is measured whatever its number"
    assert all(0 <= share <= 1 for share in (*found.kept.values(), *found.efficacy.values()))
    assert found.efficacy[1] == 1.0
    assert found.kept[1] >= 0.9, "one edit leaves facts about others alone"
    held = [number for number, share in found.kept.items() if share >= 0.95]
    assert found.holds in {0, *held}
    assert told == [("keeping edits", number, 6) for number in range(1, 7)]
    assert Capacity.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(("right", "asked", "share"), [(3, 4, 0.75), (0, 0, 0.0)])
def test_a_share_is_right_answers_per_prompt(right: int, asked: int, share: float) -> None:
    assert Recall(right=right, asked=asked).share == share
