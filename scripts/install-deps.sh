#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that a target of the Makefile needs and that are missing.
#
#   scripts/install-deps.sh build|demo|test
#
# Needs root or sudo only when something is missing; without them it says exactly what to install.
set -euo pipefail

readonly MIN_NODE=18

usage() {
    echo "usage: $0 build|demo|test" >&2
    exit 2
}

is_installed() {
    [[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]
}

has_node() {
    local major
    major="$(node --version 2>/dev/null | sed -E 's/^v([0-9]+).*/\1/')"
    [[ -n "$major" && "$major" -ge $MIN_NODE ]] && command -v npm >/dev/null
}

# The newest PostGIS the distribution has: postgresql-15-postgis-3 on Debian 12.
postgis_packages() {
    local server
    for server in /usr/lib/postgresql/*/bin/initdb; do
        [[ -x "$server" ]] || continue
        server="${server#/usr/lib/postgresql/}"
        if is_installed "postgresql-${server%%/*}-postgis-3"; then
            return
        fi
    done
    server="$(apt-cache search --names-only '^postgresql-[0-9]+-postgis-3$' | sed -E 's/^postgresql-([0-9]+)-.*/\1/' | sort -n | tail -1)"
    server="${server:-15}"
    echo "postgresql-$server postgresql-$server-postgis-3"
}

# What fetching the example data takes.
demo_packages() {
    echo gdal-bin
    command -v python3 >/dev/null || echo python3
    python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
}

wanted_packages() {
    # libclang: the bindings of PROJ are generated from its header when the crate is built.
    echo build-essential pkg-config libclang-dev libgdal-dev libproj-dev
    has_node || echo nodejs npm
    case "$1" in
        build) ;;
        demo) demo_packages ;;
        test)
            demo_packages
            echo fonts-noto-cjk
            command -v chromium >/dev/null || echo chromium
            postgis_packages
            ;;
        *) usage ;;
    esac
}

missing_packages() {
    local package
    for package in $(wanted_packages "$1"); do
        is_installed "$package" || echo "$package"
    done
}

[[ $# -eq 1 ]] || usage
if ! command -v cargo >/dev/null; then
    echo "Rust is missing: install it from https://rustup.rs, or apt-get install rustup" >&2
    exit 1
fi
if ! command -v dpkg-query >/dev/null; then
    echo "This is neither Debian nor Ubuntu: install GDAL >= 3.4, PROJ >= 8.1 (both with headers), libclang, pkg-config and Node.js >= $MIN_NODE yourself." >&2
    exit 0
fi

mapfile -t missing < <(missing_packages "$1")
[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=()
if [[ $EUID -ne 0 ]]; then
    if ! command -v sudo >/dev/null || { ! sudo -n true 2>/dev/null && [[ ! -t 0 ]]; }; then
        echo "These packages are missing and may not be installed from here; ask an administrator to run" >&2
        echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "Installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
# Asked again: before the first update the package lists may have been empty.
mapfile -t missing < <(missing_packages "$1")
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
