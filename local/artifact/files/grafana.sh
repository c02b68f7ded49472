#!/bin/bash
# Starts Grafana from the same environment as the official image: GF_PATHS_* say
# where things are, and a variable GF_X__FILE names a file that holds GF_X.
set -e

for name in $(compgen -e); do
    if [[ $name != GF_*__FILE ]]; then
        continue
    fi
    target=${name%__FILE}
    if [ -n "${!target}" ]; then
        echo "ERROR: Both $target and $name are set (but are exclusive)" >&2
        exit 1
    fi
    export "$target=$(< "${!name}")"
    unset "$name"
done

export HOME=$GF_PATHS_HOME

exec grafana server \
    --homepath="$GF_PATHS_HOME" \
    --config="$GF_PATHS_CONFIG" \
    --packaging=docker \
    "$@" \
    cfg:default.log.mode=console \
    cfg:default.paths.data="$GF_PATHS_DATA" \
    cfg:default.paths.logs="$GF_PATHS_LOGS" \
    cfg:default.paths.plugins="$GF_PATHS_PLUGINS" \
    cfg:default.paths.provisioning="$GF_PATHS_PROVISIONING"
