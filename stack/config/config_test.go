package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the messages of bad files anew")

// What a user gets for a file that is wrong: every fault, with its place and
// the way out, in one message.
func TestBadFileGetsOneMessageForAllFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".bad.yaml"), func(t *testing.T) {
			_, err := Load(file, Options{Zone: "k8s.io."})
			if err == nil {
				t.Fatal("no fault is found")
			}
			got := strings.ReplaceAll(err.Error(), file, "config.yaml") + "\n"
			message := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(message, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(message)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func load(t *testing.T, file string, opts Options) *Config {
	t.Helper()
	c, err := Load(file, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func project(t *testing.T, c *Config, name string) Project {
	t.Helper()
	i := slices.IndexFunc(c.Projects, func(p Project) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("there is no project %q", name)
	}
	return c.Projects[i]
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got\n%#v\nwant\n%#v", what, got, want)
	}
}

// Who comes from the program that Velodrome replaces brings a file along.
func TestOldFileWorksUnchanged(t *testing.T) {
	c := load(t, "testdata/old.good.yaml", Options{Zone: "k8s.io."})
	type old struct {
		IP         IPv4
		Analytics  AnalyticsID
		Prometheus bool
	}
	got := map[string]old{}
	var names []string
	for _, p := range c.Projects {
		names = append(names, p.Name)
		got[p.Name] = old{p.Nginx.PublicIP, p.Grafana.GoogleAnalyticsUAID, p.Prometheus != nil}
	}
	same(t, "names", names, []string{"beam", "istio", "kubernetes", "tensorflow"})
	same(t, "projects", got, map[string]old{
		"kubernetes": {"104.197.200.129", "UA-12345678-9", true},
		"istio":      {"130.211.224.127", "", false},
		"tensorflow": {"104.155.152.163", "", false},
		"beam":       {"", "", false},
	})
	same(t, "warnings", c.Warnings, []string{
		`testdata/old.good.yaml:3:1: ignored: "metrics" and "repositories", here and below; the pipeline of GitHub statistics that read this was removed in 2020, and it can be taken out`,
	})
	k := project(t, c, "kubernetes")
	if !strings.HasPrefix(k.Prometheus.Config, "global:\n  scrape_interval: 1m\n\n") {
		t.Errorf("prometheus.yml is changed: %q", k.Prometheus.Config)
	}
}

// What a project leaves out has the default that the reference page promises.
func TestProjectOfNothingHasEveryDefault(t *testing.T) {
	c, err := Parse("config.yaml", []byte("projects:\n  a:\n    prometheus: {prometheus-config.yml: \"global: {}\"}\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "project", c.Projects, []Project{{
		Name: "a",
		Settings: Settings{
			SecretsGeneration: 1,
			InfluxDB: InfluxDB{
				Databases: map[string]Database{"github": {}, "monitoring": {}},
				Storage:   "100Gi",
				Resources: Resources{ResourceList{"100m", "256Mi"}, ResourceList{"2", "4Gi"}},
			},
			Prometheus: &Prometheus{
				Config:        "global: {}",
				RetentionTime: Duration(35064 * time.Hour),
				RetentionSize: "85GB",
				Storage:       "100Gi",
				Resources:     Resources{ResourceList{"100m", "256Mi"}, ResourceList{"2", "4Gi"}},
			},
			Grafana: Grafana{
				HomeDashboard: "home",
				Storage:       "10Gi",
				Resources:     Resources{ResourceList{"50m", "128Mi"}, ResourceList{"1", "512Mi"}},
			},
		},
	}})
}

// The defaults of a file reach every project, which wins key by key.
func TestProjectWinsOverDefaultsKeyByKey(t *testing.T) {
	c := load(t, "testdata/all.good.yaml", Options{Zone: "k8s.io."})
	year := 365 * 24 * time.Hour
	same(t, "everything", project(t, c, "everything"), Project{
		Name: "everything", Domain: "velodrome.k8s.io", Nginx: Nginx{"104.197.200.129"},
		Settings: Settings{
			SecretsGeneration: 3,
			InfluxDB: InfluxDB{
				Databases: map[string]Database{
					"github":     {Retention(90 * 24 * time.Hour)},
					"builds":     {Retention(year + 6*7*24*time.Hour)},
					"ever":       {},
					"monitoring": {},
				},
				Storage:   "1Ti",
				Resources: Resources{ResourceList{"4", "8Gi"}, ResourceList{"4", "12Gi"}},
			},
			Prometheus: &Prometheus{
				Config: "rule_files: [rules.yml]\n", RetentionTime: Duration(26 * 7 * 24 * time.Hour),
				RetentionSize: "10GB", Storage: "20Gi",
				Resources: Resources{ResourceList{"100m", "256Mi"}, ResourceList{"2", "4Gi"}},
			},
			Grafana: Grafana{
				GoogleAnalyticsUAID: "G-ABC1234567", Dashboards: []Path{"testdata"}, HomeDashboard: "team",
				SMTP:    &SMTP{"smtp.sendgrid.net:2525", "apikey", "velodrome@k8s.io"},
				Plugins: []Plugin{"grafana-piechart-panel@1.6.4"}, Storage: "20Gi",
				Resources: Resources{ResourceList{"50m", "128Mi"}, ResourceList{"1", "512Mi"}},
			},
		},
	})
	same(t, "warnings", c.Warnings, []string{
		"testdata/all.good.yaml:35:9: projects.everything.prometheus.prometheus-config.yml: rule_files has no effect, as there are no such files in the pod; alert in Grafana, and put every job into scrape_configs",
	})
	nothing, quiet := project(t, c, "nothing"), project(t, c, "quiet")
	same(t, "retention size of nothing", nothing.Prometheus.RetentionSize, Size("17GB"))
	same(t, "plugins of nothing", nothing.Grafana.Plugins, []Plugin{"grafana-clock-panel"})
	same(t, "prometheus of quiet", quiet.Prometheus, (*Prometheus)(nil))
	same(t, "smtp of quiet", quiet.Grafana.SMTP, (*SMTP)(nil))
	same(t, "dashboards of quiet", quiet.Grafana.Dashboards, []Path{})
	same(t, "dashboards of nothing", nothing.Grafana.Dashboards, []Path(nil))
}

// Defaults about Prometheus do not bring one to a project that has none.
func TestDefaultsAloneMakeNoPrometheus(t *testing.T) {
	c, err := Parse("config.yaml", []byte(`
defaults:
  prometheus: {storage: 50Gi}
projects:
  without:
  with:
    prometheus: {prometheus-config.yml: "global: {}"}
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "without", project(t, c, "without").Prometheus, (*Prometheus)(nil))
	same(t, "with", project(t, c, "with").Prometheus.Storage, Bytes("50Gi"))
}

// A file from an editor on Windows has its faults at the same places.
func TestLineEndsOfWindowsKeepThePlaces(t *testing.T) {
	text, err := os.ReadFile("testdata/prometheus.bad.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, unix := Parse("config.yaml", text, Options{})
	windows := append([]byte("\ufeff"), bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))...)
	_, dos := Parse("config.yaml", windows, Options{})
	if unix == nil || dos == nil || unix.Error() != dos.Error() {
		t.Errorf("got\n%v\nwant\n%v", dos, unix)
	}
}

// Nobody reads five hundred faults; their number is said all the same.
func TestManyFaultsAreCut(t *testing.T) {
	_, err := Parse("config.yaml", []byte("projects:\n"+strings.Repeat("  A: {}\n", 300)), Options{})
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 51 || lines[50] != "config.yaml: and 250 more faults" {
		t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
}

// Reading is linear in the number of projects.
func BenchmarkProjects(b *testing.B) {
	shipped, err := os.ReadFile("testdata/all.good.yaml")
	if err != nil {
		b.Fatal(err)
	}
	head, _, _ := strings.Cut(string(shipped), "projects:\n")
	for _, n := range []int{10, 100, 1000} {
		text := []byte(head + "projects:\n")
		for i := range n {
			text = fmt.Appendf(text, "  team-%d:\n    domain: team-%d.k8s.io\n    influxdb:\n      databases: {ci: {retention: 90d}}\n      storage: 200Gi\n    prometheus:\n      prometheus-config.yml: |\n        scrape_configs:\n        - job_name: pages-%d\n          static_configs: [{targets: [team-%d.k8s.io]}]\n", i, i, i, i)
		}
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse("config.yaml", text, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
