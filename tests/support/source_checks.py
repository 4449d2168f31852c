"""The budget of style and structure, as functions from modules to findings.

A finding says where and what to do. `tests/unit/test_structure.py` runs the checks on the repository, and
on small bad examples, so that a check that finds nothing is known to look.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator

from tests.support.source_tree import PACKAGE_FOLDERS, Module

__all__ = [
    "MIN_DOCUMENTED",
    "find_bare_ignores",
    "find_cycles",
    "find_documented_share",
    "find_impure_domain",
    "find_long_functions",
    "find_long_modules",
    "find_machine_traces",
    "find_missing_module_docs",
    "find_topic_strings",
    "find_twin_imports",
]

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40
MIN_DOCUMENTED = 0.85

_FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

# ---------------------------------------------------------------- size


def find_long_modules(modules: Iterable[Module]) -> list[str]:
    """Modules over 400 lines."""
    return [
        f"{module.path}: {count} lines, {MAX_MODULE_LINES} allowed: split it by subject"
        for module in modules
        if (count := len(module.text.splitlines())) > MAX_MODULE_LINES
    ]


def find_long_functions(modules: Iterable[Module]) -> list[str]:
    """Functions over 40 lines, from `def` to the end, without their docstring."""
    found = []
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, _FunctionNode) and (length := _length(node)) > MAX_FUNCTION_LINES:
                found.append(
                    f"{module.path}:{node.lineno} {node.name}: {length} lines, {MAX_FUNCTION_LINES} allowed: "
                    "give its parts names of their own"
                )
    return found


def _length(node: _FunctionNode) -> int:
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


# ---------------------------------------------------------------- imports


def find_cycles(modules: Iterable[Module]) -> list[str]:
    """Groups of modules that import each other outside of functions, be it for types only.

    The package's own face is left out: everything may ask it for the version.
    """
    by_name = {module.name: module for module in modules if not str(module.path).startswith("package/")}
    graph: dict[str, set[str]] = {}
    for name, module in by_name.items():
        targets = (_module_of(target, by_name) for _, target in module.imports(_top_nodes(module.tree)))
        graph[name] = {target for target in targets if target is not None and target != name}
    return [
        f"{by_name[group[0]].path}: import cycle {' <-> '.join(group)}: move what they share into a third module"
        for group in _strong_components(graph)
    ]


def _module_of(target: str, known: dict[str, Module]) -> str | None:
    """`a.b.c` is a module, or a name in the module `a.b`."""
    if target in known:
        return target
    parent = target.rpartition(".")[0]
    return parent if parent in known else None


def _top_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """What stands outside of functions, for types, too: who names another's type knows the other."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _FunctionNode):
            continue
        yield child
        yield from _top_nodes(child)


def _strong_components(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of more than one node that reach each other, each sorted."""
    reach = {name: _reachable(name, graph) for name in graph}
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in graph
        if name in reach[name]
    }
    return [list(group) for group in sorted(groups)]


def _reachable(start: str, graph: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    stack = list(graph[start])
    while stack:
        name = stack.pop()
        if name not in seen:
            seen.add(name)
            stack.extend(graph[name])
    return seen


def find_twin_imports(modules: Iterable[Module]) -> list[str]:
    """`import topics`: works by accident from the root, and makes a second copy of each module."""
    return [
        f"{module.path}:{line} imports {target}: import tasker_kafka.{target} instead"
        for module in modules
        for line, target in module.imports()
        if target.split(".")[0] in PACKAGE_FOLDERS
    ]


# ---------------------------------------------------------------- the pure domain

_IMPURE_MODULES = frozenset(
    {
        "asyncio",
        "contextvars",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "secrets",
        "signal",
    }
    | {"socket", "subprocess", "sys", "tempfile", "threading", "time", "uuid.uuid1", "uuid.uuid4", "warnings"}
    | {"aiokafka", "fastavro", "faust", "mode", "opentelemetry", "pydantic"}
)
_IMPURE_CALLS = re.compile(
    r"(^|\.)uuid[14]$|(^|\.)(datetime|date)\.(now|utcnow|today)$|^(print|open|input|breakpoint|id|hash)$"
)
_DOMAIN = "tasker_kafka.streams.domain"


def find_impure_domain(modules: Iterable[Module]) -> list[str]:
    """What reads a clock, chance, the environment or input in `streams.domain`, or leaves its layer.

    `hash` and `id` are on the list too: their values differ between processes.
    """
    found = []
    for module in modules:
        if not module.name.startswith(_DOMAIN):
            continue
        for line, target in module.imports():
            if _is_impure(target):
                found.append(f"{module.path}:{line} imports {target}: pass what it needs in the command")
            elif target.startswith("tasker_kafka.") and not target.startswith(
                (_DOMAIN, "tasker_kafka.schemas")
            ):
                found.append(f"{module.path}:{line} imports {target}: the domain knows schemas only")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and _IMPURE_CALLS.search(call := ast.unparse(node.func)):
                found.append(
                    f"{module.path}:{node.lineno} calls {call}: the same command must give the same bytes"
                )
            elif isinstance(node, ast.AsyncFunctionDef | ast.Await):
                found.append(f"{module.path}:{node.lineno} is asynchronous: waiting belongs to streams.lane")
    return found


def _is_impure(target: str) -> bool:
    parts = target.split(".")
    return any(".".join(parts[:count]) in _IMPURE_MODULES for count in range(1, len(parts) + 1))


# ---------------------------------------------------------------- ignores

_DIRECTIVE = re.compile(
    r"#\s*(?P<kind>type:\s*ignore|noqa|pyright:\s*ignore)(?P<codes>\[[^\]]+\]|:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?"
)
_REASON = re.compile(r"[A-Za-z]{3,}")


def find_bare_ignores(modules: Iterable[Module]) -> list[str]:
    """`type: ignore`, `pyright: ignore` and `noqa` without a code, or without a reason after it."""
    found = []
    for module in modules:
        for line, comment in _comments(module.text):
            directives = list(_DIRECTIVE.finditer(comment))
            for directive in directives:
                if directive["codes"] is None:
                    found.append(f"{module.path}:{line} `{directive['kind']}` has no code: name it")
            if directives and not _REASON.search(_DIRECTIVE.sub("", comment)):
                found.append(f"{module.path}:{line} an ignore has no reason: write `# why` behind it")
    return found


def _comments(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


# ---------------------------------------------------------------- documentation


def find_missing_module_docs(modules: Iterable[Module]) -> list[str]:
    """Modules that do not say why they exist."""
    return [
        f"{module.path}:1 has no docstring: say why the file exists"
        for module in modules
        if module.text.strip() and ast.get_docstring(module.tree) is None
    ]


def find_documented_share(modules: Iterable[Module]) -> tuple[float, list[str]]:
    """(share of public modules, classes and functions that have a docstring, those that have none)."""
    total, missing = 0, []
    for module in modules:
        for node, name in _public_definitions(module.tree):
            total += 1
            if ast.get_docstring(node) is None:
                missing.append(
                    f"{module.path}:{getattr(node, 'lineno', 1)} {name}: give shape, units and errors"
                )
    return (1 - len(missing) / total if total else 1.0), missing


def _public_definitions(
    node: ast.Module | ast.ClassDef, prefix: str = ""
) -> Iterator[tuple[ast.Module | ast.ClassDef | _FunctionNode, str]]:
    if isinstance(node, ast.Module):
        yield node, "module"
    for child in node.body:
        if not isinstance(child, ast.ClassDef | _FunctionNode) or child.name.startswith("_"):
            continue
        if any(
            ast.unparse(decorator).endswith(("overload", ".setter")) for decorator in child.decorator_list
        ):
            continue
        yield child, prefix + child.name
        if isinstance(child, ast.ClassDef):
            yield from _public_definitions(child, f"{prefix}{child.name}.")


# ---------------------------------------------------------------- strings

_TOPIC = re.compile(
    r"(task-requests|rejections|templates|commands|transitions|task-state|steps\.[^ ]+|payloads|control|workers"
    r"|domain-events\.[^ ]+|retry\.[^ ]+|receipts|groups|task-dlq|schemas)\.v\d"
)


def find_topic_strings(modules: Iterable[Module]) -> list[str]:
    """Topic names spelt out beside `topics`, where each has one constant."""
    found = []
    for module in modules:
        if module.name.startswith("tasker_kafka.topics"):
            continue
        prose = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in prose:
                continue
            if _TOPIC.search(node.value):
                found.append(f"{module.path}:{node.lineno} spells a topic out: use its constant in topics")
    return found


# Written so that this file does not match itself.
_TRACES = {
    "a registry's host": re.compile(
        r"\b(pypi[.]org|pythonhosted[.]org|maven[.](apache[.])?org|repo1[.]maven|npmjs[.](org|com)|crates[.]io"
        r"|proxy[.]golang[.]org|deb[.]debian[.]org|registry-1[.]docker[.]io)\b"
    ),
    "a path of one machine": re.compile(r"(?<![\w./~-])/(work|root|farm|home|Users|opt/wheels)/[\w.]"),
}


def find_machine_traces(path: str, text: str) -> list[str]:
    """Hosts of package registries and paths of the author's machine: both are settings of whoever runs it."""
    return [
        f"{path}:{number} names {what}: leave it to the tool's configuration"
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in _TRACES.items()
        if pattern.search(line)
    ]
