"""`make browser`: see to it that there is a Chromium for the browser tests, where that can be done.

Debian's package as root, and where that is none that starts, Playwright's own download. Where neither works it says so
and ends well: the tests themselves are skipped then, or fail where CI is set.
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
START_SECONDS = 60
APT = "apt-get"


def main() -> None:
    """Find one, or install one: each way is tried until one that starts is there."""
    for command in (None, *ways()):
        if command is not None:
            run(command)
        if (found := installed()) is not None:
            print(f"browser: {found}")
            return
    print("browser: none could be installed; name one in CHROMIUM")


def run(command: list[str]) -> None:
    """Run one of the ways; that it fails is told, and ends nothing."""
    print(f"browser: {' '.join(command)}", flush=True)
    try:
        subprocess.run(command, check=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"browser: {error}")


def installed() -> str | None:
    """The path of the one that tests would take, if it starts: a distribution may put a mere pointer to another store
    of packages in its place."""
    with sync_playwright() as driver:
        path = find_chromium(driver.chromium.executable_path)
    if path is None:
        return None
    try:
        subprocess.run(
            [path, "--version"],
            check=True,
            timeout=START_SECONDS,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as error:
        print(f"browser: {path} does not start: {error}")
        return None
    return path


def ways() -> list[list[str]]:
    """The commands that install one here, in order."""
    with_apt = [
        [APT, "update", "--quiet"],
        [APT, "install", "--quiet", "--yes", "--no-install-recommends", "chromium", "fonts-dejavu-core"],
    ]
    of_playwright = [sys.executable, "-m", "playwright", "install", "chromium"]
    return [*(with_apt if os.geteuid() == 0 and shutil.which(APT) else []), of_playwright]


if __name__ == "__main__":
    main()
