package components

import "fmt"

// influxDBMode is what an influxd is started for.
type influxDBMode struct {
	bind string
	rpc  string
	auth bool
	log  string
}

var (
	serving = influxDBMode{
		bind: fmt.Sprintf(":%d", influxDBPort), rpc: "127.0.0.1:8088", auth: true, log: "info",
	}
	// The init container's server is reached on loopback only, and at another port,
	// so that nothing takes it for the real one.
	initialising = influxDBMode{
		bind: "127.0.0.1:8087", rpc: "127.0.0.1:8089", auth: false, log: "warn",
	}
)

// influxDBConfig returns influxdb.conf.
func influxDBConfig(m influxDBMode) string {
	return fmt.Sprintf(`reporting-disabled = true
bind-address = %q

[meta]
  dir = "/var/lib/influxdb/meta"

[data]
  dir = "/var/lib/influxdb/data"
  wal-dir = "/var/lib/influxdb/wal"
  # The index is on disk, so that memory does not grow with the series.
  index-version = "tsi1"
  # Off, as with every query a log line would hold what people look at.
  query-log-enabled = false
  # No limits: a full volume is watched for, a lost point is not.
  max-series-per-database = 0
  max-values-per-tag = 0

[coordinator]
  # A query that nobody waits for any more.
  query-timeout = "5m"

[http]
  bind-address = %q
  auth-enabled = %t
  # Its lines would hold the passwords of clients that send them in the URL. nginx
  # logs each request without them.
  log-enabled = false
  pprof-enabled = false
  # 25 MB is the largest batch (InfluxDB's own default, in bytes).
  max-body-size = 25000000

[logging]
  format = "logfmt"
  level = %q
  suppress-logo = true

[subscriber]
  enabled = false

[monitor]
  # What InfluxDB says of itself, in its database _internal, for the home dashboard.
  store-enabled = %t
`, m.rpc, m.bind, m.auth, m.log, m.auth)
}
