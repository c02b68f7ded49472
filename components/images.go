package components

// Images are the container images that the parts run. A stack can replace any of
// them, by another tag or by a digest (`influxdb@sha256:…`).
type Images struct {
	InfluxDB   string // runs as uid 1500, with the client influx and a POSIX shell
	Prometheus string
	Prober     string // Prometheus's blackbox exporter
	Grafana    string
	Nginx      string // unprivileged: it must run as uid 101 on a read-only file system
}

// DefaultImages are the versions that this release was made for. Each names a full
// version, whose tag the publishers do not move.
var DefaultImages = Images{
	InfluxDB:   "influxdb:1.12.4",
	Prometheus: "prom/prometheus:v3.14.0",
	Prober:     "prom/blackbox-exporter:v0.28.0",
	Grafana:    "grafana/grafana:13.2.0",
	Nginx:      "nginxinc/nginx-unprivileged:1.30.0",
}
