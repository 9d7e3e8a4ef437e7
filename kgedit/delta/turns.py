"""Work on one model by one thread at a time, and undone as a whole when it fails, whatever the failure interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import RLock
from typing import Any, Concatenate, NoReturn, ParamSpec, SupportsIndex, TypeVar

from torch import nn

from kgedit.delta.delta import Delta
from kgedit.delta.hook import DeltaHook
from kgedit.delta.stack import DeltaStack

P = ParamSpec("P")
R = TypeVar("R")


class TakesTurns:
    """Base of what edits a model: its methods wait for each other, and one that raises leaves all as it was.

    Attributes:
        history: What is told of each applied delta, by id.
    """

    history: dict[str, Any]

    def __init__(self, stack: DeltaStack) -> None:
        """Start with an empty history and the deltas of a model."""
        self.history = {}
        self._stack, self._lock = stack, RLock()

    @property
    def deltas(self) -> tuple[Delta, ...]:
        """The applied deltas, in order; each can be saved, or tried on the unedited model, in any company."""
        with self.turn():
            return self._stack.deltas

    def norms(self) -> dict[str, float]:
        """||W - W_0|| / ||W_0|| of each weight that the applied deltas touch; see `DeltaStack.norms`."""
        with self.turn():
            return self._stack.norms()

    def growth(self) -> dict[str, float]:
        """||W|| / ||W_0|| of each weight that the applied deltas touch; see `DeltaStack.growth`."""
        with self.turn():
            return self._stack.growth()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Keep other threads out for the length of a `with` block; if it raises, all is as before it."""
        with self._lock:
            mark, history = self._stack.mark(), dict(self.history)
            try:
                with as_before_on_error(self._stack.model):
                    yield
            except BaseException:
                self._stack.roll_back(mark)
                self.history.clear()
                self.history.update(history)
                raise

    @contextmanager
    def taken_back(self, apply: Callable[[], str], revert: Callable[[str], None]) -> Iterator[None]:
        """One turn that applies a delta, and reverts it at the end of the block, unless the block has done so.

        Args:
            apply: Applies it and returns its id.
            revert: Reverts what has an id.
        """

        def take_back() -> None:
            if made in self.history:
                revert(made)

        with self._lock:
            others, made = {*self.history}, ""
            try:
                made = apply()
                yield
            finally:
                # Ctrl-C may have come when the edit was made and its id not yet here, or may come now.
                made = made or next((id for id in self.history if id not in others), "")
                try:
                    take_back()
                except BaseException:
                    take_back()
                    raise

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be pickled or copied: two editors of one model would undo each other's edits."""
        raise TypeError(
            f"an {type(self).__name__} cannot be pickled or copied: it holds a model, the way back from each edit and "
            "an open graph. Write its edits with save(folder), and load_delta(folder) in one made with from_pretrained"
        )


T = TypeVar("T", bound=TakesTurns)


def in_turn(method: Callable[Concatenate[T, P], R]) -> Callable[Concatenate[T, P], R]:
    """The method inside a turn of its object."""

    @wraps(method)
    def waiting(self: T, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.turn():
            return method(self, *args, **kwargs)

    return waiting


@contextmanager
def as_before_on_error(model: nn.Module) -> Iterator[None]:
    """Undo what a failing block did to hooks of a model, training mode, swapped methods and gradient flags.

    The parts of the program each put back what they change. Ctrl-C may fall into the midst of just that, so whoever
    begins the work takes a note first. The values of weights are not noted; see `DeltaStack.roll_back`.
    """
    attributes: list[tuple[object, dict[str, Any]]] = [(module, dict(vars(module))) for module in model.modules()]
    # Hooks, parameters, buffers and submodules stand in dictionaries that are changed in place.
    contents = [(value, dict(value)) for _, noted in attributes for value in noted.values() if isinstance(value, dict)]
    # A delta that is taken off meanwhile empties its hook.
    hooks = [hook for _, content in contents for hook in content.values() if isinstance(hook, DeltaHook)]
    attributes += [(hook, dict(vars(hook))) for hook in hooks]
    flags = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    try:
        yield
    except BaseException:
        for value, content in contents:
            value.clear()
            value.update(content)
        for owner, noted in attributes:
            vars(owner).clear()
            vars(owner).update(noted)
        for parameter, requires_grad, grad in flags:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad
        raise
