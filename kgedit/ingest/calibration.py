"""Calibrates the guards of a model: quantiles of what they measure of harmless edits, and thresholds from these."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import quantiles
from typing import Unpack

from pydantic import BaseModel, ConfigDict

from kg_cache.graph import KnowledgeGraph
from kgedit.edit import Edit
from kgedit.errors import DataError
from kgedit.ingest.change import change_key, slot_key
from kgedit.ingest.chosen_method import ingesting_method
from kgedit.ingest.decide.made_changes import made_changes
from kgedit.ingest.runner import next_batch
from kgedit.ingest.session import Session, open_session
from kgedit.ingest.store.entry import PlannedEdit, Received
from kgedit.lm.loading import Loading
from kgedit.lm.second_moment.find import MomentSource
from kgedit.mini import MINI
from kgedit.mini.cases import Casebook
from kgedit.progress import Progress

OPEN = {  # thresholds that refuse nothing, so that everything is measured
    "norm": 1e9, "norm_cumulative": 1e9, "probability": 0.0, "paths": 0.0, "neighbours": 0.0, "subject": 0.0,
    "perplexity": 1e9, "locality": 0.0, "kept": 0.0,
}  # fmt: skip
_MOST = ("norm", "norm_cumulative", "perplexity")


class Calibration(BaseModel):
    """The result of a calibration; `kgedit ingest calibrate` prints it.

    Attributes:
        model: The model.
        method: Name of the method that computed the deltas.
        edits: Number of edits tried, each batch alone on the unedited model.
        seed: Seed of their draw.
        quantiles: Measure -> its 5 %, 50 % and 95 % quantile over the edits that answer right.
        right: Share of the edits that answer right.
        proposed: Measure -> threshold: 1.5 times the 95 % quantile where less is better, else the 5 % quantile.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    method: str
    edits: int
    seed: int
    quantiles: dict[str, tuple[float, float, float]]
    right: float
    proposed: dict[str, float]


def calibrate(
    model: str,
    *,
    method: str | None = None,
    edits: int,
    batch: int,
    seed: int,
    graph: KnowledgeGraph | str | Path | None = None,
    moments: MomentSource = "auto",
    progress: Progress | None = None,
    **loading: Unpack[Loading],
) -> Calibration:
    """Try edits of known facts in batches, each batch on the unedited model, and collect what guards measure.

    Args:
        model: See `open_session`.
        method: See `open_session`.
        edits: Number of edits.
        batch: Number of edits computed together.
        seed: Seed of their draw.
        graph: See `open_session`.
        moments: See `open_session`.
        progress: Called with (what, done, total).
        **loading: See `open_session`.

    Raises:
        DataError: The model recalls no fact of the graph that could be changed.
    """
    method = method or ingesting_method(model)
    measured: dict[str, list[float]] = defaultdict(list)
    right = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        open_session(
            folder, model=model, method=method, graph=graph, moments=moments, progress=progress,
            settings={"guards": OPEN}, **loading,
        ) as session,
    ):  # fmt: skip
        # 1. Edits of facts that the model recalls, received as a feed's changes would be.
        drawn = _draw(session, model, edits, seed)
        session.store.journal.receive(
            Received(key=change_key(edit), slot=slot_key(edit), change=PlannedEdit(edit=edit)) for edit in drawn
        )
        # 2. Each batch is decided with open guards and nothing applied before it; only its numbers are kept.
        done = 0
        while entries := next_batch(session, batch, after=done):
            done = entries[-1].id
            decision = session.decider.decide(entries, [], lambda slot: None)
            right += len(decision.accepted)
            for accepted in decision.accepted:
                for name, value in accepted.numbers.items():
                    measured[name].append(value)
            if progress:
                progress("trying edits", done, len(drawn))
    # 3. Thresholds that accept what was measured.
    spread = {name: _quantiles(values) for name, values in measured.items() if values}
    proposed = {
        name: round(1.5 * high, 4) if name in _MOST else round(low, 4)
        for name, (low, _, high) in spread.items()
        if name in OPEN
    }
    return Calibration(
        model=model, method=method, edits=len(drawn), seed=seed, quantiles=spread,
        right=right / len(drawn), proposed=proposed,
    )  # fmt: skip


def _draw(session: Session, model: str, count: int, seed: int) -> list[Edit]:
    """Edits of facts that the model recalls."""
    if model == MINI:
        return [case.edit for case in Casebook().draw(count, seed=seed)]
    editor = session.editor
    drawn = made_changes(session.pool, editor.model, editor.tokenizer, count, seed=seed)
    if not drawn:
        raise DataError(
            f"{model!r} recalls none of the facts of the graph {editor.graph.name!r} that it was asked, so there is "
            "nothing to calibrate with; give a graph of facts that it knows (--graph)"
        )
    return drawn


def _quantiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return (values[0],) * 3
    cut = quantiles(values, n=20, method="inclusive")
    return round(cut[0], 4), round(cut[9], 4), round(cut[18], 4)
