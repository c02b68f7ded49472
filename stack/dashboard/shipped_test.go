package dashboard

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const shippedFolder = "../../dashboards"

func loadShipped(t testing.TB, sources Sources) []Dashboard {
	t.Helper()
	sources.Shipped = shippedFolder
	got, err := Load([]string{shippedFolder}, sources)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// panel is what these tests look at in Grafana's model.
type panel struct {
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               any
	Targets                  []map[string]any
	Panels                   []panel
	FieldConfig              struct {
		Defaults struct{ Unit, NoValue string }
	}
	Options map[string]any
}

type model struct {
	UID, Title, Description, Timezone string
	Tags                              []string
	SchemaVersion                     int
	Editable                          *bool
	Templating                        struct{ List []struct{ Name string } }
	Panels                            []panel
}

func decode(t testing.TB, d Dashboard) (m model) {
	t.Helper()
	if err := json.Unmarshal(d.JSON, &m); err != nil {
		t.Fatal(d.File, err)
	}
	return m
}

// flat lists panels and those of closed rows.
func flat(panels []panel) (all []panel) {
	for _, p := range panels {
		all = append(append(all, p), flat(p.Panels)...)
	}
	return all
}

func TestShippedDashboardsAreWholeInAProjectWithEverything(t *testing.T) {
	var uids []string
	for _, d := range loadShipped(t, all) {
		uids = append(uids, d.UID)
		raw, err := os.ReadFile(d.File)
		if err != nil {
			t.Fatal(err)
		}
		if string(raw) != string(d.JSON) {
			t.Errorf("%s: something was taken out", d.File)
		}
	}
	if want := []string{"caches", "ci-health", "home", "monitoring"}; !slices.Equal(uids, want) {
		t.Errorf("got %v, want %v", uids, want)
	}
}

func TestEveryShippedPanelSaysWhatItIsForAndWhatToDoWithoutData(t *testing.T) {
	types := []string{"timeseries", "stat", "table", "bargauge", "text", "dashlist", "alertlist", "row"}
	for _, d := range loadShipped(t, all) {
		m := decode(t, d)
		if m.Description == "" || m.SchemaVersion != 38 || m.Timezone != "browser" || !slices.Contains(m.Tags, "velodrome") || m.Editable == nil || *m.Editable {
			t.Errorf("%s: description %q, schema %d, time zone %q, tags %v, editable %v", d.File, m.Description, m.SchemaVersion, m.Timezone, m.Tags, m.Editable)
		}
		titles := map[string]bool{}
		row := ""
		for _, p := range flat(m.Panels) {
			where := fmt.Sprintf("%s: %s %q", d.File, p.Type, p.Title)
			if !slices.Contains(types, p.Type) {
				t.Errorf("%s: not a panel of every Grafana since 10", where)
			}
			if p.Type == "row" {
				row = p.Title
				continue
			}
			if key := row + p.Type + p.Title; titles[key] || p.Title == "" {
				t.Errorf("%s: two panels of one kind and title in one section", where)
			} else {
				titles[key] = true
			}
			if !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s: no sentence that says what it is for", where)
			}
			if len(p.Targets) > 0 && (p.FieldConfig.Defaults.NoValue == "" || p.FieldConfig.Defaults.Unit == "") {
				t.Errorf("%s: unit %q, text without data %q", where, p.FieldConfig.Defaults.Unit, p.FieldConfig.Defaults.NoValue)
			}
		}
	}
}

func TestShippedPanelsFillTheGridWithoutOverlap(t *testing.T) {
	for _, d := range loadShipped(t, all) {
		m := decode(t, d)
		lines := [][]panel{m.Panels}
		for _, p := range m.Panels {
			lines = append(lines, p.Panels)
		}
		for _, panels := range lines {
			taken := map[[2]int]string{}
			width := map[int]int{}
			for _, p := range panels {
				for x := range p.GridPos.W {
					for y := range p.GridPos.H {
						cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
						if other, ok := taken[cell]; ok || cell[0] > 23 {
							t.Fatalf("%s: %q lies over %q or beside the page", d.File, p.Title, other)
						}
						taken[cell] = p.Title
						width[cell[1]]++
					}
				}
			}
			for y, w := range width {
				if w != 24 {
					t.Errorf("%s: line %d is %d of 24 columns wide", d.File, y, w)
				}
			}
		}
	}
}

// TestAProjectGetsWhatItHasDataSourcesFor loads the shipped folder for every set of sources that a project can have.
func TestAProjectGetsWhatItHasDataSourcesFor(t *testing.T) {
	optional := []string{"prometheus", "influxdb-github", "influxdb-monitoring"}
	want := map[string]string{ // absent sources: dashboards with their number of panels that ask one
		"":                                    "caches 16, ci-health 18, home 26, monitoring 10",
		"prometheus":                          "ci-health 13, home 12, monitoring 2",
		"influxdb-github":                     "caches 16, home 26, monitoring 10",
		"influxdb-monitoring":                 "caches 15, ci-health 18, home 26, monitoring 8",
		"prometheus influxdb-github":          "home 12, monitoring 2",
		"prometheus influxdb-monitoring":      "ci-health 13, home 12",
		"influxdb-github influxdb-monitoring": "caches 15, home 26, monitoring 8",
		"prometheus influxdb-github influxdb-monitoring": "home 12",
	}
	for set := range 8 {
		var absent []string
		for i, uid := range optional {
			if set&(1<<i) != 0 {
				absent = append(absent, uid)
			}
		}
		name := strings.Join(absent, " ")
		t.Run("without "+name, func(t *testing.T) {
			var got []string
			for _, d := range loadShipped(t, less(all, absent...)) {
				asking := 0
				for _, p := range flat(decode(t, d).Panels) {
					if len(p.Targets) > 0 {
						asking++
					}
				}
				got = append(got, fmt.Sprintf("%s %d", d.UID, asking))
				panels := decode(t, d).Panels
				for i, p := range panels {
					if p.Type == "row" && len(p.Panels) == 0 && (i+1 == len(panels) || panels[i+1].Type == "row") {
						t.Errorf("%s: section %q is empty", d.UID, p.Title)
					}
				}
				for _, uid := range absent {
					if strings.Contains(string(d.JSON), `"`+uid+`"}`) {
						t.Errorf("%s still names %s", d.UID, uid)
					}
				}
			}
			if got := strings.Join(got, ", "); got != want[name] {
				t.Errorf("got  %s\nwant %s", got, want[name])
			}
		})
	}
}

func TestADashboardNamedOnPurposeIsNotCutToFit(t *testing.T) {
	sources := less(all, "prometheus")
	sources.Shipped = shippedFolder
	_, err := Load([]string{shippedFolder, filepath.Join(shippedFolder, "monitoring.json")}, sources)
	if err == nil {
		t.Fatal("accepted")
	}
	want := `asks data source "prometheus", which this project does not have; give the project a "prometheus" key, or leave the dashboard out`
	for line := range strings.Lines(err.Error()) {
		if !strings.Contains(line, want) {
			t.Errorf("got %s", line)
		}
	}
}

func TestATypoInAShippedDashboardIsNotTakenForAnAbsentSource(t *testing.T) {
	dir := t.TempDir()
	raw := `{"uid": "x", "title": "X", "panels": [{"type": "stat", "title": "P", "targets": [{"refId": "A", "datasource": {"type": "prometheus", "uid": "promeheus"}, "expr": "up"}]}]}`
	if err := os.WriteFile(filepath.Join(dir, "x.json"), []byte(raw), 0o644); err != nil {
		t.Fatal(err)
	}
	sources := all
	sources.Shipped = dir
	_, err := Load([]string{dir}, sources)
	want := filepath.Join(dir, "x.json") + `:1:141: panel "P", query A asks data source "promeheus", which this project does not have; did you mean "prometheus"?`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func BenchmarkLoadShipped(b *testing.B) {
	for b.Loop() {
		loadShipped(b, all)
	}
}
