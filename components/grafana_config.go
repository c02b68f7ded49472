package components

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

const (
	dashboardFolder = "/etc/grafana/dashboards"
	secretFolder    = "/etc/grafana/secrets"
)

// grafanaSettings are what grafana.ini depends on.
type grafanaSettings struct {
	host      string
	home      string // path of the home dashboard, empty for Grafana's own page
	analytics string
	plugins   []string
	smtp      *SMTP
}

// grafanaIni returns grafana.ini. Secrets are read from files.
func grafanaIni(s grafanaSettings) string {
	var b strings.Builder
	section := func(name string, lines ...string) {
		fmt.Fprintf(&b, "[%s]\n%s\n\n", name, strings.Join(lines, "\n"))
	}
	section("server",
		"domain = "+s.host,
		"root_url = http://"+s.host+"/")
	section("paths",
		"data = /var/lib/grafana",
		"plugins = /var/lib/grafana/plugins",
		"provisioning = /etc/grafana/provisioning")
	section("security",
		"admin_user = admin",
		"admin_password = $__file{"+secretFolder+"/admin-password}",
		"secret_key = $__file{"+secretFolder+"/secret-key}",
		"disable_gravatar = true",
		"# Panels of the old plugin system: none of ours is one.",
		"angular_support_enabled = false")
	section("users",
		"allow_sign_up = false",
		"allow_org_create = false")
	section("auth.anonymous",
		"# Everybody may look.",
		"enabled = true",
		"org_role = Viewer",
		"hide_version = true")
	section("snapshots",
		"# None leaves the site.",
		"external_enabled = false")
	section("live",
		"# Each open page holds one; at 100, Grafana's default, the next page gets an error.",
		"max_connections = 1000")
	section("dashboards", homeDashboard(s.home)...)
	section("analytics", append([]string{
		"# It tells nobody that it runs, and asks nobody for news.",
		"reporting_enabled = false",
		"check_for_updates = false",
		"check_for_plugin_updates = false",
	}, analytics(s.analytics)...)...)
	section("news", "news_feed_enabled = false")
	section("plugins", plugins(s.plugins)...)
	section("log", "mode = console", "level = info")
	section("smtp", smtp(s.smtp)...)
	return strings.TrimSuffix(b.String(), "\n")
}

func homeDashboard(path string) []string {
	if path == "" {
		return nil
	}
	return []string{"default_home_dashboard_path = " + path}
}

// analytics names the key that an id belongs to: those of Google Analytics 4 begin
// with G-, the older ones with UA-.
func analytics(id string) []string {
	switch {
	case id == "":
		return nil
	case strings.HasPrefix(id, "G-"):
		return []string{"google_analytics_4_id = " + id}
	default:
		return []string{"google_analytics_ua_id = " + id}
	}
}

// plugins installs those before the server answers. The set that Grafana would
// otherwise fetch in the background at each start is not asked for.
func plugins(ids []string) []string {
	if len(ids) == 0 {
		return []string{"preinstall_disabled = true"}
	}
	return []string{"preinstall_sync = " + strings.Join(ids, ", ")}
}

func smtp(s *SMTP) []string {
	if s == nil {
		return []string{"enabled = false"}
	}
	lines := []string{"enabled = true", "host = " + s.Host, "from_address = " + s.FromAddress}
	if s.User != "" {
		lines = append(lines, "user = "+s.User)
	}
	if s.Password != nil {
		lines = append(lines, "password = $__file{"+secretFolder+"/smtp-password}")
	}
	return lines
}

// alertRules are the alerts that only InfluxDB can tell of, for Grafana to watch.
//
//go:embed alerts.yml
var alertRules string

// alertFile returns the alert rules for an InfluxDB with the given volume.
func alertFile(influxDB Volume) string {
	return strings.ReplaceAll(alertRules, "INFLUXDB_VOLUME_BYTES", strconv.FormatInt(influxDB.Bytes, 10))
}

// dashboardProvider tells Grafana where the dashboards are. They are edited in the
// repository: what somebody changes in the page cannot be saved over them.
const dashboardProvider = `apiVersion: 1
providers:
  - name: velodrome
    type: file
    disableDeletion: true
    allowUiUpdates: false
    options:
      path: ` + dashboardFolder + `
`

// Datasource is one entry of datasources.yaml.
type Datasource struct {
	Name           string            `yaml:"name"`
	UID            string            `yaml:"uid"`
	Type           string            `yaml:"type"`
	Access         string            `yaml:"access"`
	URL            string            `yaml:"url"`
	User           string            `yaml:"user,omitempty"`
	IsDefault      bool              `yaml:"isDefault"`
	Editable       bool              `yaml:"editable"`
	JSONData       map[string]any    `yaml:"jsonData,omitempty"`
	SecureJSONData map[string]string `yaml:"secureJsonData,omitempty"`
}

// internalDatabase is where InfluxDB writes what it has to say of itself.
const internalDatabase = "_internal"

// maxUID is how many characters Grafana allows in a uid.
const maxUID = 40

// DatasourceUID returns the uid of the data source of a database: its name after
// influxdb-. A name that is too long for a uid, or has a character that a uid may not
// have, is cut and made unique by a hash.
func DatasourceUID(database string) string {
	uid := "influxdb-" + strings.ReplaceAll(database, ".", "-")
	if uid == "influxdb-"+database && len(uid) <= maxUID {
		return uid
	}
	hash := fmt.Sprintf("-%x", sha256.Sum256([]byte(database)))[:9]
	return uid[:min(len(uid), maxUID-len(hash))] + hash
}

// Datasources returns the data sources of a site. Their uids are fixed, for dashboards
// to name.
func Datasources(prometheus bool, databases []string) []Datasource {
	var sources []Datasource
	if prometheus {
		sources = append(sources, Datasource{
			Name: "prometheus", UID: "prometheus", Type: "prometheus", Access: "proxy",
			URL:      fmt.Sprintf("http://prometheus:%d/prometheus", prometheusPort),
			JSONData: map[string]any{"httpMethod": "POST", "timeInterval": "1m"},
		})
	}
	for _, database := range slices.Concat(databases, []string{internalDatabase}) {
		sources = append(sources, influxDBSource(database))
	}
	sources[0].IsDefault = true
	return sources
}

func influxDBSource(database string) Datasource {
	return Datasource{
		Name: DatasourceUID(database), UID: DatasourceUID(database), Type: "influxdb", Access: "proxy",
		URL: fmt.Sprintf("http://influxdb:%d", influxDBPort), User: "reader",
		// Not POST: over a connection that is kept alive, Grafana 10 cuts some answers short.
		JSONData:       map[string]any{"dbName": database, "httpMode": "GET", "version": "InfluxQL"},
		SecureJSONData: map[string]string{"password": "$__file{" + secretFolder + "/influxdb-password}"},
	}
}

// datasourcesFile returns datasources.yaml.
func datasourcesFile(sources []Datasource) (string, error) {
	text, err := yaml.Marshal(struct {
		APIVersion  int          `yaml:"apiVersion"`
		Prune       bool         `yaml:"prune"` // what is no longer listed goes
		Datasources []Datasource `yaml:"datasources"`
	}{1, true, sources})
	return string(text), err
}
