"""A formatted data folder without the format tool's 0.7 s.

The tool runs once per lock; what it wrote is copied for every further broker, with ids of its own in `meta.properties`.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from tasker_kafka.topics.brokers.errors import BrokerNotStarted
from tasker_kafka.topics.brokers.files import file_lock, write_whole
from tasker_kafka.topics.brokers.java import Java, java_command
from tasker_kafka.topics.brokers.properties import NodeProperties

__all__ = ["format_folder", "is_formatted", "new_cluster_id"]

BOOTSTRAP, META = "bootstrap.checkpoint", "meta.properties"


def new_cluster_id() -> str:
    """A random id in Kafka's form: 22 characters of URL-safe base64; a leading hyphen is not allowed."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def is_formatted(node: NodeProperties) -> bool:
    """Whether the node's data folder holds a formatted (perhaps used) broker."""
    return (node.log_dir / META).is_file()


def format_folder(
    node: NodeProperties,
    java: Java,
    jars: Sequence[Path],
    *,
    cluster_id: str,
    format_arguments: Sequence[str] = (),
) -> None:
    """Make the node's data folder ready for its first start.

    `format_arguments` are further ones of the format tool (`--add-scram …`); then it runs for this folder itself.
    """
    node.log_dir.mkdir(parents=True, exist_ok=True)
    if format_arguments:
        run_format_tool(node, java, jars, cluster_id, format_arguments)
        return
    template = ensure_template(java, jars)
    write_whole(node.log_dir / BOOTSTRAP, (template / BOOTSTRAP).read_bytes())
    # Last, because its presence says that the folder is formatted.
    meta = f"version=1\nnode.id={node.node_id}\ncluster.id={cluster_id}\ndirectory.id={new_cluster_id()}\n"
    write_whole(node.log_dir / META, meta.encode())


def ensure_template(java: Java, jars: Sequence[Path]) -> Path:
    """The folder of the cached format, made by the format tool when it is not there."""
    template = jars[0].parent.parent / "template"
    if (template / BOOTSTRAP).is_file():
        return template
    with file_lock(template.with_suffix(".lock")):
        if not (template / BOOTSTRAP).is_file():
            with tempfile.TemporaryDirectory(prefix="tasker-format-") as scratch:
                node = NodeProperties(home=Path(scratch), port=9092, controller_port=9093)
                run_format_tool(node, java, jars, new_cluster_id(), ())
                write_whole(template / BOOTSTRAP, (node.log_dir / BOOTSTRAP).read_bytes())
    return template


def run_format_tool(
    node: NodeProperties, java: Java, jars: Sequence[Path], cluster_id: str, format_arguments: Sequence[str]
) -> None:
    """Run Kafka's own tool on the node's folder."""
    arguments = ["format", "-t", cluster_id, "-c", str(node.write()), *format_arguments]
    command = java_command(java, jars, "kafka.tools.StorageTool", arguments, log_level="error")
    result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        shutil.rmtree(node.log_dir, ignore_errors=True)
        raise BrokerNotStarted(
            f"The data folder {node.log_dir} could not be formatted (exit {result.returncode}):\n"
            + "\n".join((result.stderr + result.stdout).strip().splitlines()[-10:]),
            next_step="Check that the disk is not full and that the java command is version 17 or newer.",
        )
