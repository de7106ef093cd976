# Sourced by ./reproduce and ./run-tests in the project's folder: keeps out what the caller's shell brings, makes the
# environment in .venv from requirements.lock on first use and after every change of the lock, and finds its Python.

fail() {
    echo "error: $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null || fail "there is no program $1 on PATH: install $2"
}

supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

# Unsets what would change which code runs, or how. With the word "active", packages that the shell brings are kept.
isolate() {
    case $PWD in
        *[:{}]*) fail "$PWD: a colon or a brace in this path has a meaning for Python or Snakemake: rename the folder" ;;
    esac
    unset CDPATH ENV BASH_ENV GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
    for name in $(env | sed -n -e 's/^\(PYTHON[A-Z0-9_][A-Z0-9_]*\)=.*/\1/p' -e 's/^\(SNAKEMAKE_[A-Z0-9_]*\)=.*/\1/p'); do
        case $1:$name in
            active:PYTHONPATH | active:PYTHONHOME) ;;
            *) unset "$name" ;;
        esac
    done
    PYTHONUTF8=1
    PYTHONPATH=$PWD/workflow${PYTHONPATH:+:$PYTHONPATH}
    export PYTHONUTF8 PYTHONPATH
}

# Snakemake, Matplotlib and torch keep files in HOME, which may be missing or closed, here or on a cluster's nodes.
keep_caches() {
    caches=$PWD/.cache/$(id -u)
    if mkdir -p "$caches" 2>/dev/null && [ -w "$caches" ]; then
        XDG_CACHE_HOME=$caches
        MPLCONFIGDIR=$caches/matplotlib
        export XDG_CACHE_HOME MPLCONFIGDIR
    else
        caches=/nonexistent
    fi
    [ -n "${HOME:-}" ] || HOME=$caches
    [ -n "${USER:-}" ] || USER=$(id -un 2>/dev/null) || USER=$(id -u)
    export HOME USER
}

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
    made_by=$(find_python) || exit 1
    echo "Making the environment in .venv from requirements.lock, once: several minutes, 6 GB on disk." >&2
    "$made_by" -m venv .venv ||
        fail "$made_by cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv)"
    .venv/bin/python envs/install.py >&2 ||
        fail "the packages of requirements.lock could not be installed (see above); $0 tries again"
    echo "$wanted" >.venv/made-from
}

is_made() {
    [ "$(cat .venv/made-from 2>/dev/null)" = "$wanted" ]
}

use_environment() {
    need sha256sum coreutils
    wanted=$(cat requirements.lock pyproject.toml | sha256sum)
    if ! is_made; then
        need flock util-linux
        (: >>.venv.lock) 2>/dev/null ||
            fail "$PWD/.venv is not there, or is of another requirements.lock, and you may not write to this folder:" \
                "its owner has to run ./reproduce plan once"
        exec 9>>.venv.lock
        flock 9
        is_made || make_environment
        exec 9>&-
    fi
    python=$PWD/.venv/bin/python
    [ -x "$python" ] || fail "$python: leads to $(readlink -m "$python"), which is not on this machine (any more):" \
        "bring it back, or remove .venv, and $0 makes it anew"
    PATH=$PWD/.venv/bin:$PATH
    export PATH
}
