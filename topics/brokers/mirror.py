"""Which Maven repository the jars come from: a company's mirror, or the default of the resolver that made the lock."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

from tasker_kafka.topics.brokers.errors import BrokerNotSupported

__all__ = ["maven_base"]

SETTINGS_NAMESPACE = "{*}"


def maven_base(base: str | None = None) -> str:
    """The base address of a Maven repository: `base`, TASKER_MAVEN_BASE, the mirror of `~/.m2/settings.xml`,
    else the public repository that jgo knows (the `broker` extra)."""
    return base or os.environ.get("TASKER_MAVEN_BASE") or mirror_of_settings() or public_base()


def mirror_of_settings(path: Path | None = None) -> str | None:
    """The address of the first mirror in Maven's user settings that stands for the central repository."""
    path = path or Path.home() / ".m2" / "settings.xml"
    if not path.is_file():
        return None
    try:
        mirrors = ElementTree.parse(path).iterfind(f".//{SETTINGS_NAMESPACE}mirror")  # the user's own file
    except ElementTree.ParseError:
        return None
    for mirror in mirrors:
        of = (mirror.findtext(f"{SETTINGS_NAMESPACE}mirrorOf") or "").replace(" ", "").split(",")
        if "!central" not in of and {"*", "central", "external:*"} & set(of):
            return (mirror.findtext(f"{SETTINGS_NAMESPACE}url") or "").strip() or None
    return None


def public_base() -> str:
    """The default repository of jgo, imported only when something must be fetched."""
    try:
        from jgo.constants import MAVEN_CENTRAL_URL
    except ImportError as error:
        raise BrokerNotSupported(
            "The embedded broker's jars are not here yet and nothing says where to fetch them from.",
            next_step="pip install 'tasker-kafka[broker]', or set TASKER_MAVEN_BASE to a Maven repository.",
        ) from error
    return MAVEN_CENTRAL_URL
