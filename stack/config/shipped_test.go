package config

import "testing"

// The file that ships is one that works, in the zone that its domains lie in.
func TestShippedFileIsSound(t *testing.T) {
	c := load(t, "../../config.yaml", Options{Zone: "k8s.io."})
	same(t, "warnings", c.Warnings, []string(nil))
	k, i := project(t, c, "kubernetes"), project(t, c, "istio")
	same(t, "domain", k.Domain, Domain("velodrome.k8s.io"))
	same(t, "addresses", []IPv4{k.Nginx.PublicIP, i.Nginx.PublicIP}, []IPv4{"104.197.200.129", "130.211.224.127"})
	if k.Prometheus == nil {
		t.Error("kubernetes has no Prometheus")
	}
}
