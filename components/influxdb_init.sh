# Brings the volume to the declared databases, retention policies and accounts,
# with a server of its own that listens on loopback and asks for no password.
# REVISION names the statements: a volume that has had them is left alone.
# Statements reach the client on its standard input, so that no password is ever an
# argument of a process.
set -eu

applied=/var/lib/influxdb/.velodrome-revision
if [ "$(cat "$applied" 2>/dev/null || true)" = "$REVISION" ]; then
  echo "init: the volume has had $REVISION already"
  exit 0
fi
rm -f "$applied"

influxd -config /etc/influxdb/init.conf &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT

run() { influx -host 127.0.0.1 -port 8087; }

# Opening the shards of years takes minutes: wait for as long as the server lives.
until echo 'SHOW DATABASES' | run >/dev/null 2>&1; do
  kill -0 "$server" 2>/dev/null || { echo "init: influxd ended before it was ready; its log is above" >&2; exit 1; }
  sleep 0.2
done

# line by line: a statement that was carried out before fails, and the rest goes on
while IFS= read -r statement; do
  if ! answer=$(printf '%s\n' "$statement" | run 2>&1); then
    case $answer in
      *'already exists'* | *'user not found'* | *'conflicts with an existing policy'*) ;;
      *) echo "init: $answer" >&2; exit 1 ;;
    esac
  fi
done </etc/influxdb-init/ensure.iql

# of these, every one must succeed
while IFS= read -r statement; do
  answer=$(printf '%s\n' "$statement" | run 2>&1) || { echo "init: $answer" >&2; exit 1; }
done </etc/influxdb-init/apply.iql

kill "$server"
wait "$server" || true
trap - EXIT

printf '%s' "$REVISION" >"$applied.new"
mv "$applied.new" "$applied"
echo "init: the volume has $REVISION now"
