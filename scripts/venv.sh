# Sourced by run-server, run-tests and .ci/run: `use_venv KIND` makes sure that .venv has the pinned requirements of
# KIND (server, test or lint; each includes those before it) and this checkout's `cnr`, and sets VENV.
#
# What was installed is noted in .venv/installed-KIND: a second start compares two lines and runs no pip. When the
# requirements change, a .venv that was made here is made anew, so nothing old stays in it; one that somebody made by
# hand is kept, and the requirements are installed into it.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
VENV=$ROOT/.venv

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$(basename "$0"): $*"
    exit 1
}

suitable() { # COMMAND: a Python that can run this
    command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        suitable "$PYTHON" || die "PYTHON=$PYTHON is not Python 3.11 or newer."
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if suitable "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "needs Python 3.11 or newer, and found none as python3, python3.11 to python3.14 or python." \
        "Install one, or name it: PYTHON=/path/to/python3.12 $0"
}

kinds_of() { # KIND: itself and what it includes
    case $1 in
        server) echo server ;;
        test) echo server test ;;
        lint) echo server test lint ;;
    esac
}

pins_of() { # KIND: changes with its requirements, and when .venv is somewhere else (a venv cannot be moved)
    { readlink -f "$VENV" && cat "$ROOT/requirements/$1.txt"; } | cksum
}

checkout_of() { # changes when this checkout has to be installed again: its commands or dependencies are others
    cksum <"$ROOT/pyproject.toml"
}

noted() { # NAME, LINE
    [ "$(cat "$VENV/installed-$1" 2>/dev/null)" = "$2" ]
}

installed() { # KIND
    local kind
    [ -x "$VENV/bin/python" ] && noted checkout "$(checkout_of)" || return 1
    for kind in $(kinds_of "$1"); do noted "$kind" "$(pins_of "$kind")" || return 1; done
}

make_venv() {
    local python
    python=$(find_python) || exit 1
    say "Making .venv with $("$python" --version)."
    "$python" -m venv --clear "$VENV" || die "$python could not make .venv (on Debian: apt-get install python3-venv)."
    : >"$VENV/made-here"
}

pip_install() {
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$@" ||
        die "could not install what it needs; pip's reason is above. Run it again when that is mended."
}

install_into_venv() { # KIND
    local kind arguments=()
    for kind in $(kinds_of "$1"); do arguments+=(--requirement "$ROOT/requirements/$kind.txt"); done
    say "Installing the pinned requirements ($1)."
    pip_install --require-hashes "${arguments[@]}"
    pip_install --no-deps --no-build-isolation --editable "$ROOT"
    for kind in $(kinds_of "$1"); do pins_of "$kind" >"$VENV/installed-$kind"; done
    checkout_of >"$VENV/installed-checkout"
}

stale() { # whether .venv was made here and holds other requirements than today's, or lost its Python
    local kind
    [ -e "$VENV/made-here" ] || return 1
    "$VENV/bin/python" -c '' 2>/dev/null || return 0
    for kind in server test lint; do
        if [ -e "$VENV/installed-$kind" ] && ! noted "$kind" "$(pins_of $kind)"; then return 0; fi
    done
    return 1
}

prepare() { # KIND
    if installed "$1"; then return; fi
    if [ ! -x "$VENV/bin/python" ] || stale; then make_venv; fi
    install_into_venv "$1"
}

use_venv() { # KIND
    if installed "$1"; then return; fi
    exec 9>"$ROOT/.venv.lock" # of two first starts, the second waits
    if command -v flock >/dev/null 2>&1; then flock 9; fi
    prepare "$1"
    exec 9>&-
}
