"""Which methods that were asked for can run on the model; of those that "all" brings in, the others are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from transformers import PreTrainedModel

from kgedit.errors import KgeditError
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.lm.anatomy import anatomy_of
from kgedit.methods.base import Method
from kgedit.methods.before_loading import check_before_loading
from kgedit.methods.registry import method_for

Notes = tuple[str, ...]
T = TypeVar("T")


def usable_variants(settings: EvaluationSettings, variants: Sequence[str]) -> tuple[tuple[str, ...], Notes]:
    """The variants with which nothing is wrong that can be known before the model is loaded; and notes on the others.

    Raises:
        KgeditError: Something is wrong with one that was asked for by its name.
    """

    def check(variant: str) -> None:
        check_before_loading(settings.model, variant, moments=settings.moments)

    kept, notes = _kept(settings, variants, check)
    return tuple(kept), notes


def usable_methods(
    settings: EvaluationSettings, variants: Sequence[str], model: PreTrainedModel
) -> tuple[dict[str, Method], Notes]:
    """Variant -> its method, for those that can edit the loaded model; and notes, also on guessed and equal settings.

    Raises:
        KgeditError: One that was asked for by its name cannot.
    """
    layers, guesses = anatomy_of(model).n_layers(model), dict[str, None]()

    def made(variant: str) -> Method:
        method, guessed = method_for(settings.model, variant, layers)
        method.check_model(model)
        guesses.update(dict.fromkeys(guessed))
        return method

    kept, notes = _kept(settings, variants, made)
    return kept, (*notes, *guesses, *_doubled(kept))


def _doubled(methods: Mapping[str, Method]) -> Iterator[str]:
    """A note for each variant that is another one by its settings, such as "ft:ft-m" where "ft" has its loss."""
    seen: list[tuple[str, Method]] = []
    for variant, method in methods.items():
        twin = next((name for name, other in seen if (other.name, other.config) == (method.name, method.config)), None)
        if twin is None:
            seen.append((variant, method))
        else:
            yield f"{variant} has the same settings as {twin} on this model, and the same figures"


def _kept(
    settings: EvaluationSettings, variants: Sequence[str], make: Callable[[str], T]
) -> tuple[dict[str, T], Notes]:
    kept: dict[str, T] = {}
    notes: list[str] = []
    for variant in variants:
        try:
            kept[variant] = make(variant)
        except KgeditError as error:
            if variant not in settings.found_by_all:
                raise
            notes.append(f"{variant} was left out: {error}")
    return kept, tuple(notes)
