#!/bin/sh
# Installs what the tests start by themselves (Mosquitto, PostgreSQL), their browser (Chromium) and their tools for faults, where they are missing. Starts nothing, and
# leaves no service enabled that it installed: the tests run their own copies on free ports in temporary folders.
set -eu

missing=""
PATH="$PATH:/usr/sbin:/sbin"
command -v mosquitto > /dev/null || missing="$missing mosquitto"
command -v chromium > /dev/null || missing="$missing chromium fonts-dejavu-core"
command -v mkfs.xfs > /dev/null || missing="$missing xfsprogs"
command -v faketime > /dev/null || missing="$missing faketime"
command -v nbdkit > /dev/null || missing="$missing nbdkit"
command -v nbdfuse > /dev/null || missing="$missing libnbd-bin fuse3"
command -v strace > /dev/null || missing="$missing strace"
command -v ip > /dev/null || missing="$missing iproute2"
ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || missing="$missing postgresql"
[ -z "$missing" ] && exit 0

say() {
    printf 'services: %s\n' "$1" >&2
}

if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    say "the tests need$missing; as root on Debian: apt-get install$missing (then stop and disable the services if you want none)"
    exit 1
fi

# Debian starts a service as soon as it is installed, unless this file says no (invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi

install() {
    # shellcheck disable=SC2086 # the packages are words
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends $missing > "$log" 2>&1
}

log=$(mktemp)
say "installing$missing"
install || { apt-get update --quiet >> "$log" 2>&1 && install; } || {
    cat "$log" >&2
    say "expected apt-get to install$missing, got the error above"
    exit 1
}
rm -f "$log"
for service in $missing; do
    systemctl disable "$service" > /dev/null 2>&1 || true
done
