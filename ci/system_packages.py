"""Install the system packages that Qt, OpenGL and Xvfb need, if possible.

On Debian-like systems with root or passwordless sudo the missing packages are installed. On other systems
the command to run is printed and the script succeeds, because the packages may be installed under other names.
It uses only the standard library, because it runs before anything is installed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys

# For importing Qt, for image layers without a screen, and for a real window.
PACKAGES = (
    *("libglib2.0-0", "libdbus-1-3", "libfontconfig1", "libegl1", "libgl1", "libxkbcommon0"),
    *("xvfb", "xauth"),
    *("libxcb-cursor0", "libxcb-icccm4", "libxcb-keysyms1", "libxcb-shape0", "libxkbcommon-x11-0"),
)


def is_installed(package: str) -> bool:
    """Return whether dpkg has installed the package, or its successor with 64-bit time."""
    for name in (package, f"{package}t64"):
        query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", name]
        done = subprocess.run(query, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == "installed":
            return True
    return False


def missing_packages() -> list[str]:
    """Return the packages of `PACKAGES` that dpkg has not installed."""
    return [package for package in PACKAGES if not is_installed(package)]


def root_prefix() -> list[str] | None:
    """Return the words before a command that run it as root, or None if that needs a password."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return None


def main() -> int:
    """Install missing packages, or print the command to run. Always succeeds."""
    if not sys.platform.startswith("linux"):
        return 0
    if not (shutil.which("dpkg-query") and shutil.which("apt-get")):
        print("Qt and Xvfb need the libraries that Debian calls:", *PACKAGES)
        return 0
    missing = missing_packages()
    if not missing:
        return 0
    prefix = root_prefix()
    install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if prefix is None:
        print("Missing system packages; run:\n  sudo apt-get update && sudo", shlex.join(install))
        return 0
    run_as_root(prefix, ["apt-get", "update"])  # if this fails, older lists may suffice
    if not run_as_root(prefix, install):
        print("Going on without some of:", *missing)
    return 0


def run_as_root(prefix: list[str], command: list[str]) -> bool:
    """Run a command without questions; return whether it succeeded."""
    print("+", shlex.join(command), flush=True)
    words = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", *command]
    return subprocess.run(words, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
