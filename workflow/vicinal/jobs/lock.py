"""requirements.lock: the versions that results are meant to be made with."""

from importlib.metadata import PackageNotFoundError, version

from vicinal.errors import VicinalError
from vicinal.files import WORKFLOW

LOCK = WORKFLOW.parent / "requirements.lock"
SHOWN = 5


def locked_versions() -> dict[str, str]:
    """Return package → version of those that the lock file asks for on this machine, under this Python."""
    from packaging.requirements import Requirement

    lines = LOCK.read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line.rstrip(" \\")) for line in lines if line and line[0] not in " #"]
    wanted = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    return {pin.name: next(iter(pin.specifier)).version for pin in wanted}


def is_locked(present: str, wanted: str) -> bool:
    """Return whether a version is the one of the lock file; a local label such as +cu130 is a build of the same."""
    return present.partition("+")[0] == wanted


def check_environment() -> None:
    """Raise VicinalError if a package of the lock file is missing here, or of another version."""
    try:
        wanted = locked_versions()
    except ImportError:
        raise VicinalError(f"--no-venv: the active environment holds none of {LOCK.name}") from None
    differences = []
    for package, locked in wanted.items():
        try:
            present = version(package)
        except PackageNotFoundError:
            differences.append(f"{package} is missing")
            continue
        if not is_locked(present, locked):
            differences.append(f"{package} is {present}, not {locked}")
    if differences:
        differences[SHOWN:] = [f"and {len(differences) - SHOWN} more"] if len(differences) > SHOWN else []
        raise VicinalError(
            f"--no-venv: the active environment differs from {LOCK.name}: {'; '.join(differences)}: "
            f"install it with: pip install --require-hashes -r {LOCK.name}"
        )
