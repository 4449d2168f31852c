"""Which groups a process serves: what modules hold, with what subscriptions files say.

- Every `Subscriber` at module level runs.
- Every subscriber class that a module defines and that says what it subscribes to runs in its own group, unless it
  was added to a `Subscriber`, its name begins with `_`, or a file names it: then the file decides.
- A class that needs a config is given it by a file.

Groups are kept apart by name, so one name stands for one declaration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType

from tasker_kafka.handlers.modules import import_module, submodules
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.nearest import did_you_mean

from .base import BaseSubscriber
from .files import Entry
from .subscriber import Subscriber
from .subscription import SubscriberSpec

__all__ = ["SubscriberSource", "holds_subscribers", "load_specs", "only_groups", "specs_of"]

SubscriberSource = Subscriber | SubscriberSpec | BaseSubscriber | type[BaseSubscriber] | ModuleType
"""What can be served."""


def load_specs(modules: Sequence[str], entries: Iterable[Entry] = ()) -> tuple[SubscriberSpec, ...]:
    """The groups of these modules and entries, sorted by name.

    ConfigurationError when a module cannot be imported, nothing is found, an entry fits no class, or two declarations
    have one group.
    """
    roots = [import_module(each) for each in modules]
    entries = list(entries)
    kinds = [_resolve(each, roots) for each in entries]
    found = _Found()
    for root in roots:
        found.take_module(root, but=kinds)
    for entry, kind in zip(entries, kinds, strict=True):
        if entry.enabled:
            found.take_entry(entry, kind)
    specs = found.specs()
    if not specs and not entries:
        raise ConfigurationError(
            f"no subscriber in {', '.join(modules) or 'no module'}",
            next_step='make one at module level (`subscriber = Subscriber("audit")`) and decorate functions with '
            "@subscriber.on, or derive a class from BaseSubscriber; import the submodules that hold them",
        )
    if not specs:
        places = ", ".join(each.place for each in entries)
        raise ConfigurationError(
            f"every subscriber is switched off ({places})", next_step="set `enabled: true`"
        )
    return specs


def specs_of(sources: Iterable[SubscriberSource]) -> tuple[SubscriberSpec, ...]:
    """The groups of these subscribers, classes and modules, sorted by name."""
    found = _Found()
    for source in sources:
        if isinstance(source, ModuleType):
            found.take_module(source)
        elif isinstance(source, type):
            found.take_class(source)
        elif isinstance(source, BaseSubscriber):
            found.take(source.spec, type(source).__qualname__)
        else:
            found.take(source if isinstance(source, SubscriberSpec) else source.spec, type(source).__name__)
    return found.specs()


def holds_subscribers(module: str) -> bool:
    """Whether a module, or a submodule imported by then, holds a subscriber that runs by itself; imports it."""
    root = import_module(module)
    return bool(_subscribers(root) or _classes(root, set()))


def only_groups(specs: Sequence[SubscriberSpec], groups: Sequence[str]) -> tuple[SubscriberSpec, ...]:
    """Those of these groups; all if none is named. ConfigurationError names the nearest group to an unknown one."""
    known = {each.group: each for each in specs}
    for group in groups:
        if group not in known:
            raise ConfigurationError(
                f"there is no group {group[:80]!r} here", next_step=did_you_mean(group, known, kind="groups")
            )
    return tuple(known[each] for each in dict.fromkeys(groups)) or tuple(specs)


class _Found:
    """What was found so far, by group."""

    def __init__(self) -> None:
        self._specs: dict[str, tuple[SubscriberSpec, str]] = {}
        self._shared: dict[str, Subscriber] = {}
        """Groups made of classes, which may share one."""

    def take_module(self, root: ModuleType, but: Iterable[type[BaseSubscriber]] = ()) -> None:
        """What the module holds, without these classes."""
        taken = set(but)
        for subscriber in _subscribers(root):
            taken.update(map(type, subscriber.added))
            self.take(subscriber.spec, root.__name__)
        for kind in _classes(root, taken):
            self.take_class(kind)

    def take_class(self, kind: type[BaseSubscriber]) -> None:
        """A class without a config, or with one that has defaults for everything."""
        try:
            made = kind()
        except (ConfigurationError, TypeError) as error:
            raise ConfigurationError(
                f"{kind.__name__} cannot run by itself: {error.args[0].splitlines()[0]}",
                next_step=f"name it in a subscriptions file (--config FILE): `- handler: {kind.__name__}` with "
                "its `config`, or add an instance to a Subscriber",
            ) from None
        self._join(made, made.as_subscriber(), kind.__qualname__)

    def take_entry(self, entry: Entry, kind: type[BaseSubscriber]) -> None:
        """A class as a file says."""
        try:
            made = kind(entry.config)
            own = made.as_subscriber(
                entry.group, events=entry.events, name=entry.name, retry=entry.retry, delivery=entry.delivery
            )
        except ConfigurationError as error:
            raise ConfigurationError(f"{entry.place}: {error.message}", next_step=error.next_step) from None
        self._join(made, own, entry.place)

    def take(self, spec: SubscriberSpec, place: str) -> None:
        """A group by itself."""
        there = self._specs.get(spec.group)
        if there is not None and there[0] != spec:
            raise _twice(spec.group, there[1], place)
        if spec.group in self._shared:
            raise _twice(spec.group, "a class", place)
        self._specs[spec.group] = spec, place

    def specs(self) -> tuple[SubscriberSpec, ...]:
        """Sorted by group."""
        found = [*(spec for spec, _ in self._specs.values()), *(each.spec for each in self._shared.values())]
        return tuple(sorted(found, key=lambda each: each.group))

    def _join(self, made: BaseSubscriber, own: Subscriber, place: str) -> None:
        if own.group in self._specs:
            raise _twice(own.group, self._specs[own.group][1], place)
        there = self._shared.setdefault(own.group, own)
        if there is not own:
            there.merge(own)


def _twice(group: str, first: str, second: str) -> ConfigurationError:
    return ConfigurationError(
        f"the group {group} is declared twice ({first}, {second}): its members would not agree on who does what",
        next_step="name another group, or let one Subscriber take both: `.add(…)`, `.on(…)`",
    )


def _subscribers(root: ModuleType) -> list[Subscriber]:
    """The `Subscriber`s at module level that have handlers, each once."""
    found = {
        id(value): value
        for each in (root, *submodules(root.__name__))
        for value in list(vars(each).values())
        if isinstance(value, Subscriber) and not value.is_empty
    }
    return list(found.values())


def _classes(root: ModuleType, but: set[type[BaseSubscriber]]) -> list[type[BaseSubscriber]]:
    """The classes that the module or its submodules define and that run by themselves."""
    return [
        kind
        for kind in _defined(root)
        if kind.subscribe_to and kind not in but and not kind.__name__.startswith("_")
    ]


def _defined(root: ModuleType) -> Iterator[type[BaseSubscriber]]:
    for each in (root, *submodules(root.__name__)):
        for value in list(vars(each).values()):
            if (
                isinstance(value, type)
                and issubclass(value, BaseSubscriber)
                and value.__module__ == each.__name__
            ):
                yield value


def _resolve(entry: Entry, roots: Sequence[ModuleType]) -> type[BaseSubscriber]:
    """The class that an entry means. ConfigurationError names what is known."""
    module, _, name = entry.handler.rpartition(":")
    try:
        visible = {each.__name__: each for each in _visible([import_module(module)] if module else roots)}
    except ConfigurationError as error:
        raise ConfigurationError(f"{entry.place}: {error.message}", next_step=error.next_step) from None
    if name not in visible:
        raise ConfigurationError(
            f"{entry.place}: there is no subscriber class {name[:120]!r}; "
            f"{did_you_mean(name, visible, kind='subscriber classes')}",
            next_step="give the module that holds it (-m MODULE), or write `handler: module:Class`",
        )
    return visible[name]


def _visible(roots: Iterable[ModuleType]) -> Iterator[type[BaseSubscriber]]:
    """Every subscriber class that the modules define or import."""
    for root in roots:
        for each in (root, *submodules(root.__name__)):
            for value in list(vars(each).values()):
                is_kind = isinstance(value, type) and issubclass(value, BaseSubscriber)
                if is_kind and value is not BaseSubscriber:
                    yield value
