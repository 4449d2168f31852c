"""Which handlers and event publishers a worker has, by name."""

from __future__ import annotations

from collections.abc import Iterator

from tasker_kafka.schemas.errors import ConfigurationError

from .definition import HandlerDefinition, definition_of
from .modules import import_module, submodules
from .publishing.publishers import PublisherDefinition, publisher_of

__all__ = ["HandlerRegistry", "holds_handlers"]


class HandlerRegistry:
    """Handlers by name, and event publishers by theirs; one name stands for one piece of code.

    publishers: those registered, by name.
    """

    def __init__(self, *handlers: object) -> None:
        self._by_name: dict[str, HandlerDefinition] = {}
        self.publishers: dict[str, PublisherDefinition] = {}
        for handler in handlers:
            self.include(handler)

    def include(self, value: object) -> None:
        """Add a handler or an event publisher; ConfigurationError as from `register`."""
        publisher = publisher_of(value)
        if publisher is None:
            self.register(value)
        else:
            self._register_publisher(publisher)

    def register(self, handler: object) -> HandlerDefinition:
        """Add a decorated function or a `StepHandler` class. ConfigurationError for anything else, or a taken name."""
        definition = definition_of(handler)
        if definition is None:
            raise ConfigurationError(
                f"{handler!r} is no step handler",
                next_step='decorate a function with @step_handler("name") or derive a class from StepHandler',
            )
        taken = self._by_name.get(definition.name)
        if taken is not None and taken.place != definition.place:
            raise ConfigurationError(
                f"handler {definition.name} is defined twice: {taken.place} and {definition.place}",
                next_step="rename one of them",
            )
        self._by_name[definition.name] = definition
        return definition

    def _register_publisher(self, publisher: PublisherDefinition) -> None:
        taken = self.publishers.get(publisher.name)
        if taken is not None and taken.place != publisher.place:
            raise ConfigurationError(
                f"event publisher {publisher.name} is defined twice: {taken.place} and {publisher.place}",
                next_step="rename one of them",
            )
        self.publishers[publisher.name] = publisher

    def load(self, module: str) -> list[str]:
        """Import a module and add every handler in it and in its submodules imported by then: their names.

        Event publishers are added, too.

        ConfigurationError when there is no such module, when it fails to import, or when it holds no handler.
        """
        values = _values(module)
        found = {
            definition.name: definition
            for value in values
            if (definition := definition_of(value)) is not None
        }
        if not found:
            raise ConfigurationError(
                f"module {module} holds no step handler",
                next_step="decorate functions with @step_handler, and import the submodules that hold them",
            )
        for definition in found.values():
            self.register(definition)
        for value in values:
            if (publisher := publisher_of(value)) is not None:
                self._register_publisher(publisher)
        return sorted(found)

    def get(self, name: str) -> HandlerDefinition | None:
        """The handler of this name."""
        return self._by_name.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, sorted."""
        return tuple(sorted(self._by_name))

    def __iter__(self) -> Iterator[HandlerDefinition]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name


def holds_handlers(module: str) -> bool:
    """Whether a module, or a submodule imported by then, holds a step handler; imports it."""
    return any(definition_of(value) is not None for value in _values(module))


def _values(module: str) -> list[object]:
    """Everything that the module and its submodules have names for."""
    root = import_module(module)
    return [value for each in (root, *submodules(module)) for value in list(vars(each).values())]
