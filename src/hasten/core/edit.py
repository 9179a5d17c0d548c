"""Every change to a net while it samples: made here, logged, and undone bit for bit.

A tactic may do two things to a net. It may *look*: a hook that sees a module's arguments and
output and changes neither. And it may *wrap*: put a `Wrapped` module in the place of a module,
which then decides whether to call it. Nothing else: no method is replaced, no class patched, no
weight touched.

    with Edit(model) as edit:
        edit.wrap("blocks.3", lambda inner: MyWrap(inner, model.clock))
        ...                     # sample
    # the same module objects are back in their places, without a hook

While an edit is open the net can be neither trained nor loaded nor distributed: features kept from
one sampling run would leak into the gradients, and weights would change under what is kept.
"""

from __future__ import annotations

import abc
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, NoReturn, Self, final

from torch import nn

from hasten.core.model import Model
from hasten.errors import EditOpen, MethodError

Hook = Callable[[tuple[Any, ...], Mapping[str, Any], Any], None]
"""Looks at a call: positional arguments, keyword arguments, output."""


@final
class Seal:
    """Gives a net its training flags back when a change of mode is refused half-way through it."""

    def __init__(self, net: nn.Module | None = None) -> None:
        self._flags = [] if net is None else [(m, m.training) for m in net.modules()]

    def refuse(self, what: str) -> NoReturn:
        """Leave the net as it was and say no.

        Raises:
            EditOpen: Always.
        """
        for module, flag in self._flags:
            module.training = flag
        raise EditOpen(
            f"{what} is refused while the net is edited for sampling",
            hint="undo the edit (leave its with-block) first",
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Seal:
        return Seal()


class Wrapped(nn.Module, abc.ABC):
    """Stands in the place of a module and may skip it.

    To everybody else it is that module: attributes, type, parameter names and state are the inner
    module's. Subclasses write `forward` and are final. What they remember belongs into a `Scratch`,
    so that a deep copy starts empty and computes with its own weights.

    Args:
        inner: The module it stands for (itself perhaps a wrapped one).
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.training = inner.training
        self.seal = Seal()

    @abc.abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``self.inner`` or don't; the result has the form of its result."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The inner module's: nets that choose by isinstance how to call a child choose rightly."""
        return self.inner.__class__

    def __getattr__(self, name: str) -> Any:
        modules = self.__dict__.get("_modules", {})
        if name in modules:
            return modules[name]
        # Python's own protocols (copying, pickling) must see the wrapper, not what is inside
        if "inner" not in modules or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(f"{type(self).__name__} has no attribute {name}")
        return getattr(modules["inner"], name)

    def named_modules(
        self,
        memo: set[nn.Module] | None = None,
        prefix: str = "",
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, nn.Module]]:
        """Itself and the inner module, both under the inner module's name."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        yield from self.inner.named_modules(memo, prefix, remove_duplicate)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The inner module's state under its usual names."""
        return self.inner.state_dict(*args, **kwargs)

    def train(self, mode: bool = True) -> Self:
        """Refused, unless it is `eval`.

        Raises:
            EditOpen: If ``mode`` is true.
        """
        return self.seal.refuse("training") if mode else super().train(False)

    def load_state_dict(self, *_: Any, **__: Any) -> NoReturn:
        """Refused."""
        self.seal.refuse("loading weights")

    def _load_from_state_dict(self, *_: Any, **__: Any) -> None:
        self.seal.refuse("loading weights")

    def _replicate_for_data_parallel(self) -> NoReturn:
        self.seal.refuse("DataParallel")

    @property
    def _ddp_params_and_buffers_to_ignore(self) -> NoReturn:
        # the one attribute DistributedDataParallel asks a net for before it takes it
        self.seal.refuse("DistributedDataParallel")


@final
class _Sealed(Wrapped):
    """The root of an edited net: refuses before anything has been half done."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Nothing but the net."""
        return self.inner(*args, **kwargs)


def bare(module: nn.Module) -> nn.Module:
    """The module itself, without what is wrapped round it."""
    while isinstance(module, Wrapped):
        module = module.inner
    return module


def is_open(model: Model) -> bool:
    """Whether somebody is editing the model's net."""
    return any(isinstance(m, Wrapped) for m in model.net.modules())


@final
class Changes:
    """Looks and wraps with a log, and nothing else; `Edit` adds the refusals."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._log: list[Callable[[], None]] = []
        paths = bare(model.net).named_modules(remove_duplicate=False)
        self._uses = Counter(id(bare(m)) for _, m in paths if not isinstance(m, Wrapped))

    def observe(self, path: str, hook: Hook) -> None:
        """See `Edit.observe`."""
        module = self._find(path)[2]

        def look(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
            hook(args, kwargs, out)

        self._log.append(module.register_forward_hook(look, with_kwargs=True).remove)

    def wrap(self, path: str, make: Callable[[nn.Module], Wrapped]) -> Wrapped:
        """See `Edit.wrap`."""
        parent, name, module = self._find(path)
        if self._uses[id(bare(module))] > 1:
            raise MethodError(
                "this module is reachable by several paths, so it cannot be wrapped at one",
                where=path,
                hint="choose another site, or give every place a module of its own",
            )
        wrapped = make(module)
        if parent is None:
            self._model.net = wrapped
            self._log.append(lambda: setattr(self._model, "net", module))
        else:
            setattr(parent, name, wrapped)
            self._log.append(lambda: setattr(parent, name, module))
        return wrapped

    def then(self, action: Callable[[], None]) -> None:
        """Put an action on the log, to be run when everything later has been undone."""
        self._log.append(action)

    def undo(self) -> None:
        """Take everything back, last first."""
        while self._log:
            self._log.pop()()

    def _find(self, path: str) -> tuple[nn.Module | None, str, nn.Module]:
        parent, name, module = None, "", self._model.net
        for name in path.split(".") if path else ():
            parent = bare(module)
            try:
                module = parent.get_submodule(name)
            except AttributeError:
                children = ", ".join(key for key, _ in parent.named_children())
                raise MethodError(
                    f"the net has no module {path!r}",
                    where=path,
                    hint=f"{name!r} is not among {children or 'no children'}",
                ) from None
        return parent, name, module


@final
class Edit(contextlib.AbstractContextManager["Edit"]):
    """An open edit of a model's net.

    Args:
        model: Whose net is edited. Its ``net`` is replaced by a sealed one until `undo`.

    Raises:
        EditOpen: If its net is being edited already.
        MethodError: If the net is in training mode, where dropout would be active.
    """

    def __init__(self, model: Model) -> None:
        if is_open(model):
            raise EditOpen(
                "this net is being edited already",
                where=model.name,
                hint="undo the other edit first; several tactics share one edit",
            )
        if model.net.training:
            raise MethodError(
                "the net is in training mode", where=model.name, hint="call net.eval() first"
            )
        self._seal = Seal(model.net)
        self._changes = Changes(model)
        handle = model.net.register_load_state_dict_pre_hook(  # type: ignore[no-untyped-call]
            self._refuse_load
        )
        self._changes.then(handle.remove)
        self.wrap("", _Sealed)

    def observe(self, path: str, hook: Hook) -> None:
        """Look at every call of a module.

        Args:
            path: Dotted path from the net; ``""`` is the net.
            hook: Called with positional arguments, keyword arguments and output.

        Raises:
            MethodError: If there is no such module.
        """
        self._changes.observe(path, hook)

    def wrap(self, path: str, make: Callable[[nn.Module], Wrapped]) -> None:
        """Put a wrapper in a module's place; what is there already ends up inside.

        Args:
            path: Dotted path from the net; ``""`` is the net.
            make: The wrapper's class, or a function that makes one round the module it is given.

        Raises:
            MethodError: If there is no such module, or it is reachable by several paths.
        """
        self._changes.wrap(path, make).seal = self._seal

    def undo(self) -> None:
        """Take everything back, last first: the same objects in the same places, no hook left."""
        self._changes.undo()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.undo()

    @staticmethod
    def _refuse_load(*_: Any) -> None:
        Seal().refuse("loading weights")
