package components

import (
	"slices"
	"testing"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/config"
)

// What a team wrote runs as written, whatever form it has.
func TestSiteJobsAreAddedToAnyProjectConfig(t *testing.T) {
	for name, c := range map[string]struct {
		project string
		jobs    []string // of the project
		rules   []string
	}{
		"nothing":      {"", nil, nil},
		"a comment":    {"# later\n", nil, nil},
		"empty lists":  {"scrape_configs:\nrule_files: []\n", nil, nil},
		"only globals": {"global: {scrape_interval: 30s}\n", nil, nil},
		"jobs and rules": {
			"scrape_configs: [{job_name: a}, {job_name: b}]\nrule_files: [/x/*.yml]\n", []string{"a", "b"}, []string{"/x/*.yml"},
		},
		"anchors": {
			"scrape_configs:\n- &a\n  job_name: a\n  static_configs: [{targets: [x]}]\n- <<: *a\n  job_name: b\n", []string{"a", "b"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := prometheusConfig(c.project)
			if err != nil {
				t.Fatal(err)
			}
			loaded, err := config.Load(text, promslog.NewNopLogger())
			if err != nil {
				t.Fatalf("%v in:\n%s", err, text)
			}
			var jobs []string
			for _, j := range loaded.ScrapeConfigs {
				jobs = append(jobs, j.JobName)
			}
			if want := append(c.jobs, "velodrome-prometheus", "velodrome-influxdb", "velodrome-grafana", "velodrome-blackbox", "velodrome-nginx"); !slices.Equal(jobs, want) {
				t.Errorf("the jobs are %v, want %v", jobs, want)
			}
			if want := append(c.rules, "/etc/prometheus/rules.yml", "/etc/prometheus/capacity.yml"); !slices.Equal(loaded.RuleFiles, want) {
				t.Errorf("the rule files are %v, want %v", loaded.RuleFiles, want)
			}
		})
	}
}
