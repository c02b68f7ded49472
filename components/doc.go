// Package components holds the component resources that a Velodrome project is
// made of, one a file: Project, and below it Endpoint, InfluxDB, Prometheus,
// Prober, Grafana and Nginx.
//
// A component file reads top to bottom: what the part is, its Args, its outputs,
// its constructor. What a pod runs (nginx.conf, datasources.yaml, the statements
// of the init container) comes from pure functions in files of their own.
//
// The package knows nothing of files, of config.yaml or of Pulumi's settings.
package components
