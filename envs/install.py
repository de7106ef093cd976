"""Install the packages of requirements.lock, and the project, into the environment whose Python runs this.

Of pip's settings only those count that say where packages come from: others would install them elsewhere, or others.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import TextIO

# Below .venv, whose Python runs this.
LOG = Path(sys.prefix) / "install.log"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
SECTIONS = ("global", "install", ":env:")  # a later one wins, as in pip
KEPT = {"index-url", "extra-index-url", "no-index", "find-links", "trusted-host", "keyring-provider"}
KEPT |= {"cert", "client-cert", "proxy", "timeout", "default-timeout", "retries", "cache-dir", "no-cache-dir"}
# These would hide settings from ``pip config list``.
SHOWN = {"PIP_USER": "0", "PIP_QUIET": "0"}


def main() -> int:
    """Run pip; return its exit status."""
    command = [*PIP, "config", "list"]
    listed = subprocess.run(command, env={**os.environ, **SHOWN}, stdout=subprocess.PIPE, text=True, check=False)
    if listed.returncode:
        return listed.returncode
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PIP_CONFIG_FILE": os.devnull, **kept_settings(listed.stdout)}
    packages = ["--require-hashes", "-r", "requirements.lock"]
    with LOG.open("w", encoding="utf-8") as log:
        for what in (packages, ["--no-deps", "--no-build-isolation", "-e."]):
            if status := run_pip(["install", *what], environment, log):
                print(f"\n{''.join(LOG.read_text(encoding='utf-8').splitlines(True)[-20:])}(all of it: {LOG})")
                return status
    print(f"\rinstalled; what pip said is in {LOG}   ")
    return 0


def run_pip(words: list[str], environment: dict[str, str], log: TextIO) -> int:
    """Run pip with its lines in a log and one line of progress on a terminal; return the exit status."""
    found = 0
    with subprocess.Popen(
        [*PIP, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as pip:
        for line in pip.stdout or ():
            log.write(line)
            log.flush()
            found += line.startswith("Collecting ")
            if sys.stdout.isatty() and line.startswith(("Collecting ", "Installing ")):
                what = f"packages found: {found}" if line.startswith("C") else f"unpacking {found} packages      "
                print(f"\r{what}", end="", flush=True)
    return pip.returncode


def kept_settings(listed: str) -> dict[str, str]:
    """Return the settings that count, as variables for pip, from what ``pip config list`` prints."""
    found: dict[tuple[int, str], str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, setting = name.rpartition(".")
        if section in SECTIONS and setting in KEPT:
            found[SECTIONS.index(section), setting] = ast.literal_eval(value)
    return {f"PIP_{setting.upper().replace('-', '_')}": value for (_, setting), value in sorted(found.items())}


if __name__ == "__main__":
    sys.exit(main())
