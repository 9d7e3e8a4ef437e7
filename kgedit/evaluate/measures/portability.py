"""Portability: does the model answer a question that follows from the edit?

Two protocols, never to be mixed: strict (greedy, continuation only, whole words, aliases) and the published fuzzy one
(sampled, prompt included, partial match), which is noisy and counts answers that the question itself contains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import MissingExtra
from kgedit.evaluate.measures.cloze import as_cloze
from kgedit.evaluate.measures.matching import Matcher, contains
from kgedit.lm.generation.greedy import Answers, Ask
from kgedit.lm.generation.sampling import sample_texts

THRESHOLD = 70  # of a partial ratio in percent, as published
REPEATS = (0, 1, 2)  # seeds


@dataclass(frozen=True)
class PortabilityProbe:
    """The portability questions of one case.

    Attributes:
        questions: Pairs of a question (or cloze) and its answer followed by other names of it.
    """

    questions: tuple[tuple[str, tuple[str, ...]], ...]

    def asks(self) -> list[Ask]:
        """Every question with the paper's suffix; 20 new tokens."""
        return [Ask(as_cloze(question)) for question, _ in self.questions]

    def judge(self, answers: Answers, *, match: Matcher = contains) -> dict[str, float]:
        """`portability`: share of questions whose greedy continuation has the answer or an alias."""
        if not self.questions:
            return {}
        right = [match(answers[Ask(as_cloze(question))], names) for question, names in self.questions]
        return {"portability": fmean(right)}


def published_fuzzy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    probes: Sequence[PortabilityProbe],
    *,
    seeds: Sequence[int] = REPEATS,
    max_tokens: int = 100,
    batch_size: int = 64,
) -> list[dict[str, float]]:
    """The protocol of GLAME's released evaluation (GLAME, Zhang et al., 2024), repeated and seeded.

    One continuation by top-k (5) sampling, at most 100 tokens with the prompt; right if the partial ratio of the
    whole text and the answer (no aliases) is at least 70.

    Returns:
        For each probe `portability_published_fuzzy`, the mean over questions and seeds; nothing without questions.

    Raises:
        MissingExtra: rapidfuzz is not installed.
    """
    # Questions of all probes are flattened, so that they share batches.
    asked = [(as_cloze(question), names[0]) for probe in probes for question, names in probe.questions]
    rights = [0.0] * len(asked)
    for seed in seeds:
        prompts = [prompt for prompt, _ in asked]
        texts = sample_texts(model, tokenizer, prompts, max_tokens=max_tokens, seed=seed, batch_size=batch_size)
        for i, (text, (_, answer)) in enumerate(zip(texts, asked, strict=True)):
            rights[i] += fuzzy_match(text, answer) / len(seeds)
    # The flat results are dealt back to the probes, in the order in which they were asked.
    values = iter(rights)
    return [
        {"portability_published_fuzzy": fmean(next(values) for _ in probe.questions)} if probe.questions else {}
        for probe in probes
    ]


def fuzzy_match(text: str, answer: str, *, threshold: int = THRESHOLD) -> bool:
    """Whether the best partial match of the answer in the text reaches the threshold; case counts, as published.

    fuzzywuzzy, which was used in the publication, sometimes misses the best window that rapidfuzz finds, and cuts
    windows at the text's edges differently; both round to whole percents. An empty text or answer never matches.

    Raises:
        MissingExtra: rapidfuzz is not installed.
    """
    try:
        from rapidfuzz.fuzz import partial_ratio
    except ImportError as error:
        raise MissingExtra("fuzzy portability needs rapidfuzz; install it with pip install 'kgedit[eval]'") from error
    return bool(text and answer) and round(partial_ratio(text, answer)) >= threshold
