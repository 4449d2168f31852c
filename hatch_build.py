"""Build hook: gives editable installs the same package layout as the wheel.

The sub-packages of `tasker_kafka` are top-level folders. A wheel maps them by `sources` in pyproject.toml,
which an editable install cannot do; so this hook links them under `.hatch/editable/tasker_kafka/`, where
`dev-mode-dirs` points. Keep the links under `.hatch/`: elsewhere the sdist silently loses the packages.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SUB_PACKAGES = ("schemas", "topics", "streams", "handlers", "deploy")
ROOT_FILES = ("package/__init__.py", "package/py.typed", "package/pytest_plugin.py")
PYRIGHT_CONFIG = ".ci/pyrightconfig.json"


class EditableLinks(BuildHookInterface[Any]):
    """Links the root files and the sub-packages into one folder, on editable builds only."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a build; `version` is "standard" or "editable"."""
        if version != "editable":
            return
        target = Path(self.root, ".hatch", "editable", "tasker_kafka")
        target.mkdir(parents=True, exist_ok=True)
        for source in (*SUB_PACKAGES, *ROOT_FILES):
            _link(target / Path(source).name, Path("..", "..", "..", source))
        _link(target.parent / Path(PYRIGHT_CONFIG).name, Path("..", "..", PYRIGHT_CONFIG))


def _link(link: Path, source: Path) -> None:
    """Replace `link` by a symbolic link to `source`, which is relative to the link's folder."""
    link.unlink(missing_ok=True)
    link.symlink_to(source)
