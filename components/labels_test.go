package components

import "testing"

func TestVersionOfAnImageIsALabelValue(t *testing.T) {
	for ref, want := range map[string]string{
		"":                          "",
		"influxdb:1.12.4":           "1.12.4",
		"influxdb":                  "",
		"prom/prometheus:v3.14.0":   "v3.14.0",
		"registry:5000/influxdb":    "",
		"registry:5000/influxdb:1":  "1",
		"influxdb:1.12.4@sha256:ab": "1.12.4",
		"influxdb@sha256:ab":        "",
		"a:1234567890123456789012345678901234567890123456789012345678901_-3": "1234567890123456789012345678901234567890123456789012345678901",
	} {
		if got := imageVersion(ref); got != want {
			t.Errorf("%q: %q, want %q", ref, got, want)
		}
	}
}
