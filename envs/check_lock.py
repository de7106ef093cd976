"""Compare the active environment with requirements.lock: exit 0 if it satisfies the lock, else 1 and one line."""

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement


def main() -> int:
    """Print what differs, if anything."""
    lock = Path(__file__).resolve().parent.parent / "requirements.lock"
    differences = []
    for line in lock.read_text(encoding="utf-8").splitlines():
        if not line or line[0] in " #":
            continue
        requirement = Requirement(line.rstrip(" \\"))
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            present = version(requirement.name)
        except PackageNotFoundError:
            differences.append(f"{requirement.name} is missing")
            continue
        # A local label such as +cu130 is a build of the same version.
        if not requirement.specifier.contains(present.partition("+")[0], prereleases=True):
            differences.append(f"{requirement.name} is {present}, not {requirement.specifier}")
    if differences:
        more = f" and {len(differences) - 5} more" if len(differences) > 5 else ""
        print(
            f"error: --no-venv: the active environment differs from {lock.name}: {'; '.join(differences[:5])}{more}; "
            f"install it with: pip install --require-hashes -r {lock.name}",
            file=sys.stderr,
        )
    return bool(differences)


if __name__ == "__main__":
    sys.exit(main())
