# Sourced by ./reproduce and ./run-tests in the project's folder: makes the environment in .venv from requirements.lock
# on first use and after every change of the lock, and activates it.

fail() {
    echo "error: $*" >&2
    exit 1
}

supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

find_python() {
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if "$candidate" -c "$supported" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "found no Python 3.11, 3.12 or 3.13 among python3, python3.13, python3.12, python3.11;" \
        "install one, or name it: PYTHON=/path/to/python $0"
}

make_environment() {
    python=$(find_python) || exit 1
    echo "Making the environment in .venv from requirements.lock, once: several minutes, 6 GB on disk." >&2
    "$python" -m venv .venv ||
        fail "$python cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv)"
    .venv/bin/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock >&2 ||
        fail "the packages of requirements.lock could not be installed (see above); $0 tries again"
    .venv/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e . >&2 ||
        fail "the package vicinal could not be installed into .venv (see above)"
    echo "$1" >.venv/made-from
}

activate_environment() {
    wanted=$(cat requirements.lock pyproject.toml | sha256sum)
    exec 9>.venv.lock
    flock 9
    [ "$(cat .venv/made-from 2>/dev/null)" = "$wanted" ] || make_environment "$wanted"
    exec 9>&-
    PATH=$PWD/.venv/bin:$PATH
    export PATH
}
