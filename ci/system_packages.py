"""Install the system packages that Qt, OpenGL and Xvfb need, where that is possible.

On Debian-like systems with root or passwordless sudo the missing packages are installed. Elsewhere
the one line to run is printed and the caller goes on: the packages may be there under other names.
Standard library only, because it runs before anything else.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys

# Qt's imports, then image layers without a screen, then a real window.
PACKAGES = (
    *("libglib2.0-0", "libdbus-1-3", "libfontconfig1", "libegl1", "libgl1", "libxkbcommon0"),
    *("xvfb", "xauth"),
    *("libxcb-cursor0", "libxcb-icccm4", "libxcb-keysyms1", "libxcb-shape0", "libxkbcommon-x11-0"),
)


def is_installed(package: str) -> bool:
    """Whether dpkg has the package, or its successor with 64-bit time, installed."""
    for name in (package, f"{package}t64"):
        query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", name]
        done = subprocess.run(query, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == "installed":
            return True
    return False


def missing_packages() -> list[str]:
    """Packages of `PACKAGES` that dpkg does not know as installed."""
    return [package for package in PACKAGES if not is_installed(package)]


def root_prefix() -> list[str] | None:
    """Words that make a command run as root, or None where that needs a password."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return None


def main() -> int:
    """Install what is missing or say what to run; never a reason to stop the caller."""
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
    run_as_root(prefix, ["apt-get", "update"])  # where that fails, older lists may do
    if not run_as_root(prefix, install):
        print("Going on without some of:", *missing)
    return 0


def run_as_root(prefix: list[str], command: list[str]) -> bool:
    """Run a command that asks nothing; whether it succeeded."""
    print("+", shlex.join(command), flush=True)
    words = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", *command]
    return subprocess.run(words, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
