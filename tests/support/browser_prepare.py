"""`make browser`: see to it that there is a Chromium for the browser tests, where that can be done.

Debian's package as root, else Playwright's own download. Where neither works it says so and ends well: the tests
themselves are skipped then, or fail where CI is set.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from playwright.sync_api import sync_playwright

from .browser import find_chromium

__all__ = ["main"]

SECONDS = 600
APT = "apt-get"


def main() -> None:
    """Find one, or install one."""
    if (found := installed()) is not None:
        print(f"browser: {found}")
        return
    for command in ways():
        print(f"browser: {' '.join(command)}", flush=True)
        try:
            subprocess.run(command, check=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"browser: {error}")
    print(f"browser: {installed() or 'none could be installed; name one in CHROMIUM'}")


def installed() -> str | None:
    """The path of the one that tests would take."""
    with sync_playwright() as driver:
        return find_chromium(driver.chromium.executable_path)


def ways() -> list[list[str]]:
    """The commands that install one here, in order; all are run, since the second may need the first."""
    if os.geteuid() == 0 and shutil.which(APT):
        return [
            [APT, "update", "--quiet"],
            [APT, "install", "--quiet", "--yes", "--no-install-recommends", "chromium", "fonts-dejavu-core"],
        ]
    return [[sys.executable, "-m", "playwright", "install", "chromium"]]


if __name__ == "__main__":
    main()
