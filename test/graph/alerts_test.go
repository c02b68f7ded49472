package graph

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

// An alert that never fires is no alert, and one that fires on a site that is well is
// soon overlooked. Prometheus's own rules are evaluated over series made for the case,
// minute by minute.
func TestAlertsFireWhenTheyShouldAndNotBefore(t *testing.T) {
	const (
		capacity = `velodrome_volume_capacity_bytes{app="prometheus"} 100x2000` + "\n"
		grows    = capacity + `prometheus_tsdb_storage_blocks_bytes{job="velodrome-prometheus"} 10+0.02x2000` + "\n"
		unbound  = `prometheus_tsdb_retention_limit_bytes{job="velodrome-prometheus"} 0x2000`
		limited  = `prometheus_tsdb_retention_limit_bytes{job="velodrome-prometheus"} 80x2000`
		starts   = `process_start_time_seconds{job="velodrome-grafana"} `
	)
	for _, c := range []struct {
		alert, series string
		at            time.Duration
		want          rules.AlertState
	}{
		{"TargetDown", `up{job="a"} 1x30`, 20 * time.Minute, rules.StateInactive},
		{"TargetDown", `up{job="a"} 1x9 0x20`, 14 * time.Minute, rules.StatePending},
		{"TargetDown", `up{job="a"} 1x9 0x20`, 16 * time.Minute, rules.StateFiring},
		{"TargetDown", `up{job="a"} 1x9 0x20 1x10`, 35 * time.Minute, rules.StateInactive},
		{"ProbeFailing", `probe_success{instance="a"} 0x4 1x20`, 9 * time.Minute, rules.StateInactive},
		{"ProbeFailing", `probe_success{instance="a"} 0x20`, 6 * time.Minute, rules.StateFiring},
		{"DiskFillingWithinFourDays", grows + unbound, 12 * time.Hour, rules.StateFiring},
		{"DiskFillingWithinFourDays", grows + unbound, 30 * time.Minute, rules.StatePending},
		{"DiskFillingWithinFourDays", grows + limited, 12 * time.Hour, rules.StateInactive},
		{"DiskFillingWithinFourDays", capacity + `prometheus_tsdb_storage_blocks_bytes{job="velodrome-prometheus"} 10+0.001x2000`, 12 * time.Hour, rules.StateInactive},
		{"ContainerRestarting", starts + `1x10 2x10 3x30`, 40 * time.Minute, rules.StateInactive},
		{"ContainerRestarting", starts + `1x10 2x10 3x5 4x30`, 40 * time.Minute, rules.StateFiring},
		{"ContainerRestarting", starts + `1x10 2x10 3x5 4x200`, 2 * time.Hour, rules.StateInactive},
	} {
		rule := alertingRule(t, c.alert)
		query := rules.EngineQueryFunc(
			promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery),
			promqltest.LoadedStorage(t, "load 1m\n  "+strings.ReplaceAll(c.series, "\n", "\n  ")))
		for at := time.Duration(0); at <= c.at; at += time.Minute {
			if _, err := rule.Eval(context.Background(), 0, time.Unix(0, 0).Add(at), query, nil, 0); err != nil {
				t.Fatalf("%s: %v", c.alert, err)
			}
		}
		got := rules.StateInactive
		for _, alert := range rule.ActiveAlerts() {
			got = max(got, alert.State)
		}
		if got != c.want {
			t.Errorf("%s over %q is %s after %s, not %s", c.alert, c.series, got, c.at, c.want)
		}
	}
}

// alertingRule is a rule of the file that ships.
func alertingRule(t *testing.T, name string) *rules.AlertingRule {
	t.Helper()
	text, err := os.ReadFile("../../components/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	p := parser.NewParser(parser.Options{})
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, p, slog.Default())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if r.Alert != name {
				continue
			}
			expr, err := p.ParseExpr(r.Expr)
			if err != nil {
				t.Fatal(err)
			}
			return rules.NewAlertingRule(name, expr, time.Duration(r.For), 0, labels.FromMap(r.Labels),
				labels.FromMap(r.Annotations), labels.EmptyLabels(), "", true, slog.Default())
		}
	}
	t.Fatalf("there is no rule %s", name)
	return nil
}
