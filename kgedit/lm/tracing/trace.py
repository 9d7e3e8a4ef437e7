"""The map of one prompt: how much of the answer's probability each restored state brings back.

ROME (Meng et al., 2022), section 2 and appendix B: the subject's embeddings get noise; the state at one token and
layer is put back; what the answer gains over the noisy runs is that state's indirect effect. For the parts of a block
(MLP, attention) a window of adjacent layers is put back together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import TracingError
from kgedit.lm.tokens import PromptTokens
from kgedit.lm.tracing.corrupted import PARTS, CorruptedPrompt, Part
from kgedit.lm.tracing.noise import draw_noise, embedding_width

Kind = Literal["state", "mlp", "attention"]
KINDS: tuple[Kind, ...] = ("state", *PARTS)
WINDOW = 10  # layers whose parts are put back together
_ROWS = 128  # of a forward pass


class Trace(BaseModel):
    """The maps of one prompt.

    Attributes:
        prompt: The prompt.
        tokens: Its tokens as texts.
        subject: First and last token of the subject.
        answer: The token whose probability is traced: the most probable one of the clean run.
        clean: Its probability.
        corrupted: The same with noise on the subject, mean over the samples.
        effects: Kind -> token -> layer -> indirect effect: what is gained over `corrupted`. Zero before the subject.
        severed: Part -> layer -> effect of the state at the subject's last token while the outputs of that part at
            this token, in all blocks above, are held to those of the noisy runs.
    """

    model_config = ConfigDict(frozen=True)

    prompt: str
    tokens: tuple[str, ...]
    subject: tuple[int, int]
    answer: str
    clean: float
    corrupted: float
    effects: dict[Kind, tuple[tuple[float, ...], ...]]
    severed: dict[Part, tuple[float, ...]]


def trace(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: PromptTokens,
    *,
    noise: float,
    samples: int,
    seed: int,
    window: int = WINDOW,
    kinds: Sequence[Kind] = KINDS,
    severed: bool = True,
    answer: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Trace | None:
    """Trace one prompt.

    Args:
        model: A causal language model of a known family; left as it was.
        tokenizer: Its tokenizer.
        prompt: The prompt, see `encode_prompt`.
        noise: Standard deviation of the noise, see `noise_level`.
        samples: Number of noisy runs; the same noise at every place.
        seed: Of the noise.
        window: Layers whose MLPs (or attentions) are put back together, from `window // 2` below the named layer on.
        kinds: What is put back.
        severed: Whether each part is cut off in turn.
        answer: Token that the clean run must give; None takes whatever it gives.
        progress: Called with the numbers of layers done and in all.

    Returns:
        The maps; None where the clean run gives another token than `answer`.

    Raises:
        TracingError: `samples` or `window` is below 1.
    """
    if samples < 1 or window < 1:
        raise TracingError(f"samples ({samples}) and window ({window}) must be at least 1")
    subject = prompt.subject_last - prompt.subject_first + 1
    run = CorruptedPrompt(model, prompt, draw_noise(noise, samples, subject, embedding_width(model), seed=seed))
    if answer not in (None, run.answer):
        return None
    sites = [[token] for token in range(run.width)]
    last = run.subject - 1
    held: dict[Part, list[float]] = {part: [] for part in PARTS} if severed else {}
    total, done = run.layers * (len(kinds) + len(held)), 0
    effects: dict[Kind, list[list[float]]] = {kind: [] for kind in kinds}

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    for layer in range(run.layers):
        for kind in kinds:
            effects[kind].append([p - run.corrupted for p in _restored(run, kind, layer, window, sites)])
            advance()
        for part in held:
            (restored,) = run.restore_states(layer, [[last]], severed=part)
            held[part].append(restored - run.corrupted)
            advance()
    before = [(0.0,) * run.layers] * prompt.subject_first
    return Trace(
        prompt=prompt.text,
        tokens=tuple(str(tokenizer.decode([token])) for token in prompt.ids),
        subject=(prompt.subject_first, prompt.subject_last),
        answer=str(tokenizer.decode([run.answer])),
        clean=run.clean,
        corrupted=run.corrupted,
        effects={kind: (*before, *zip(*by_layer, strict=True)) for kind, by_layer in effects.items()},
        severed={part: tuple(values) for part, values in held.items()},
    )


def window_of(layer: int, window: int, layers: int) -> range:
    """The layers that are put back together for one: half of the window below it, as published."""
    start = layer - window // 2
    return range(max(0, start), min(layers, start + window))


def _restored(
    run: CorruptedPrompt, kind: Kind, layer: int, window: int, sites: Sequence[Sequence[int]]
) -> list[float]:
    """The answer's probability for each site, in batches of bounded size."""
    step = max(1, _ROWS // run.samples)
    found: list[float] = []
    for start in range(0, len(sites), step):
        some = sites[start : start + step]
        if kind == "state":
            found += run.restore_states(layer, some)
        else:
            found += run.restore_parts(kind, window_of(layer, window, run.layers), some)
    return found
