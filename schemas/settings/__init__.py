"""What an installation decides, checked as a whole before a role starts.

    settings = load_settings()
    settings.broker.bootstrap, settings.worker.concurrency

Later wins: the defaults in this package, its overrides for the environment (`environments/<env>.toml` here), the
installation's `base/*.toml`, its `environments/<env>/*.toml`, then the `TASKER_…` variables. No setting may influence
`decide`; what the rules need is in the plan.
"""

from .explaining import Explanation, explain, keys, show
from .loading import InvalidSettings, load_settings
from .model import Settings
from .secrets import Secret

__all__ = ["Explanation", "InvalidSettings", "Secret", "Settings", "explain", "keys", "load_settings", "show"]
