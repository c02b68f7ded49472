package graph

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/influxql"
	blackbox "github.com/prometheus/blackbox_exporter/config"
	"github.com/prometheus/common/model"
	prometheus "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/tufanbarisyildirim/gonginx/config"
	nginx "github.com/tufanbarisyildirim/gonginx/parser"
	"gopkg.in/yaml.v3"
)

// files returns the files of a ConfigMap or Secret by its logical name.
func files(t *testing.T, name string) map[string]string {
	t.Helper()
	for _, r := range graph(t) {
		if r.urn.Name() != name {
			continue
		}
		for _, field := range []string{"data", "stringData"} {
			if data, ok := r.object()[field].(map[string]any); ok {
				return decode[map[string]string](t, data)
			}
		}
	}
	t.Fatalf("there is no ConfigMap or Secret %q", name)
	return nil
}

// golden compares a rendered file with what was meant.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("test/graph/testdata", name) // the tests run at the top
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is another one (if you mean it: go test ./graph -update); it is now:\n%s", name, got)
	}
}

// Every path of the site leads to its server, and none to what is not for visitors.
func TestNginxServesThePathsOfTheSite(t *testing.T) {
	text := files(t, "kubernetes-nginx-config")["nginx.conf"]
	golden(t, "nginx.conf", text)
	conf, err := nginx.NewStringParser(text, nginx.WithSkipValidDirectivesErr()).Parse()
	if err != nil {
		t.Fatal(err)
	}
	passes := map[string]string{}
	for _, server := range conf.FindDirectives("server") {
		listen := ""
		for _, d := range server.GetBlock().GetDirectives() {
			if d.GetName() == "listen" {
				listen = d.GetParameters()[0].GetValue()
			}
			l, ok := d.(*config.Location)
			if !ok {
				continue
			}
			for _, inner := range l.GetBlock().GetDirectives() {
				if inner.GetName() == "proxy_pass" {
					passes[listen+l.Match] = inner.GetParameters()[0].GetValue()
				}
			}
		}
	}
	want := map[string]string{
		"8080/": "http://grafana", "8080/influxdb/": "http://influxdb/",
		"8080/prometheus/": "http://prometheus", "8181/": "http://influxdb",
	}
	for path, target := range want {
		if passes[path] != target {
			t.Errorf("%s leads to %q, not %q", path, passes[path], target)
		}
	}
	if len(passes) != len(want) {
		t.Errorf("nginx passes on %v", passes)
	}
	for _, private := range regexp.MustCompile(`location ~ (\S+) \{`).FindAllStringSubmatch(text, -1) {
		if _, err := regexp.Compile(private[1]); err != nil {
			t.Error(err)
		}
	}
}

// A project without Prometheus says so, rather than sending visitors to a host that
// nginx then fails to find at its start.
func TestNginxKnowsWhenThereIsNoPrometheus(t *testing.T) {
	text := files(t, "kube-nginx-config")["nginx.conf"]
	if strings.Contains(text, "upstream prometheus") || !strings.Contains(text, "This project has no Prometheus.") {
		t.Errorf("nginx.conf of a project without Prometheus:\n%s", text)
	}
}

// Scrape jobs name these modules and rely on these time-outs.
func TestProberHasTheModulesOfOldScrapeJobs(t *testing.T) {
	var c blackbox.Config
	if err := yaml.Unmarshal([]byte(files(t, "kubernetes-blackbox-config")["blackbox.yml"]), &c); err != nil {
		t.Fatal(err)
	}
	for name, method := range map[string]string{"http_2xx": "", "http_2xx_post": "POST"} {
		m, ok := c.Modules[name]
		if !ok {
			t.Fatalf("there is no module %s", name)
		}
		if m.Prober != "http" || m.Timeout != 5*time.Second || m.HTTP.IPProtocol != "ip4" ||
			!m.HTTP.HTTPClientConfig.TLSConfig.InsecureSkipVerify || m.HTTP.Method != method {
			t.Errorf("module %s is %+v", name, m)
		}
	}
}

// The project's jobs run as written, and beside them the site's own.
func TestPrometheusPollsTheProjectAndTheSite(t *testing.T) {
	rendered := files(t, "kubernetes-prometheus-config")
	golden(t, "prometheus.yml", rendered["prometheus.yml"])
	c, err := prometheus.Load(rendered["prometheus.yml"], slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := c.GetScrapeConfigs()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, j := range jobs {
		names = append(names, j.JobName)
	}
	slices.Sort(names)
	want := []string{"probes", "velodrome-blackbox", "velodrome-grafana", "velodrome-influxdb", "velodrome-nginx", "velodrome-prometheus"}
	if !slices.Equal(names, want) {
		t.Errorf("the jobs are %v", names)
	}
	if !slices.Equal(c.RuleFiles, []string{"/etc/prometheus/rules.yml", "/etc/prometheus/capacity.yml"}) {
		t.Errorf("the rule files are %v", c.RuleFiles)
	}
	_, errs := rulefmt.Parse([]byte(rendered["rules.yml"]), false, model.UTF8Validation,
		parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Errorf("the rules: %v", errs)
	}
}

// A statement that does not parse keeps the server from starting.
func TestInfluxDBUnderstandsItsInitStatements(t *testing.T) {
	rendered := files(t, "kubernetes-influxdb-init")
	// The init script makes statements of these.
	rendered["retention"] = regexp.MustCompile(`(?m)^(\S+) (.+)$`).
		ReplaceAllString(rendered["retention"], `ALTER RETENTION POLICY "autogen" ON "$1" $2 DEFAULT`)
	var rights []string
	for _, file := range []string{"ensure.iql", "apply.iql", "retention"} {
		for _, line := range strings.Split(strings.TrimSpace(rendered[file]), "\n") {
			s, err := influxql.ParseStatement(line)
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			if g, ok := s.(*influxql.GrantStatement); ok {
				rights = append(rights, g.User+" "+g.Privilege.String()+" "+g.On)
			}
		}
	}
	want := []string{
		"reader READ _internal", "writer WRITE github", "reader READ github",
		"writer WRITE monitoring", "reader READ monitoring",
	}
	if !slices.Equal(rights, want) {
		t.Errorf("the rights are %q", rights)
	}
}

// Dashboards name data sources by uid; the reader's password is in none of them.
func TestGrafanaHasItsDataSources(t *testing.T) {
	rendered := files(t, "kubernetes-grafana-config")
	golden(t, "datasources.yaml", rendered["datasources.yaml"])
	golden(t, "grafana.ini", rendered["grafana.ini"])
	var c struct {
		Datasources []struct {
			UID, User      string
			SecureJSONData map[string]string `yaml:"secureJsonData"`
		}
	}
	if err := yaml.Unmarshal([]byte(rendered["datasources.yaml"]), &c); err != nil {
		t.Fatal(err)
	}
	var uids []string
	for _, d := range c.Datasources {
		uids = append(uids, d.UID)
		if p, ok := d.SecureJSONData["password"]; ok && !strings.HasPrefix(p, "$__file{") {
			t.Errorf("%s has a password that is not read from a file", d.UID)
		}
	}
	if want := []string{"prometheus", "influxdb-github", "influxdb-monitoring", "influxdb-_internal"}; !slices.Equal(uids, want) {
		t.Errorf("the data sources are %v", uids)
	}
}

// What ships is what a site shows, and each file is the dashboard of its name.
func TestShippedDashboardsReachGrafana(t *testing.T) {
	for file, text := range files(t, "kubernetes-grafana-dashboards") {
		var d struct{ UID string }
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Errorf("%s: %v", file, err)
		} else if d.UID+".json" != file {
			t.Errorf("%s has the uid %q", file, d.UID)
		}
	}
}
