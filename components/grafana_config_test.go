package components

import (
	"strings"
	"testing"
)

// Dashboards name these; Grafana takes 40 of a-z, A-Z, 0-9, - and _.
func TestEveryDatabaseHasADataSourceOfItsOwn(t *testing.T) {
	seen := map[string]string{}
	for database, want := range map[string]string{
		"github":                 "influxdb-github",
		"_internal":              "influxdb-_internal",
		"a.b":                    "influxdb-a-b-",
		"a-b":                    "influxdb-a-b",
		strings.Repeat("x", 31):  "influxdb-" + strings.Repeat("x", 31),
		strings.Repeat("x", 32):  "influxdb-" + strings.Repeat("x", 22) + "-",
		strings.Repeat("x", 64):  "influxdb-" + strings.Repeat("x", 22) + "-",
		strings.Repeat("x.", 32): "influxdb-" + strings.Repeat("x-", 11) + "-",
	} {
		uid := DatasourceUID(database)
		if !strings.HasPrefix(uid, want) || len(uid) > maxUID || strings.Contains(uid, ".") {
			t.Errorf("%s: %s, want %s…", database, uid, want)
		}
		if other, ok := seen[uid]; ok {
			t.Errorf("%s has the uid of %s", database, other)
		}
		seen[uid] = database
	}
}

// A newer id under the older key counts nothing.
func TestAnalyticsIDsGoToTheirKey(t *testing.T) {
	for id, want := range map[string]string{
		"": "", "UA-82843984-5": "google_analytics_ua_id = UA-82843984-5", "G-ABC1234567": "google_analytics_4_id = G-ABC1234567",
	} {
		if got := strings.Join(analytics(id), "\n"); got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
}
