#!/usr/bin/env bash
# The name that the old server's documentation used for run-server.
exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/run-server" "$@"
