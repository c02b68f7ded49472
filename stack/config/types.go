package config

// File is config.yaml: the projects of a Velodrome, and what they have in
// common. It is read whole before anything is touched; all faults are reported
// at once, each as `config.yaml:LINE:COLUMN: what, way out`.
//
// A key that is null counts as absent. Anchors, aliases and merge keys (`<<`)
// may stand at any place. The file is UTF-8, a single YAML document, of at most
// 1 MiB.
type File struct {
	// Defaults is what every project has where it does not say otherwise. It
	// takes the keys of a project, except `domain` and `nginx`, which belong to
	// one project alone. A project wins key by key: maps are merged, lists and
	// single values are replaced.
	Defaults Settings `yaml:"defaults" json:"defaults,omitempty"`

	// Projects has the projects by name: at least one. A name is 1 to 53
	// lower-case letters, digits and hyphens, begins with a letter and ends with
	// a letter or digit, because `velodrome-NAME` names a Kubernetes namespace
	// and a GCP address, and both end at 63 characters.
	Projects map[string]Project `yaml:"projects" json:"projects"`

	// Repositories belonged to a pipeline of GitHub statistics that was removed
	// in 2020. It is ignored, with one warning.
	Repositories Ignored `yaml:"repositories" json:"repositories,omitempty"`

	// Metrics belonged to a pipeline of GitHub statistics that was removed in
	// 2020. It is ignored, with one warning.
	Metrics Ignored `yaml:"metrics" json:"metrics,omitempty"`
}

// Project is the metrics site of one team, hermetic: a namespace of its own
// with InfluxDB, Grafana, nginx in front, and, where it has a `prometheus` key,
// Prometheus and a prober.
type Project struct {
	// Name is the key of the project.
	Name string `yaml:"-" json:"-"`

	// Domain is the name at which the site answers, fully qualified, such as
	// `velodrome.k8s.io`. It must lie in the stack's managed zone (the zone's own
	// name is allowed), where it becomes an A record, and no two projects have
	// the same one. A dot at the end is accepted. Default: none, no record is
	// made and the site answers at its IP.
	Domain Domain `yaml:"domain" json:"domain,omitempty"`

	// Nginx is the front door of the site.
	Nginx Nginx `yaml:"nginx" json:"nginx,omitempty"`

	// Settings are the keys that `defaults` has as well.
	Settings `yaml:",inline"`

	// Repositories belonged to a pipeline of GitHub statistics that was removed
	// in 2020. It is ignored, with one warning.
	Repositories Ignored `yaml:"repositories" json:"repositories,omitempty"`

	// Metrics belonged to a pipeline of GitHub statistics that was removed in
	// 2020. It is ignored, with one warning.
	Metrics Ignored `yaml:"metrics" json:"metrics,omitempty"`
}

// Settings are the keys that both a project and `defaults` take.
type Settings struct {
	// SecretsGeneration counts up to rotate the passwords of the project:
	// every password is derived from the stack's secret key, the project's name
	// and this number. A whole number from 1 to 1000000. Default: 1.
	SecretsGeneration Generation `yaml:"secrets-generation" json:"secrets-generation,omitempty" jsonschema:"default=1"`

	// InfluxDB is the database that the team pushes its points to.
	InfluxDB InfluxDB `yaml:"influxdb" json:"influxdb,omitempty"`

	// Prometheus is the server that polls the team's jobs. A project without
	// this key, or with null, has no Prometheus and no prober. Where `defaults`
	// gives a `prometheus-config.yml`, every project has a Prometheus, except
	// those that say `prometheus: null`; what else it gives is for projects that
	// have the key.
	Prometheus *Prometheus `yaml:"prometheus" json:"prometheus,omitempty"`

	// Grafana is where people look.
	Grafana Grafana `yaml:"grafana" json:"grafana,omitempty"`
}

// Nginx is the front door of a site.
type Nginx struct {
	// PublicIP is the IPv4 address of the site's load balancer: one that is
	// reserved in the GCP project and region of the stack already, or that is in
	// use there and ephemeral, and then is promoted. It must be public, and no
	// two projects have the same one. Default (absent, empty or null): an
	// address is reserved.
	PublicIP IPv4 `yaml:"public-ip" json:"public-ip,omitempty"`
}

// InfluxDB is the database of a project, InfluxDB 1.x.
type InfluxDB struct {
	// Databases are made, and given to the writer and the reader, by name. A
	// name is 1 to 64 letters, digits, `_`, `-` and `.`, begins with a letter or
	// digit, and is not `_internal`, which InfluxDB keeps for itself. A database
	// that is taken out of the file is left as it is, with its data. Default:
	// `github` and `monitoring`, for ever, which are what the pushers write to.
	Databases map[string]Database `yaml:"databases" json:"databases,omitempty"`

	// Storage is the size of the volume, a Kubernetes quantity in bytes. It can
	// be raised later, never lowered. At least 1Gi. Default: 100Gi, which is
	// what sites of this kind have had since 2016.
	Storage Bytes `yaml:"storage" json:"storage,omitempty" jsonschema:"default=100Gi"`

	// Resources of the container. Default: requests of 100m and 256Mi, limits of
	// 2 and 4Gi; the index is on disk (`tsi1`), so that memory follows the
	// queries and not the data.
	Resources Resources `yaml:"resources" json:"resources,omitempty"`
}

// Database is one database of InfluxDB.
type Database struct {
	// Retention is how long points are kept, in the default retention policy:
	// `1h` or more, which is InfluxDB's own limit, in units of `s`, `m`, `h`,
	// `d`, `w` and `y` (365 days), the larger first, such as `90d` or `1y6w`.
	// Default: `inf` (or 0), for ever.
	Retention Retention `yaml:"retention" json:"retention,omitempty" jsonschema:"default=inf"`
}

// Prometheus is the polling part of a site, and with it comes the prober:
// a blackbox exporter that answers as `blackbox`, port 80, with the modules
// `http_2xx` and `http_2xx_post`.
type Prometheus struct {
	// Config is the whole of prometheus.yml, as a block of text (`|`). It is
	// checked by Prometheus's own parser, and each fault has its place in
	// config.yaml. Required.
	//
	// Targets are found by `static_configs`, `dns_sd_configs` and
	// `http_sd_configs`; the other ways need an account or files, and the pod has
	// neither. For the same reason a key that names a file, such as
	// `credentials_file`, is refused, and `rule_files` has no effect. A page is
	// probed by a job with `metrics_path: /probe` whose `__address__` is
	// relabelled to `blackbox`. Names of jobs that begin with `velodrome-` are the
	// site's own. At most 10,000 keys and values.
	Config string `yaml:"prometheus-config.yml" json:"prometheus-config.yml,omitempty"`

	// RetentionTime is how long samples are kept, `2h` (the smallest block of
	// Prometheus) or more, in units of `s`, `m`, `h`, `d`, `w` and `y`, the
	// larger first. Default: 35064h, which is 4 years, so that a trend can be
	// compared with that of last year and the year before.
	RetentionTime Duration `yaml:"retention-time" json:"retention-time,omitempty" jsonschema:"default=35064h"`

	// RetentionSize is how many bytes of samples are kept: when the volume
	// nears its end the oldest go. A whole number with a unit of `B`, `KB`,
	// `MB`, `GB`, `TB` or `PB`, which Prometheus counts in powers of 1024.
	// Less than `storage`. Default: 85 % of `storage`, rounded down; the rest is
	// for the write-ahead log and for compaction.
	RetentionSize Size `yaml:"retention-size" json:"retention-size,omitempty"`

	// Storage is the size of the volume, a Kubernetes quantity in bytes. It can
	// be raised later, never lowered. At least 1Gi. Default: 100Gi.
	Storage Bytes `yaml:"storage" json:"storage,omitempty" jsonschema:"default=100Gi"`

	// Resources of the container. Default: requests of 100m and 256Mi, limits of
	// 2 and 4Gi.
	Resources Resources `yaml:"resources" json:"resources,omitempty"`
}

// Grafana is the part of a site that people see.
type Grafana struct {
	// GoogleAnalyticsUAID is the id under which Google Analytics counts the
	// visits to the site, such as `UA-12345678-9` or `G-ABC1234567`. Default
	// (absent, empty or null): none are counted.
	GoogleAnalyticsUAID AnalyticsID `yaml:"google-analytics-uaid" json:"google-analytics-uaid,omitempty"`

	// Dashboards are JSON files, or folders with such files (`*.json`, their
	// folders too), relative to config.yaml. Default: the dashboards that come
	// with Velodrome. An empty list: none.
	Dashboards []Path `yaml:"dashboards" json:"dashboards,omitempty"`

	// HomeDashboard is the uid of the dashboard at the site's front page: 1 to
	// 40 letters, digits, `-` and `_`. Default: home.
	HomeDashboard UID `yaml:"home-dashboard" json:"home-dashboard,omitempty" jsonschema:"default=home"`

	// SMTP lets Grafana send mail: alerts and lost passwords. Default: none is
	// sent.
	SMTP *SMTP `yaml:"smtp" json:"smtp,omitempty"`

	// Plugins are installed at start, each an id of Grafana's catalogue, or
	// `id@version`. Without a version it is the latest at each start of the pod.
	// Default: none.
	Plugins []Plugin `yaml:"plugins" json:"plugins,omitempty"`

	// Storage is the size of the volume that holds users, stars, preferences and
	// plugins, a Kubernetes quantity in bytes. It can be raised later, never
	// lowered. At least 1Gi. Default: 10Gi.
	Storage Bytes `yaml:"storage" json:"storage,omitempty" jsonschema:"default=10Gi"`

	// Resources of the container. Default: requests of 50m and 128Mi, limits of
	// 1 and 512Mi.
	Resources Resources `yaml:"resources" json:"resources,omitempty"`
}

// SMTP is the server that Grafana's mail goes through. Its password is a secret
// of the stack and has no place in this file.
type SMTP struct {
	// Host is the mail server, `host:port`. Required.
	Host HostPort `yaml:"host" json:"host,omitempty"`

	// User is the account there. Default: none, mail is sent without a login.
	User Text `yaml:"user" json:"user,omitempty"`

	// FromAddress is the sender's address. Default: `grafana@` and the project's
	// domain; required where the project has no domain.
	FromAddress Address `yaml:"from-address" json:"from-address,omitempty"`
}

// Resources are what a container is promised (requests) and what it can at most
// have (limits). A request may not exceed its limit; where only one of the two
// is given, the other's default gives way.
type Resources struct {
	// Requests are what the scheduler keeps free for the container.
	Requests ResourceList `yaml:"requests" json:"requests,omitempty"`

	// Limits are what the container can at most use: more CPU is throttled, more
	// memory kills it.
	Limits ResourceList `yaml:"limits" json:"limits,omitempty"`
}

// ResourceList is an amount of CPU and of memory.
type ResourceList struct {
	// CPU in cores, a Kubernetes quantity from 1m to 1024: `500m` is half a core.
	CPU CPU `yaml:"cpu" json:"cpu,omitempty"`

	// Memory in bytes, a Kubernetes quantity from 1Mi: `512Mi`, `4Gi`.
	Memory Bytes `yaml:"memory" json:"memory,omitempty"`
}
