package components

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/influxdata/influxql"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"gopkg.in/yaml.v3"
)

// wantAlerts are the alerts that every site has.
var wantAlerts = []string{"TargetDown", "ProbeFailing", "DiskFillingWithinFourDays", "ContainerRestarting"}

func TestPrometheusLoadsTheAlertRules(t *testing.T) {
	raw, err := os.ReadFile("rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(raw, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.Default())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var names []string
	for _, rule := range groups.Groups[0].Rules {
		names = append(names, rule.Alert)
		if rule.Labels["severity"] == "" {
			t.Errorf("%s has no severity", rule.Alert)
		}
		for _, key := range []string{"summary", "description", "runbook"} {
			if rule.Annotations[key] == "" {
				t.Errorf("%s has no %s", rule.Alert, key)
			}
		}
	}
	if !slices.Equal(names, wantAlerts) {
		t.Errorf("got %v, want %v", names, wantAlerts)
	}
}

// grafanaAlerts is Grafana's file format, as far as ours has it.
type grafanaAlerts struct {
	APIVersion int
	Groups     []struct {
		OrgID                  int
		Name, Folder, Interval string
		Rules                  []struct {
			UID, Title, Condition, For, NoDataState, ExecErrState, DashboardUID string
			PanelID                                                             int
			Labels, Annotations                                                 map[string]string
			Data                                                                []struct {
				RefID, DatasourceUID string
				RelativeTimeRange    struct{ From, To int }
				Model                struct {
					RefID, Query, ResultFormat, Type, Reducer, Expression string
					RawQuery                                              bool
				}
			}
		}
	}
}

// TestGrafanasAlertsAskInfluxDBWhatItUnderstands also sees to it that each step names one before it, and that the
// panel that an alert leads to is the one that shows its numbers.
func TestGrafanasAlertsAskInfluxDBWhatItUnderstands(t *testing.T) {
	raw, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := yaml.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var file grafanaAlerts
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	home, err := os.ReadFile("../dashboards/home.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID    int
			Title string
		}
	}
	if err := json.Unmarshal(home, &dashboard); err != nil {
		t.Fatal(err)
	}
	panels := map[int]string{}
	for _, p := range dashboard.Panels {
		panels[p.ID] = p.Title
	}
	leadsTo := map[string]string{}
	for _, rule := range file.Groups[0].Rules {
		leadsTo[rule.Title] = panels[rule.PanelID]
		var before []string
		for _, d := range rule.Data {
			if d.RefID != d.Model.RefID {
				t.Errorf("%s: query %s calls itself %s", rule.Title, d.RefID, d.Model.RefID)
			}
			switch d.DatasourceUID {
			case DatasourceUID(internalDatabase):
				query := strings.ReplaceAll(d.Model.Query, "$timeFilter", "time >= 1700000000000ms and time <= 1700021600000ms")
				if _, err := influxql.ParseQuery(query); err != nil || !d.Model.RawQuery || d.RelativeTimeRange.From <= d.RelativeTimeRange.To {
					t.Errorf("%s: query %s: %v", rule.Title, d.RefID, err)
				}
			case "__expr__":
				if !slices.ContainsFunc(before, func(ref string) bool { return strings.Contains(d.Model.Expression, ref) }) {
					t.Errorf("%s: step %s, %q, uses none of %v", rule.Title, d.RefID, d.Model.Expression, before)
				}
			default:
				t.Errorf("%s: data source %q", rule.Title, d.DatasourceUID)
			}
			before = append(before, d.RefID)
		}
		if !slices.Contains(before, rule.Condition) {
			t.Errorf("%s: its condition %q is none of %v", rule.Title, rule.Condition, before)
		}
		for _, key := range []string{"summary", "description", "runbook"} {
			if rule.Annotations[key] == "" {
				t.Errorf("%s has no %s", rule.Title, key)
			}
		}
	}
	want := map[string]string{"NoPointsWrittenForADay": "Points written", "DiskFillingWithinFourDays": "Disk of InfluxDB"}
	if !maps.Equal(leadsTo, want) {
		t.Errorf("got %v, want %v", leadsTo, want)
	}
}
