"""General ability before and after an edit: what a model says of facts that nobody edited.

Perplexity on held-out sentences is computed here; multiple choice by lm-evaluation-harness, on the model in memory and
with a task of our own, so that nothing is fetched.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kg_cache import snapshot
from kgedit.delta import LowRankDelta
from kgedit.errors import EvaluationError, MissingExtra
from kgedit.evaluate.metrics.rows import score_rows
from kgedit.lm.anatomy import context_length
from kgedit.lm.hooks import frozen
from kgedit.lm.tokens import encode_texts
from kgedit.mini import mini_folder
from kgedit.mini.corpus import Fact, load_facts, wordings
from kgedit.verbalize import Verbalizer

TASK = "kgedit_facts"
CHOICES = 4


class Choice(NamedTuple):
    """A statement without its object, and several objects of which one is right.

    Attributes:
        prompt: In the one wording that the bundled model never saw for this fact.
        choices: Different objects of the same relation.
        answer: Place of the right one.
    """

    prompt: str
    choices: tuple[str, ...]
    answer: int

    @property
    def sentence(self) -> str:
        """The whole statement."""
        return f"{self.prompt} {self.choices[self.answer]}."


class Ability(BaseModel):
    """What one model can.

    Attributes:
        perplexity: Of the sentences, over all their tokens but the first of each; lower is better.
        multiple_choice: Share of questions whose right answer is the most probable one, by the harness; None
            where it was not asked.
    """

    model_config = ConfigDict(frozen=True)

    perplexity: float
    multiple_choice: float | None = None


class BeforeAndAfter(BaseModel):
    """General ability of a model without and with a delta."""

    model_config = ConfigDict(frozen=True)

    before: Ability
    after: Ability


def before_and_after(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    delta: LowRankDelta,
    questions: Sequence[Choice],
    *,
    harness: bool = True,
) -> BeforeAndAfter:
    """Measure a model as it is and with a delta in force; the delta is taken back.

    Args:
        model: The model that the delta was computed for.
        tokenizer: Its tokenizer.
        delta: The change.
        questions: From `held_out`, without the subjects that were edited.
        harness: Ask lm-evaluation-harness too.

    Raises:
        MissingExtra: `harness` is set and lm_eval is not installed.
        EvaluationError: There are no questions.
    """
    before = ability(model, tokenizer, questions, harness=harness)
    with delta.apply(model):
        after = ability(model, tokenizer, questions, harness=harness)
    return BeforeAndAfter(before=before, after=after)


def ability(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Choice], *, harness: bool = True
) -> Ability:
    """Measure one model; arguments and errors as in `before_and_after`."""
    return Ability(
        perplexity=perplexity(model, tokenizer, [question.sentence for question in questions]),
        multiple_choice=multiple_choice(model, tokenizer, questions) if harness else None,
    )


def held_out(count: int = 200, *, seed: int = 0, without: Collection[str] = ()) -> list[Choice]:
    """Facts of the bundled slice of Wikidata, each in a wording that the bundled model never saw for it.

    Args:
        count: How many; fewer where there are fewer facts.
        seed: Same seed, same questions.
        without: Items that are neither subject nor object of a question: those that were edited.
    """
    text, labels = Verbalizer.bundled(), {row[0]: row[1] for row in snapshot.rows("entities")}
    facts = load_facts(mini_folder())
    objects: dict[str, list[str]] = defaultdict(list)
    right: dict[tuple[str, str], set[str]] = defaultdict(set)
    for fact in facts:
        objects[fact.relation].append(labels[fact.object])
        right[fact.subject, fact.relation].add(labels[fact.object])
    rng = random.Random(seed)
    found: list[Choice] = []
    for fact in rng.sample(facts, len(facts)):
        others = sorted(set(objects[fact.relation]) - right[fact.subject, fact.relation])
        if len(found) == count:
            break
        if len(others) < CHOICES - 1 or not {fact.subject, fact.object}.isdisjoint(without):
            continue
        found.append(_question(fact, text, labels, rng.sample(others, CHOICES - 1), rng))
    return found


def perplexity(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> float:
    """Exponential of the mean negative log-probability of a token, over all texts together.

    The first token of a text (or the BOS token before it) is only given. A text that is longer than the context
    is cut into pieces that are texts of their own.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        texts: Sentences.

    Raises:
        EvaluationError: No text has two tokens.
    """
    room = context_length(model)
    pieces = [
        (piece[:1], piece[1:])
        for text in encode_texts(tokenizer, list(texts))
        for piece in _pieces(text.ids, room)
        if len(piece) > 1
    ]
    if not pieces:
        raise EvaluationError("perplexity needs a text of at least two tokens; give some sentences")
    logprobs = [logprob for score in score_rows(model, pieces) for logprob in score.logprobs]
    return math.exp(-math.fsum(logprobs) / len(logprobs))


def multiple_choice(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Choice], *, batch_size: int = 64
) -> float:
    """Share of questions answered right, by lm-evaluation-harness on this very model, without network or files.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        questions: At least one.
        batch_size: Choices per forward pass.

    Raises:
        MissingExtra: lm_eval is not installed.
        EvaluationError: There are no questions.
    """
    if not questions:
        raise EvaluationError("multiple choice needs at least one question")
    try:
        from lm_eval import simple_evaluate
        from lm_eval.api.task import ConfigurableTask
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise MissingExtra(
            "general ability by lm-evaluation-harness needs lm_eval; install it with pip install 'kgedit[ability]'"
        ) from error
    with frozen(model), torch.no_grad():
        found = simple_evaluate(
            model=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size),
            tasks=[ConfigurableTask(config=_task(questions))],
            task_manager=TaskManager(include_defaults=False),  # else it reads 15,000 files of tasks first
            log_samples=False,
            bootstrap_iters=0,
            # Nothing here draws; the harness would else seed everybody's generators.
            random_seed=None,
            numpy_random_seed=None,
            torch_random_seed=None,
            fewshot_random_seed=None,
        )
    return float(found["results"][TASK]["acc,none"])


def _task(questions: Sequence[Choice]) -> dict[str, Any]:
    """A task of the harness, as one of its files would describe it."""

    def dataset(**_: object) -> Mapping[str, Any]:
        from datasets import Dataset

        return {"test": Dataset.from_list([question._asdict() for question in questions])}

    return {
        "task": TASK,
        "custom_dataset": dataset,
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "{{prompt}}",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "target_delimiter": " ",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }


def _question(
    fact: Fact, text: Verbalizer, labels: Mapping[str, str], others: Sequence[str], rng: random.Random
) -> Choice:
    prompt = wordings(text, (fact.relation,))[fact.unseen].replace("{}", labels[fact.subject])
    choices = rng.sample([labels[fact.object], *others], CHOICES)
    return Choice(prompt, tuple(choices), choices.index(labels[fact.object]))


def _pieces(ids: Sequence[int], room: int) -> Iterator[tuple[int, ...]]:
    for start in range(0, len(ids), room):
        yield tuple(ids[start : start + room])
