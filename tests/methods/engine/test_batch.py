"""One short run over a suffix gives the losses, gradients, keys and values of whole sentences run one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.oracle import Plain, Sentence, sentence
from families import D_FF, FAMILIES, LAYERS, UNLIKE, D, tiny_model
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.methods.engine import batch as batch_module
from kgedit.methods.engine.batch import EditBatch
from kgedit.methods.engine.objective import Objective, essence_row, keep_rows, path_rows, target_rows
from kgedit.methods.engine.similar_rows import similar_rows
from methods.benches import PREFIXES

PATHS = [("The capital of the country of {} is", "Tokyo"), ("In the country of {}, people speak", "Danish")]
FACTS = [("{} works in the field of", "physics")]


def both(tok, subject: str, prompt: str, target: str) -> tuple[Objective, list[Sentence]]:
    """The same objective twice: as rows of the package, and as sentences of the oracle."""
    rows = [
        *target_rows(tok, prompt, subject, target, PREFIXES),
        *path_rows(tok, subject, PATHS, 0.8),
        *keep_rows(tok, subject, FACTS, 0.6),
        essence_row(tok, subject, 0.4),
    ]
    sentences = [
        *(sentence(tok, prompt, subject, target, p, weight=1 / len(PREFIXES)) for p in PREFIXES),
        *(sentence(tok, p, subject, o, weight=0.4) for p, o in PATHS),
        *(sentence(tok, p, subject, o, weight=0.6, keep=True) for p, o in FACTS),
        sentence(tok, "{} is a", subject, weight=0.4, only_pivot=True),
    ]
    return Objective(tuple(rows)), sentences


EDITS = (
    ("Marie Curie", "{} is a citizen of", "Poland and Japan"),
    ("Nintendo", "Q: Where is the headquarters of {}", "Kyoto"),
)


@pytest.mark.parametrize(
    ("family", "layers", "strip"),
    [
        pytest.param(family, layers, strip, marks=() if len(layers) > 1 or family in UNLIKE else pytest.mark.long)
        for family in FAMILIES
        for layers, strip in (((0,), 32), ((1,), 3), ((LAYERS - 1,), 5), ((0, 1), 32), ((0, 1, 2), 4))
    ],
    ids=str,
)
def test_losses_gradients_keys_and_values_are_those_of_whole_sentences(family, layers, strip, monkeypatch) -> None:
    monkeypatch.setattr(batch_module, "_MOST_NUMBERS", 0)
    monkeypatch.setattr(batch_module, "MOST_ROWS", strip)  # 16 rows in one strip or in several
    model, tok = tiny_model(family)
    pairs = [both(tok, *edit) for edit in EDITS]
    generator = torch.Generator().manual_seed(layers[-1])
    offsets = torch.randn(len(EDITS), len(layers), D, generator=generator).requires_grad_()
    with frozen(model):
        batch = EditBatch(model, anatomy_of(model), [objective for objective, _ in pairs], layers)
        found = batch.losses(offsets)
        (gradient,) = torch.autograd.grad(sum(part.sum() for part in found.values()), offsets)
        for number, (objective, sentences) in enumerate(pairs):
            plain = Plain(model, layers, sentences)
            for place, layer in enumerate(layers):
                keys, values = batch.of_edit(number, layer)
                torch.testing.assert_close(keys, plain.keys[:, place], rtol=1e-5, atol=1e-5)
                torch.testing.assert_close(values, plain.values[:, place], rtol=1e-5, atol=1e-5)
            parts = plain.parts(offsets[number])
            for kind, losses in found.items():
                mine = [part for part, row in zip(parts, objective.rows, strict=True) if row.kind == kind]
                torch.testing.assert_close(losses[number], sum(mine), rtol=1e-5, atol=1e-5)
            (expected,) = torch.autograd.grad(sum(parts), offsets)
            torch.testing.assert_close(gradient[number], expected[number], rtol=1e-4, atol=1e-5)
    # In one order in every process: a sum in another order has other last bits, and the optimisation amplifies them.
    assert all(list(part.of_kind) == sorted(part.of_kind) for part in batch._parts)
    assert set(found) == {"target", "path", "keep", "essence"}


@pytest.mark.parametrize("strip", [2, 32])
def test_rows_know_their_edit_and_every_edit_its_bare_prompt(strip, monkeypatch) -> None:
    monkeypatch.setattr(batch_module, "_MOST_NUMBERS", 0)
    monkeypatch.setattr(batch_module, "MOST_ROWS", strip)
    model, tok = tiny_model("gpt2")
    objectives = [both(tok, *edit)[0] for edit in EDITS]
    with frozen(model):
        batch = EditBatch(model, anatomy_of(model), objectives, (1,))
    rows = len(objectives[0].rows)
    assert batch.edit_of.tolist() == [0] * rows + [1] * rows
    assert batch.first_rows == [0, rows]
    keys, values = batch.of_edit(1, 1)
    assert torch.equal(keys, batch.keys[1][rows:])
    assert torch.equal(values, batch.values[1][rows:])


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
def test_without_an_offset_nothing_is_lost_and_every_step_finds_the_same_start(family) -> None:
    model, tok = tiny_model(family)
    objective, _ = both(tok, *EDITS[0])
    with frozen(model):
        batch = EditBatch(model, anatomy_of(model), [objective], (0, 2))
        first = batch.losses(torch.zeros(1, 2, D))
        batch.losses(torch.ones(1, 2, D))
        again = batch.losses(torch.zeros(1, 2, D))
    assert float(first["keep"]) == pytest.approx(0, abs=1e-6)
    assert float(first["essence"]) == pytest.approx(0, abs=1e-6)
    assert all(torch.equal(first[kind], again[kind]) for kind in first)


def test_an_edit_without_rows_of_a_kind_has_no_loss_there() -> None:
    model, tok = tiny_model("gpt2")
    with_paths = both(tok, *EDITS[0])[0]
    without = Objective(tuple(row for row in both(tok, *EDITS[1])[0].rows if row.kind != "path"))
    with frozen(model):
        found = EditBatch(model, anatomy_of(model), [with_paths, without], (1,)).losses(torch.ones(2, 1, D))
    assert found["path"][0] > 0
    assert found["path"][1] == 0


def test_parts_that_run_beside_each_other_give_what_they_give_one_after_another(monkeypatch) -> None:
    model, tok = tiny_model("gpt2")
    objectives = [both(tok, *edit)[0] for edit in EDITS]
    monkeypatch.setattr(batch_module, "_MOST_NUMBERS", 0)
    monkeypatch.setattr(batch_module, "MOST_ROWS", 3)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            offsets = torch.full((2, 1, D), 0.3, requires_grad=True)
            with frozen(model):
                batch = EditBatch(model, anatomy_of(model), objectives, (1,))
                assert len({id(part.model) for part in batch._parts}) == threads
                losses = batch.losses(offsets)
                (gradient,) = torch.autograd.grad(sum(part.sum() for part in losses.values()), offsets)
                with torch.no_grad():
                    again = batch.losses(offsets)
            assert all(torch.equal(losses[kind].detach(), again[kind]) for kind in losses)
            found.append((losses, gradient, batch.keys[1]))
    finally:
        torch.set_num_threads(before)
    (losses, gradient, keys), (others, other_gradient, other_keys) = found
    torch.testing.assert_close(gradient, other_gradient, rtol=0, atol=0)
    torch.testing.assert_close(keys, other_keys, rtol=0, atol=0)
    assert all(torch.equal(losses[kind], others[kind]) for kind in losses)


def test_a_row_is_asked_under_the_offset_in_the_length_that_it_states() -> None:
    """Rows that must stay see half of the offset, as all do where half of it is added; the others see all of it."""
    model, tok = tiny_model("gpt2")
    objective, _ = both(tok, *EDITS[0])
    halved = Objective(tuple(row if row.targets else replace(row, length=0.5) for row in objective.rows))
    with frozen(model):
        plain, short = (EditBatch(model, anatomy_of(model), [each], (0, 1)) for each in (objective, halved))
        whole, half, mixed = (
            plain.losses(torch.ones(1, 2, D)),
            plain.losses(torch.ones(1, 2, D) / 2),
            short.losses(torch.ones(1, 2, D)),
        )
    for kind, loss in mixed.items():
        assert torch.equal(loss, (half if kind in ("keep", "essence") else whole)[kind])
    assert not torch.equal(whole["keep"], half["keep"])


@pytest.mark.parametrize(("free", "parts"), [(2**40, 1), (6 * 60 * LAYERS * (8 * D + 3 * D_FF) * 4, 3)])
def test_on_a_gpu_a_part_is_as_large_as_a_share_of_the_free_memory_allows(monkeypatch, free, parts) -> None:
    """A share of one sixth, float32: 60 tokens of 180 in the second case."""
    model, _ = tiny_model("llama")
    anatomy = anatomy_of(model)
    monkeypatch.setattr(type(model), "device", torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    limits = batch_module._part_of(model, anatomy, 0)
    assert len(similar_rows([2] * 90, most_rows=1, **limits)) == parts
