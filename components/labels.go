package components

import (
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// The values of the label app. They are those of the program that Velodrome
// replaces, so that `kubectl get pods -l app=grafana,project=kubernetes` goes on
// working.
const (
	appInfluxDB   = "influxdb"
	appPrometheus = "prometheus"
	appProber     = "blackbox-prober"
	appGrafana    = "grafana"
	appNginx      = "nginx"
)

// labels says which part of which project an object belongs to.
type labels struct {
	project string
	app     string // empty for objects of the project as a whole
	image   string // empty for objects that run no image
}

// object returns what an object or a pod carries.
func (l labels) object() pulumi.StringMap {
	m := pulumi.StringMap{
		"project":                      pulumi.String(l.project),
		"app.kubernetes.io/part-of":    pulumi.String("velodrome"),
		"app.kubernetes.io/instance":   pulumi.String(l.project),
		"app.kubernetes.io/managed-by": pulumi.String("pulumi"),
	}
	if l.app != "" {
		m["app"] = pulumi.String(l.app)
		m["app.kubernetes.io/name"] = pulumi.String(l.app)
	}
	if v := imageVersion(l.image); v != "" {
		m["app.kubernetes.io/version"] = pulumi.String(v)
	}
	return m
}

// selector returns what finds the pods of a part. A workload's selector can
// never change, so nothing that changes with time, such as a version, is in it.
func (l labels) selector() pulumi.StringMap {
	return pulumi.StringMap{
		"app":     pulumi.String(l.app),
		"project": pulumi.String(l.project),
	}
}

// imageVersion returns the tag of an image reference, which is a valid label value
// by its own grammar (up to 128 characters, of which a label takes 63); empty if the
// reference has none.
func imageVersion(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	_, name, found := cutLast(ref, "/")
	if !found {
		name = ref
	}
	_, tag, _ := strings.Cut(name, ":")
	if len(tag) > 63 {
		tag = tag[:63]
	}
	return strings.TrimRight(tag, "-_.")
}

// cutLast is strings.Cut around the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
