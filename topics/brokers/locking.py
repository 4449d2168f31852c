"""Resolving the jars anew, for maintainers: jgo walks the dependencies, the lock keeps what it found."""

from __future__ import annotations

import hashlib
import tempfile
import tomllib
from pathlib import Path

from tasker_kafka.topics.brokers.files import write_whole
from tasker_kafka.topics.brokers.jars import LOCK_PATH, Artifact

__all__ = ["lock_text", "write_lock"]

HEAD = """\
# The jars of the embedded Apache Kafka, each with the sha256 it must have before it is used.
# Written by `python -m tasker_kafka.topics.brokers lock`: the roots are asked for, the artifacts are what they need.
"""


def lock_text(roots: list[str], artifacts: list[Artifact]) -> str:
    """The lock file's text; the same jars give the same text."""
    rows = sorted(artifacts, key=lambda a: (a.group, a.artifact, a.version))
    lines = [
        f'    {{ group = "{a.group}", artifact = "{a.artifact}", version = "{a.version}", sha256 = "{a.sha256}" }},'
        for a in rows
    ]
    quoted = ", ".join(f'"{root}"' for root in roots)
    return "\n".join([HEAD + f"roots = [{quoted}]", "artifacts = [", *lines, "]", ""])


def write_lock() -> Path:
    """Resolve the lock's roots with jgo in an empty cache and write the lock; to be reviewed before it is committed."""
    roots = tomllib.loads(LOCK_PATH.read_text())["roots"]
    with tempfile.TemporaryDirectory(prefix="tasker-lock-") as scratch:
        artifacts = resolve(roots, Path(scratch))
    write_whole(LOCK_PATH, lock_text(roots, artifacts).encode())
    LOCK_PATH.chmod(0o644)
    return LOCK_PATH


def resolve(roots: list[str], scratch: Path) -> list[Artifact]:
    """Every jar that `roots` need, downloaded into `scratch` and hashed from there."""
    from jgo.env import EnvironmentBuilder
    from jgo.maven import MavenContext, PythonResolver

    repository = scratch / "repository"
    context = MavenContext(repo_cache=repository, resolver=PythonResolver())
    EnvironmentBuilder(context, cache_dir=scratch / "environments").from_endpoint("+".join(roots))
    found: list[Artifact] = []
    for jar in repository.rglob("*.jar"):
        folder = jar.parent.relative_to(repository).parts
        digest = hashlib.sha256(jar.read_bytes()).hexdigest()
        found.append(Artifact(".".join(folder[:-2]), folder[-2], folder[-1], digest))
    return found
