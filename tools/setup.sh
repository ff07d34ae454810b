#!/bin/sh
# Makes .venv: the locked requirements by hash, then the project itself (editable). uv for speed, pip where it is not to be had.
# Usage: tools/setup.sh [runtime]   (runtime: without the developers' tools)
set -eu
cd "$(dirname "$0")/.."

# Nothing of ours may shadow, or be shadowed by, what the caller's Python sees.
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV UV_PROJECT_ENVIRONMENT 2>/dev/null || true
requirements=requirements/dev.txt
done=".venv/.runtime .venv/.ready"
if [ "${1:-}" = runtime ]; then
    requirements=requirements/runtime.txt
    done=.venv/.runtime
fi

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 1
}

find_python() {
    for candidate in "${PYTHON:-python3}" /usr/bin/python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "expected Python 3.11 or newer, got none; install it (Debian: apt-get install python3 python3-venv)"
}

make_environment() {
    python=$(find_python)
    rm -rf .venv
    "$python" -m venv .venv || fail "expected a working venv module, got none; Debian: apt-get install python3-venv"
}

# pip reads the user's settings for where packages come from; what it installs is pinned by hash all the same.
by_pip() {
    .venv/bin/python -m pip --disable-pip-version-check --quiet install "$@" 2> .venv/pip.log || {
        cat .venv/pip.log >&2
        return 1
    }
}

# uv does not read pip's settings; where the packages come from a mirror of the site's own, its first try fails and pip does the rest.
by_uv() {
    .venv/bin/uv pip install --compile-bytecode --quiet --python .venv/bin/python --system-certs --no-progress "$@" 2> .venv/uv.log
}

install() {
    by_uv "$@" || by_pip "$@" || fail "expected to install $*, got the error above"
}

printf 'making .venv: what the project needs is downloaded and checked (only when it has changed)\n' >&2
[ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null || make_environment
by_pip --require-hashes -r requirements/build.txt || fail "expected to install requirements/build.txt, got the error above"
install --require-hashes -r "$requirements"
install --no-deps --no-build-isolation --editable .
# shellcheck disable=SC2086 # the stamps are words
touch $done
