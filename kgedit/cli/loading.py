"""The options of every command that loads a model: --device, --dtype, --revision, --trust-remote-code."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import typer

from kgedit.lm.loading import Loading

Device = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1, mps ..., or auto: all GPUs; the CPU by default.")
]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"] | None,
    typer.Option("--dtype", help="Precision of the weights; the stored one by default."),
]
Revision = Annotated[str | None, typer.Option("--revision", help="Branch, tag or commit of a model on the hub.")]
TrustRemoteCode = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Run the model's own Python code; --revision must be a full commit."),
]
_OPTIONS: Mapping[str, tuple[Any, Any]] = {
    "device": (Device, None),
    "dtype": (Dtype, None),
    "revision": (Revision, None),
    "trust_remote_code": (TrustRemoteCode, False),
}


def loads_model(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of loading a model.

    Args:
        command: Has a keyword parameter `loading`, in whose place the options stand; it receives those given.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name != "loading":
            parameters.append(parameter)
            continue
        parameters.extend(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in _OPTIONS.items()
        )

    def with_options(**given: Any) -> None:
        loading = {name: value for name in _OPTIONS if (value := given.pop(name))}
        if loading:  # before anything is read, also by a command that finds out late that it needs no model
            from kgedit.lm.device import checked_loading

            checked_loading(**loading)
        command(**given, loading=loading)

    with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
    with_options.__module__ = command.__module__
    keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    with_options.__signature__ = signature.replace(parameters=keyword_only)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def as_words(loading: Loading) -> str:
    """The options as they are typed, each after a space, for commands that are shown."""
    words = []
    for name, value in loading.items():
        words.append(f"--{name.replace('_', '-')}")
        words += [] if value is True else [str(value)]
    return "".join(f" {shlex.quote(word)}" for word in words)
