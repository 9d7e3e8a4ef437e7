"""The fast optimisation of m* gives the losses and the value that the plain procedure gives."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from benchmarks.oracle import Found, Plain, rome, rome_sentences
from families import FAMILIES, LAYERS, UNLIKE, tiny_model
from kgedit.errors import EditDiverged
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.methods.base import Computed, Request
from kgedit.methods.engine import batch as batch_module
from kgedit.methods.engine.batch import EditBatch
from kgedit.methods.engine.objective import Objective, essence_row, target_rows
from kgedit.methods.engine.value import FreeOffset, bounded, optimise
from kgedit.methods.rome import Rome, RomeConfig
from methods.benches import PREFIXES, REQUESTS, bench

# The value of the last layer reaches no later position, so there the subject must end its prompt.
ENDING = tuple(request for request in REQUESTS if request.prompt.endswith("{}"))


def fast(
    model, tok, layer: int, requests: Sequence[Request] = REQUESTS, prefixes=PREFIXES, **kwargs
) -> list[Computed]:
    """Through the front door; with the published arithmetic, the right factor is m* - m itself."""
    config = RomeConfig(layer=layer, key="original", **{"steps": 3, **kwargs})
    return Rome(config).compute(bench(model, tok, [layer], prefixes=prefixes), requests)


def plain(model, tok, layer: int, request: Request, prefixes=PREFIXES, **kwargs) -> Found:
    sentences = rome_sentences(tok, request.prompt, request.subject, request.target, prefixes, 0.0625)
    with frozen(model):
        return rome(Plain(model, [layer], sentences), **{"steps": 3, **kwargs})


def assert_same(computed: Computed, found: Found) -> None:
    offset = computed.delta.updates[0].right[:, 0]
    assert computed.log["losses"] == pytest.approx(found.losses, rel=1e-4)
    assert float((offset - found.offset[0]).norm()) < 1e-4 * float(found.offset.norm())


@pytest.mark.parametrize(
    ("family", "layer"),
    [
        pytest.param(family, layer, marks=() if layer == 0 or family in UNLIKE else pytest.mark.long)
        for family in FAMILIES
        for layer in range(LAYERS - 1)
    ],
)
def test_four_edits_in_one_batch_are_four_plain_optimisations(family, layer) -> None:
    model, tok = tiny_model(family)
    for request, computed in zip(REQUESTS, fast(model, tok, layer), strict=True):
        found = plain(model, tok, layer, request)
        assert_same(computed, found)
        assert len(set(found.losses)) == 3
        assert float(found.offset.norm()) > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_layer(family) -> None:
    model, tok = tiny_model(family)
    for request, computed in zip(ENDING, fast(model, tok, LAYERS - 1, ENDING), strict=True):
        assert_same(computed, plain(model, tok, LAYERS - 1, request))


@pytest.mark.parametrize(
    ("family", "tokenizer", "bos"),
    [
        ("gpt2", "bytelevel", True),
        ("gpt_neox", "bytelevel-spaces", False),
        ("llama", "sentencepiece", True),
        ("mistral", "sentencepiece", False),
        ("gemma2", "sentencepiece-bare", True),
        ("gemma", "sentencepiece-bare", False),
        ("opt", "unigram", True),
    ],
)
def test_every_kind_of_tokenizer_with_and_without_bos(family, tokenizer, bos) -> None:
    model, tok = tiny_model(family, tokenizer=tokenizer, bos=bos)
    for request, computed in zip(REQUESTS, fast(model, tok, 1), strict=True):
        assert_same(computed, plain(model, tok, 1, request))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_subject_of_one_token_at_the_very_beginning(family) -> None:
    """Then nothing at all lies before the subject's last token, in no row."""
    model, tok = tiny_model(family)
    subject = tok.decode([next(i for i in range(300, len(tok)) if tok.decode([i]).isalpha())])
    assert len(tok(subject)["input_ids"]) == 1
    request = Request(subject, "{} is the capital of", "Japan")
    (computed,) = fast(model, tok, 0, [request], prefixes=("",))
    assert_same(computed, plain(model, tok, 0, request, prefixes=("",)))


@pytest.mark.parametrize(
    "settings",
    [
        {"clamp": 0.3},
        {"clamp": 100.0, "weight_decay": 0.0},
        {"learning_rate": 0.1, "weight_decay": 5.0},
    ],
    ids=str,
)
def test_settings_mean_what_they_mean_in_the_plain_procedure(settings) -> None:
    model, tok = tiny_model("gpt2", seed=1)
    for request, computed in zip(REQUESTS, fast(model, tok, 1, **settings), strict=True):
        assert_same(computed, plain(model, tok, 1, request, **settings))


def test_one_step_evaluates_and_updates_nothing() -> None:
    model, tok = tiny_model("gpt2")
    (computed,) = fast(model, tok, 1, REQUESTS[:1], steps=1)
    assert computed.log["losses"] == pytest.approx(plain(model, tok, 1, REQUESTS[0], steps=1).losses)
    assert not computed.delta.updates[0].right.any()


def test_so_many_rows_that_they_run_in_several_strips(monkeypatch) -> None:
    monkeypatch.setattr(batch_module, "_MOST_NUMBERS", 0)
    monkeypatch.setattr(batch_module, "MOST_ROWS", 16)
    model, tok = tiny_model("llama")
    prefixes = PREFIXES + tuple(f"{'The capital ' * (i % 7)}{i}. " for i in range(12))
    assert len(REQUESTS) * (len(prefixes) + 1) > 3 * 16
    for request, computed in zip(REQUESTS, fast(model, tok, 1, prefixes=prefixes, steps=3), strict=True):
        assert_same(computed, plain(model, tok, 1, request, prefixes, steps=3))


def test_each_edit_stops_by_itself_and_does_not_notice_the_others() -> None:
    model, tok = tiny_model("llama")
    settings = {"steps": 8, "stop_loss": 6.25, "weight_decay": 0.05}
    together = fast(model, tok, 1, **settings)
    lengths = [len(computed.log["losses"]) for computed in together]
    assert len(set(lengths)) > 1, "choose another stop_loss: all edits stop at the same step"
    for request, computed in zip(REQUESTS, together, strict=True):
        (alone,) = fast(model, tok, 1, [request], **settings)
        assert len(alone.log["losses"]) == len(computed.log["losses"])
        if len(alone.log["losses"]) > 1:
            ours, theirs = computed.delta.updates[0].right, alone.delta.updates[0].right
            assert float((ours - theirs).norm()) < 1e-4 * float(theirs.norm())
            assert_same(computed, plain(model, tok, 1, request, **settings))


@pytest.mark.parametrize("layers", [(0, 1), (0, 1, 2), (1, 2)], ids=str)
@pytest.mark.parametrize("family", ["gpt2", "gptj", "opt", "gemma2", "mistral"])
def test_several_layers_are_optimised_together(family, layers) -> None:
    model, tok = tiny_model(family)
    anatomy, request = anatomy_of(model), ENDING[0]
    rows = target_rows(tok, request.prompt, request.subject, request.target, PREFIXES)
    objective = Objective((*rows, essence_row(tok, request.subject, 0.0625)))
    sentences = rome_sentences(tok, request.prompt, request.subject, request.target, PREFIXES, 0.0625)
    with frozen(model):
        batch = EditBatch(model, anatomy, [objective], layers)
        base = torch.stack([batch.values[layer][0] for layer in layers])
        offset = FreeOffset(base, learning_rate=0.5, weight_decay=0.5, clamp=1.0)
        (ours,) = optimise(batch, [offset], steps=3, stop_loss=0.05)
        theirs = rome(Plain(model, layers, sentences), steps=3, clamp=1.0)
    assert ours.losses == pytest.approx(theirs.losses, rel=1e-4)
    assert float((ours.offset - theirs.offset).norm()) < 1e-4 * float(theirs.offset.norm())
    assert bool((ours.offset.norm(dim=-1) > 0).all())


class Bowl:
    """A stand-in for a batch whose loss is the first number of each edit's offset."""

    device = torch.device("cpu")

    def losses(self, offsets: Tensor, *, count_missed: bool = False) -> dict[str, Tensor]:
        return {"target": offsets[:, 0, 0]}

    def only(self, edits: Sequence[int]) -> Bowl:
        return self


class Scripted:
    """An offset that follows a script instead of gradients."""

    def __init__(self, script: Sequence[float], final: float = 9.0) -> None:
        self.script, self.last, self.updates = script, final, 0

    def current(self, step: int) -> Tensor:
        return torch.full((1, 2), float(self.script[step])).requires_grad_()

    def final(self) -> Tensor:
        return torch.full((1, 2), float(self.last))

    def penalty(self) -> Tensor:
        return torch.zeros(())

    def update(self, loss: float) -> None:
        self.updates += 1


@pytest.mark.parametrize(
    ("keep", "script", "final", "taken"),
    [
        ("last", [3, 1, 2], 9, 2),
        ("best", [3, 1, 2], 9, 1),
        ("last unless worse", [3, 1, 2], 9, 1),
        ("last unless worse", [3, 1, 2], 1.05, 1.05),  # within 0.1 of the best
        ("last unless worse", [3, 1, 2], 1.2, 1),
        ("last unless worse", [0.3, 0.02, 2], 0.045, 0.045),  # below the stop loss, whatever the best
    ],
)
def test_which_offset_is_taken(keep, script, final, taken) -> None:
    (found,) = optimise(Bowl(), [Scripted(script, final)], steps=3, stop_loss=0.0, keep=keep)
    assert found.offset[0, 0].item() == pytest.approx(taken)
    assert found.parts["target"] == pytest.approx(taken)
    assert found.losses == pytest.approx(script)


def test_an_edit_below_the_stop_loss_takes_no_further_step() -> None:
    quick, slow = Scripted([1.0, 0.01, 5.0, 5.0]), Scripted([4.0, 3.0, 2.0, 1.0])
    calls: list[tuple[int, int]] = []
    found = optimise(
        Bowl(), [quick, slow], steps=4, stop_loss=0.05, progress=lambda done, total: calls.append((done, total))
    )
    assert [solution.losses for solution in found] == [pytest.approx([1.0, 0.01]), pytest.approx([4, 3, 2, 1])]
    assert [solution.stopped for solution in found] == [True, False]
    assert (quick.updates, slow.updates) == (1, 3)  # the last evaluation is not followed by an update
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_hard_edits_get_extra_steps_and_the_others_do_not() -> None:
    easy, hard = Scripted([4.0, 0.4, 9.0, 9.0, 9.0]), Scripted([4.0, 3.0, 2.0, 1.0, 0.9])
    found = optimise(Bowl(), [easy, hard], steps=3, extra_steps=2, hard_loss=0.5, stop_loss=0.05)
    assert [len(solution.losses) for solution in found] == [3, 5]
    assert (easy.updates, hard.updates) == (2, 4)


def test_edits_that_have_stopped_leave_the_batch_and_change_nothing_for_the_others() -> None:
    model, tok = tiny_model("gpt2")
    alone = [fast(model, tok, 1, [request], steps=8)[0].log["losses"] for request in REQUESTS]
    enough = sorted(losses[3] for losses in alone)[-1] - 1e-3  # all but the slowest have stopped by then
    together = fast(model, tok, 1, steps=8, stop_loss=enough)
    assert len({len(computed.log["losses"]) for computed in together}) > 1
    for losses, computed in zip(alone, together, strict=True):
        assert computed.log["losses"] == pytest.approx(losses[: len(computed.log["losses"])], rel=1e-4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_names_edit_step_and_remedy(bad) -> None:
    with pytest.raises(EditDiverged, match=r"edit 1 is (nan|inf) at step 2.*learning rate.*float32"):
        optimise(Bowl(), [Scripted([1, 1, 1]), Scripted([1, 1, bad])], steps=3, stop_loss=0.0)


def test_an_offset_is_shrunk_onto_its_bound_and_never_stretched() -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    assert bounded(vectors, torch.tensor([1.0, 1.0, 1.0])).tolist() == [
        pytest.approx([0.6, 0.8]),
        pytest.approx([0.3, 0.4]),
        [0.0, 0.0],
    ]
    offset = FreeOffset(torch.tensor([[3.0, 4.0], [0.6, 0.8]]), learning_rate=100.0, weight_decay=0.0, clamp=2.0)
    offset.current(0).sum().backward()
    offset.update(0.0)
    assert offset.final().norm(dim=-1).tolist() == pytest.approx([10.0, 2.0])


def test_the_penalty_is_the_published_quotient() -> None:
    offset = FreeOffset(torch.tensor([[3.0, 4.0], [0.0, 2.0]]), learning_rate=1.0, weight_decay=0.5, clamp=4.0)
    with torch.no_grad():
        offset.delta.copy_(torch.tensor([[0.0, 5.0], [1.0, 0.0]]))
    assert float(offset.penalty().detach()) == pytest.approx(0.5 * (5 / 25 + 1 / 4))
