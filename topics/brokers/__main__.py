"""Upkeep of the embedded broker: `python -m tasker_kafka.topics.brokers fetch|train|lock`."""

from __future__ import annotations

import argparse
import sys

from tasker_kafka.topics.brokers import aot
from tasker_kafka.topics.brokers.runtime import Runtime
from tasker_kafka.topics.brokers.training import train


def main() -> None:
    """fetch: get and check the jars, print Java's path and theirs; train: make the AOT cache; lock: resolve anew."""
    parser = argparse.ArgumentParser(prog="python -m tasker_kafka.topics.brokers", description=main.__doc__)
    parser.add_argument("command", choices=["fetch", "train", "lock"])
    command = parser.parse_args().command
    if command == "lock":
        from tasker_kafka.topics.brokers.locking import write_lock

        lines = [write_lock()]
    elif command == "train":
        aot.yield_to_others()
        lines = [path for path in [train(Runtime.prepare())] if path]
    else:
        runtime = Runtime.prepare()
        lines = [runtime.java.path, *runtime.jars]
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()
