#!/bin/sh
# Writes requirements/*.txt anew from pyproject.toml: every version pinned, every file by its hash, no index named.
# Nothing of the caller's pip or uv settings may leak into the locks: they are made in an empty environment.
set -eu
cd "$(dirname "$0")/.."

extras="--extra gateway --extra collector --extra broker --extra postgresql"
common="--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-config --system-certs --quiet $*"

compile() {
    output=$1
    shift
    # shellcheck disable=SC2086 # the options are words
    env -i PATH="$PATH" HOME="$HOME" .venv/bin/uv pip compile $common "$@" -o "requirements/$output"
}

printf 'uv\nhatchling>=1.27\neditables\n' > requirements/build.in
trap 'rm -f requirements/build.in' EXIT
compile build.txt --no-annotate requirements/build.in
# shellcheck disable=SC2086
compile runtime.txt pyproject.toml $extras
# shellcheck disable=SC2086
compile dev.txt pyproject.toml $extras --group dev -c requirements/runtime.txt
