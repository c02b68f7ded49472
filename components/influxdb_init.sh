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
# Until all is done the volume counts as untouched: what a crash cuts short, the next
# start does again from the beginning.
rm -f "$applied"

influxd -config /etc/influxdb/init.conf &
server=$!
stop() {
  kill "$server" 2>/dev/null || true
  wait "$server" || true
}
trap stop EXIT
# As the first process of a container the shell ignores this signal unless told.
trap 'exit 143' TERM

fail() {
  echo "init: $1" >&2
  exit 1
}

run() { influx -host 127.0.0.1 -port 8087 "$@"; }

# ensure runs a statement that may have been carried out before
ensure() {
  if ! answer=$(printf '%s\n' "$1" | run 2>&1); then
    case $answer in
      *'already exists'* | *'user not found'* | *'conflicts with an existing policy'*) ;;
      *) fail "$answer" ;;
    esac
  fi
}

# apply runs a statement that must succeed
apply() { answer=$(printf '%s\n' "$1" | run 2>&1) || fail "$answer"; }

# default_policy prints the name, in quotes, of a database's default retention policy,
# and nothing where it has none. The name is the first column and whether it is the
# default one the last; how many are between differs from version to version.
default_policy() {
  printf 'SHOW RETENTION POLICIES ON "%s"\n' "$1" | run -format csv | while IFS= read -r line; do
    case $line in
      '"'*,true) name=${line#?} && printf '"%s"' "${name%%'"'*}" ;;
      *,true) printf '"%s"' "${line%%,*}" ;;
    esac
  done
}

# Opening the shards of years takes minutes: wait for as long as the server lives.
until echo 'SHOW DATABASES' | run >/dev/null 2>&1; do
  kill -0 "$server" 2>/dev/null || fail "influxd ended before it was ready; its log is above"
  sleep 0.2
done

while IFS= read -r statement; do
  ensure "$statement"
done </etc/influxdb-init/ensure.iql

while IFS= read -r statement; do
  apply "$statement"
done </etc/influxdb-init/apply.iql

while read -r database clauses; do
  policy=$(default_policy "$database")
  if [ -z "$policy" ]; then
    policy='"autogen"'
    ensure "CREATE RETENTION POLICY $policy ON \"$database\" $clauses DEFAULT"
  fi
  apply "ALTER RETENTION POLICY $policy ON \"$database\" $clauses DEFAULT"
done </etc/influxdb-init/retention

trap - EXIT
stop

printf '%s' "$REVISION" >"$applied.new"
mv "$applied.new" "$applied"
echo "init: the volume has $REVISION now"
