"""The gradient of an edit's loss at chosen matrices, in factors; and the model with a low-rank change for each text.

A matrix W that gives W u_t at token t has the gradient sum_t delta_t u_t^T, with delta_t the gradient of the loss at
its output there (MEND: Mitchell et al., ICLR 2022, arXiv 2110.11309, section 3.1). So a gradient, and what is made of
it token by token, has at most the rank of the text's tokens, and many edits are computed in one batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from kgedit.delta.weights import editable_weight
from kgedit.lm.anatomy import Anatomy, to_math
from kgedit.lm.hooks import add_at, capture, head_at
from kgedit.lm.padding import pad
from kgedit.methods.engine.states_below import StatesBelow
from kgedit.methods.engine.training_batch import answer_places

Row = tuple[tuple[int, ...], tuple[int, ...]]  # ids of a prompt, and of what is wanted behind it

# Weight -> left (edits, rank, d_in) and right (edits, rank, d_out): the change of an edit is sum_r right_r left_r^T.
Changes = Mapping[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class EditedMatrix:
    """A matrix that edits may change.

    Attributes:
        name: Name of the parameter.
        module: The module that holds it.
        layer: Its block.
        shape: (d_out, d_in), in math orientation.
    """

    name: str
    module: nn.Module
    layer: int
    shape: tuple[int, int]

    @property
    def conv1d(self) -> bool:
        """Whether it is stored transposed."""
        return isinstance(self.module, Conv1D)


def mlp_matrices(
    model: PreTrainedModel, anatomy: Anatomy, layers: Sequence[int], *, output_only: bool
) -> list[EditedMatrix]:
    """The MLP matrices of some blocks, in the order of the model.

    Args:
        model: The model.
        anatomy: `anatomy_of(model)`.
        layers: The blocks.
        output_only: Only the second matrix of each, instead of all that stand beside it.

    Raises:
        NoSuchLayer: The model has no such block.
    """
    found = []
    for layer in layers:
        block = anatomy.block(model, layer)
        parent, _, last = anatomy.mlp_out_path.rpartition(".")
        kind = type(anatomy.mlp_out(model, layer))
        for child, module in block.get_submodule(parent).named_children():
            if child == last or (type(module) is kind and not output_only):
                name = ".".join(filter(None, (anatomy.blocks_path, str(layer), parent, child, "weight")))
                d_out, d_in = to_math(editable_weight(model, name), kind is Conv1D).shape
                found.append(EditedMatrix(name, module, layer, (d_out, d_in)))
    return found


class ScoredTexts:
    """Texts as one batch, and which token is wanted where.

    Attributes:
        texts: What the model reads of each, without padding.
        ids: (texts, longest) token ids, padded on the right.
        mask: The same shape, 1 for tokens.
        text_of: (scored,) which text; `column` which of its tokens predicts; `token` what is wanted there.
        weight: (scored,) what the token weighs in the mean of its text.
    """

    def __init__(self, rows: Sequence[Row], fill: int, device: torch.device) -> None:
        """Lay the rows out; a wanted token but the last is part of the text as well."""
        self.texts = [(*prompt, *answer[:-1]) for prompt, answer in rows]
        ids, mask = pad(self.texts, fill, "right")
        self.ids, self.mask = ids.to(device), mask.to(device)
        text_of, column, token, weight = zip(*answer_places(rows), strict=True)
        self.text_of, self.column, self.token = (torch.tensor(x, device=device) for x in (text_of, column, token))
        self.weight = torch.tensor(weight, dtype=torch.float32, device=device)  # (scored,)

    @property
    def every_place(self) -> tuple[Tensor, Tensor]:
        """Text and column of every token that is no padding, each (tokens,)."""
        text_of, column = self.mask.nonzero(as_tuple=True)
        return text_of, column

    def logits(
        self, model: PreTrainedModel, text_of: Tensor, column: Tensor, below: StatesBelow | None = None
    ) -> Tensor:
        """Logits at the given places, (places, vocabulary) float32; of blocks that nothing changes, see `below`."""
        skipped = below.skipped(self.texts) if below else nullcontext()
        with skipped, head_at(model, text_of, column):
            found = model(input_ids=self.ids, attention_mask=self.mask, use_cache=False).logits[0]
        return found.float()  # type: ignore[no-any-return]

    def per_text(self, values: Tensor) -> Tensor:
        """The mean of values (scored,) over the wanted tokens of each text, (texts,)."""
        return values.new_zeros(len(self.ids)).index_add(0, self.text_of, values * self.weight)

    def losses(self, logits: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Mean negative log-likelihood of each text's wanted tokens, (texts,).

        Args:
            logits: (scored, vocabulary).
            smoothing: Share of the wanted distribution that is spread evenly over the vocabulary.
        """
        scores = log_softmax(logits, dim=-1)
        wanted = -scores.gather(1, self.token[:, None])[:, 0]  # (scored,)
        if smoothing:
            wanted = (1 - smoothing) * wanted - smoothing * scores.mean(dim=-1)
        return self.per_text(wanted)

    def exact(self, logits: Tensor) -> Tensor:
        """Whether each text's wanted tokens are all on top, (texts,) bool."""
        wrong = (logits.argmax(dim=-1) != self.token).float()  # (scored,)
        return self.per_text(wrong) == 0


def edit_gradient(
    model: PreTrainedModel,
    matrices: Sequence[EditedMatrix],
    texts: ScoredTexts,
    *,
    smoothing: float = 0.0,
    below: StatesBelow | None = None,
) -> Changes:
    """The factors of each text's gradient of its own mean loss: left u, right delta, with tokens for rank.

    Args:
        model: The model, frozen by the caller; gradients are enabled.
        matrices: Where.
        texts: The edits.
        smoothing: See `ScoredTexts.losses`.
        below: States below the lowest of these matrices, if they are kept.

    Returns:
        u and delta, detached; a token that has no part in the loss has a row of zeros.
    """
    modules = {matrix.name: matrix.module for matrix in matrices}
    rows = len(texts.ids)
    # The outputs need gradients, whatever is frozen: an offset of zero, into which they flow.
    offsets = {
        matrix.name: torch.zeros(
            *texts.ids.shape, matrix.shape[0], dtype=torch.float32, device=texts.ids.device, requires_grad=True
        )
        for matrix in matrices
    }
    with ExitStack() as stack:
        inputs = stack.enter_context(capture(modules, inputs=True, rows=rows))
        for name, module in modules.items():
            stack.enter_context(add_at(module, partial(torch.add, offsets[name]), rows=rows))
        logits = texts.logits(model, texts.text_of, texts.column, below)  # (scored, vocabulary)
        losses = texts.losses(logits, smoothing=smoothing)  # (texts,)
    gradients = torch.autograd.grad(losses.sum(), list(offsets.values()))
    token = texts.mask[:, :, None].float()  # (texts, longest, 1)
    return {
        name: (inputs[name].detach().float() * token, gradient.float() * token)
        for name, gradient in zip(modules, gradients, strict=True)
    }


@contextmanager
def changed(matrices: Sequence[EditedMatrix], changes: Changes, edit_of: Tensor) -> Iterator[None]:
    """The model with a change of its own for each text, while the body runs it on a batch.

    Args:
        matrices: What is changed.
        changes: Of each edit; gradients flow into them.
        edit_of: (texts,) which edit each text of the batch meets.
    """
    rows = len(edit_of)
    with ExitStack() as stack:
        for matrix in matrices:
            left, right = (factor.index_select(0, edit_of) for factor in changes[matrix.name])
            inputs = stack.enter_context(capture({"u": matrix.module}, inputs=True, rows=rows))
            stack.enter_context(add_at(matrix.module, partial(_moved, inputs, left, right), rows=rows))
        yield


def _moved(inputs: Mapping[str, Tensor], left: Tensor, right: Tensor, output: Tensor) -> Tensor:
    """W u + sum_r right_r (left_r . u), (texts, longest, d_out)."""
    along = inputs["u"].to(left.dtype) @ left.mT  # (texts, longest, rank)
    return output + along @ right
