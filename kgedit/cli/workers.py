"""The options of every command whose work several workers can share: --executor, --workers, --gpus-per-worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from kgedit.workers.pool import WorkerPlan

Executor = Annotated[
    Literal["here", "ray"],
    typer.Option("--executor", help="here: one process; ray: workers on this machine, or on the cluster RAY_ADDRESS."),
]
WorkerCount = Annotated[
    int | None, typer.Option("--workers", min=1, max=4096, help="Workers of --executor ray (default: 2).")
]
GpusPerWorker = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-worker", min=0.0, max=64.0, help="GPUs of each, or a share (default: 1 where --device is one)."
    ),
]


def worker_plan(executor: str, workers: int | None, gpus: float | None, device: str | None) -> WorkerPlan | None:
    """What the options ask for; None for one process.

    A worker has the threads that this process would have: sums depend on their number, and results shall not.

    Raises:
        typer.BadParameter: Workers are described and none are asked for.
    """
    if executor == "here":
        if workers is not None or gpus is not None:
            raise typer.BadParameter("--workers and --gpus-per-worker need --executor ray")
        return None
    import torch

    from kgedit.workers.pool import WorkerPlan

    on_gpu = bool(device) and device != "cpu"
    return WorkerPlan(workers or 2, torch.get_num_threads(), gpus if gpus is not None else float(on_gpu))
