"""Scores training texts by how much they made a model give an answer. docs/methods.md, "Attribution"."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.attribution.attributed import Attributed
from kgedit.attribution.bm25 import bm25
from kgedit.attribution.curvature import Curvature
from kgedit.attribution.gradients import EPSILON, Vectors, norms, products, question_gradients
from kgedit.attribution.settings import AttributionSettings
from kgedit.attribution.texts import Question, TrainingTexts, question_row
from kgedit.attribution.trac_in import ModelCheckpoint, checked_checkpoints, trac_in
from kgedit.errors import EvaluationError
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.lm.padding import pad_id
from kgedit.methods.engine.edit_gradient import EditedMatrix, ScoredTexts, mlp_matrices
from kgedit.progress import Progress


@torch.inference_mode(False)  # gradients are needed whatever mode the caller is in
def attribute(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    questions: Sequence[Question],
    settings: AttributionSettings | None = None,
    *,
    checkpoints: Iterable[ModelCheckpoint] | None = None,
    progress: Progress | None = None,
) -> list[Attributed]:
    """Score each text for each question; a high score says that the text made the answer more probable.

    The gradients of texts are never all held: each is multiplied with what the questions need of it, and dropped.

    Args:
        model: The trained model; left as it was.
        tokenizer: Its tokenizer.
        texts: Texts that it was, or may have been, trained on.
        questions: Prompts with the answers to be explained; what they need of each gradient is held for all of them.
        settings: See `AttributionSettings`.
        checkpoints: The model at times of its training, for `tracin`; the finished model alone by default.
        progress: Called with (what, done, total).

    Returns:
        One result for each question.

    Raises:
        DataError: No text has two tokens.
        PromptError, TargetError: A question cannot be put.
        NoSuchLayer: The model has no such block.
        UnsupportedModel: See `anatomy_of`; or a checkpoint is of another model.
        EvaluationError: Gradients are not finite.
    """
    if not questions:
        return []
    settings = settings or AttributionSettings()
    layers = settings.layers_of(anatomy_of(model).n_layers(model))
    rows = [question_row(model, tokenizer, question) for question in questions]
    training = TrainingTexts(model, tokenizer, texts, settings.batch_tokens)
    asked = ScoredTexts(rows, pad_id(tokenizer), model.device)
    scores: dict[str, Tensor] = {}  # name -> (questions, texts)
    residuals: list[float | None] = [None] * len(rows)
    finished = {*settings.scores} - {"bm25"} - ({"tracin"} if checkpoints is not None else set())
    # Checkpoints first: one that cannot be loaded ends all before the long work.
    if checkpoints is not None and "tracin" in settings.scores:
        scores["tracin"] = trac_in(
            checked_checkpoints(checkpoints, model), layers, training, asked, len(texts),
            output_only=settings.matrices == "output", progress=progress,
        )  # fmt: skip
    with frozen(model), torch.enable_grad():
        matrices = mlp_matrices(model, anatomy_of(model), layers, output_only=settings.matrices == "output")
        with torch.no_grad():
            logits = asked.logits(model, asked.text_of, asked.column)  # (scored, vocabulary)
            logprobs = (-asked.losses(logits)).tolist()
        if finished:
            curvature = Curvature(model, matrices, training, settings, progress)
            found, residuals = _by_gradients(
                model, matrices, asked, training, curvature, finished, len(texts), progress
            )
            scores = found | scores
    if "bm25" in settings.scores:
        shared = [bm25(texts, f"{question.prompt} {question.answer}") for question in questions]
        scores["bm25"] = torch.tensor(shared, dtype=torch.float32)
    if not all(torch.isfinite(scores[name]).all() for name in settings.scores):
        raise EvaluationError(
            f"gradients of this model in {model.dtype} are not finite; load it in float32 or bfloat16 (--dtype)"
        )
    return [
        Attributed(
            prompt=question.prompt,
            answer=question.answer,
            logprob=logprobs[number],
            texts=len(texts),
            settings=settings,
            layers=layers,
            scores={name: tuple(scores[name][number].tolist()) for name in settings.scores},
            residual=residuals[number],
        )
        for number, question in enumerate(questions)
    ]


def _by_gradients(
    model: PreTrainedModel,
    matrices: Sequence[EditedMatrix],
    asked: ScoredTexts,
    training: TrainingTexts,
    curvature: Curvature,
    names: Collection[str],
    count: int,
    progress: Progress | None,
) -> tuple[dict[str, Tensor], list[float | None]]:
    """The scores of the finished model, all in one pass: each is a product with the gradient of a text.

    Returns:
        Name -> (questions, count), `tracin` and `cosine` always, `ekfac` and `influence` where `names` has them; and
        of each question what conjugate gradients left.
    """
    gradients = question_gradients(model, matrices, asked)
    residuals: list[float | None] = [None] * len(asked.texts)
    wanted: dict[str, Vectors] = {"tracin": gradients}
    if "ekfac" in names:
        wanted["ekfac"] = curvature.ekfac(gradients)
    if "influence" in names:
        wanted["influence"], residuals = curvature.influence(gradients)
    # name -> (scores * questions, d_out, d_in)
    stacked = {name: torch.cat([vectors[name] for vectors in wanted.values()]) for name in gradients}
    found, lengths = products(model, matrices, training, stacked, count, progress)
    scores = dict(zip(wanted, found.view(len(wanted), -1, count), strict=True))
    scores["cosine"] = scores["tracin"] / (norms(gradients).cpu().unsqueeze(1) * lengths + EPSILON)
    return scores, residuals
