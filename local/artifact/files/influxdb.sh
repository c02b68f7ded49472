#!/bin/bash
# Starts the server where only flags are given, as the official image does.
set -e
if [ "${1:0:1}" = - ]; then
    set -- influxd "$@"
fi
exec "$@"
