package config

import "time"

// Domain is a DNS name, fully qualified, in lower case, without the dot at its
// end.
type Domain string

// IPv4 is a public IPv4 address in dotted form; empty: reserve one.
type IPv4 string

// Generation counts the rotations of a project's passwords, from 1.
type Generation int

// Quantity is a Kubernetes quantity as the API server accepts it.
type Quantity string

// Size is a size in Prometheus's own grammar, such as 85GB.
type Size string

// Duration is a positive span of time.
type Duration time.Duration

// Retention is how long a database keeps its points; 0: for ever.
type Retention time.Duration

// Path is a path; in the result of Load it is joined to the folder of config.yaml.
type Path string

// UID is the uid of a Grafana dashboard.
type UID string

// Plugin is a plugin of Grafana's catalogue, `id` or `id@version`.
type Plugin string

// HostPort is `host:port`.
type HostPort string

// Address is a mail address.
type Address string

// AnalyticsID is an id of Google Analytics.
type AnalyticsID string

// Ignored is a key that old files have and that means nothing any more.
type Ignored struct{}
