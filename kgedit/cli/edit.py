"""`kgedit edit`: changes one fact and saves the change as a delta."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kgedit.cli.collecting import offer_to_collect
from kgedit.cli.loading import as_words, loads_model
from kgedit.cli.options import MOST_SEED, AsJson, Chat, Graph, Method, Model, Moments, System, moments_source
from kgedit.cli.output import emit, line, percent, table
from kgedit.cli.progress import working
from kgedit.io.existing import refuse_existing
from kgedit.lm.loading import Loading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from kgedit.edit import EditResult


@loads_model
def edit(
    subject: Annotated[str, typer.Option(help="Whose fact changes: Wikidata id, label, alias, or free text.")],
    target: Annotated[str, typer.Option(help="The new object: Wikidata id, label, alias, or free text.")],
    out: Annotated[Path, typer.Option(help="Folder for the delta.")],
    relation: Annotated[
        str | None, typer.Option(help="Property id or name: P27, nationality; see `kgedit relations`.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help='Own wording with one {}, e.g. "{} plays for".')] = None,
    boundary: Annotated[
        Literal["none", "space"] | None, typer.Option(help="Between prompt and target; by default the prompt decides.")
    ] = None,
    chat: Chat = "auto",
    system: System = None,
    model: Model = "mini",
    method: Method = "glame",
    graph: Graph = None,
    moments: Moments = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Answer yes to questions, such as to collect moments.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of every random number.")] = 0,
    adapter: Annotated[bool, typer.Option("--adapter", help="Also write a PEFT LoRA adapter.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier delta and its adapter.")] = False,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Changes one fact and saves the change as a delta.

    The model's own files stay as they are. `kgedit ask --delta` loads the delta again.
    """
    from kgedit.edit import Edit

    request = Edit(subject=subject, relation=relation, target_new=target, prompt=prompt, boundary=boundary)
    with working(f"Loading {model}") as advance:
        from kgedit.cli.chat_answers import ChatAnswers
        from kgedit.delta import Delta
        from kgedit.delta.peft import CONFIG, WEIGHTS, adapter_origin
        from kgedit.delta.storage import check_free
        from kgedit.editor import Editor
        from kgedit.errors import FileCorrupt

        check_free(out, replace=force)
        beside = out / "adapter"
        replaced: str | None = None
        with suppress(FileCorrupt):  # none is there, or a damaged one
            replaced = Delta.load(out).id
        if adapter:
            refuse_existing(*(beside / name for name in (WEIGHTS, CONFIG)), force=force)
        editor = Editor.from_pretrained(
            model,
            method=method,
            graph=graph,
            moments=moments_source(moments),
            seed=seed,
            progress=advance,
            **loading,
        )
        answers = ChatAnswers.of(editor, request, chat, system)
        offer_to_collect(editor, advance, yes=yes, quiet=as_json)
        result = editor.apply(request)
        in_chat = answers.compared()
        editor.save(out)
        if adapter:
            editor.export_adapter(beside)
        elif replaced not in (None, result.id) and adapter_origin(beside) == replaced:
            for name in (WEIGHTS, CONFIG):
                (beside / name).unlink(missing_ok=True)
    data = {**result.model_dump(mode="json"), "succeeded": result.succeeded, "out": str(out), "chat": in_chat}
    if adapter:
        data["adapter"] = str(beside)
    emit(data, lambda: shown(result, model + as_words(loading), out, in_chat), as_json=as_json)


def shown(
    result: EditResult, model: str, out: Path, in_chat: dict[str, Any] | None = None
) -> Iterator[RenderableType]:
    """The result as tables and lines; says so if the model does not answer with the target."""
    rows = [
        ("continues with", result.before, result.after),
        (
            f"probability of {result.target_new}",
            percent(result.probability_before),
            percent(result.probability_after),
        ),
    ]
    if in_chat is not None:
        rows += [
            ("answers in a chat", in_chat["before"], in_chat["after"]),
            ("probability there", percent(in_chat["probability_before"]), percent(in_chat["probability_after"])),
        ]
    yield table(["", "before", "after"], rows, title=f"{result.subject} -> {result.target_new} ({result.method})")
    changed = [(name, f"{norm:.3g}") for name, norm in result.weights.items()]
    yield table(["changed weight", "relative norm of the change"], changed, numbers=1)
    if not result.succeeded:
        yield line(f"The edit did not take: {result.target_new} is not what the model now says.", style="bold red")
    for note in result.notes:
        yield line(f"Note: {note}")
    saved = "Saved" if result.succeeded else "What was computed is saved all the same"
    yield line(f"{saved} to {out} in {result.seconds:.1f} s. Ask the edited model:")
    yield line(f'  kgedit ask --model {model} --delta {out} "..."')
