package cluster

import (
	"strings"
	"testing"
)

func TestConfigurationsThatCannotWorkAreRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no state", Config{}, "configure the cluster: no state folder is set"},
		{"name", Config{State: "/s", Name: "a/b"}, `configure the cluster: name "a/b": want 1 to 32 of a-z, 0-9 and -`},
		{"long name", Config{State: "/s", Name: strings.Repeat("a", 33)}, `configure the cluster: name "` + strings.Repeat("a", 33) + `": want 1 to 32 of a-z, 0-9 and -`},
		{"port of the API server", Config{State: "/s", APIPort: 70000}, "configure the cluster: port of the API server 70000: want 1 to 65535"},
		{"port of the DNS server", Config{State: "/s", DNSPort: 70000}, "configure the cluster: port of the DNS server 70000: want 1 to 65535"},
		{"offset", Config{State: "/s", PortOffset: -1}, "configure the cluster: port offset -1: want 0 to 50000"},
		{"all at once", Config{Name: "A", PortOffset: 60000}, "configure the cluster: no state folder is set\nname \"A\": want 1 to 32 of a-z, 0-9 and -\nport offset 60000: want 0 to 50000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.cfg.withDefaults()
			if err == nil || err.Error() != c.want {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestDefaultsAreThoseOfTheDocumentation(t *testing.T) {
	cfg, err := Config{State: "/s/cluster"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Name != "velodrome" || cfg.APIPort != 16443 || cfg.DNSPort != 10053 || cfg.PortOffset != 0 || cfg.GCP != "/s/gcp.json" {
		t.Errorf("got %+v", cfg)
	}
}
