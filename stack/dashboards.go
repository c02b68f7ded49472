package stack

import (
	"fmt"
	"strings"

	"velodrome/components"
	"velodrome/stack/config"
	"velodrome/stack/dashboard"
)

// shippedDashboards is the folder of the dashboards that come with Velodrome,
// relative to the program.
const shippedDashboards = "dashboards"

// maxDashboardBytes is how much fits into the one ConfigMap that a project's
// dashboards are in: Kubernetes' limit of 1 MiB, less room for its other fields.
const maxDashboardBytes = 1<<20 - 1<<16

// dashboardLibrary has the dashboards that were loaded, by what they were loaded for:
// most projects have the same ones, and each takes milliseconds to check.
type dashboardLibrary map[string]shelf

type shelf struct {
	byUID map[string]string
	size  int
	err   error
}

// load returns the dashboards at paths, for the sources of a project.
func (l dashboardLibrary) load(paths []string, s dashboard.Sources) shelf {
	key := fmt.Sprint(paths, s)
	if have, ok := l[key]; ok {
		return have
	}
	loaded, err := dashboard.Load(paths, s)
	have := shelf{byUID: map[string]string{}, err: err}
	for _, d := range loaded {
		have.byUID[d.UID] = string(d.JSON)
		have.size += len(d.JSON)
	}
	l[key] = have
	return have
}

// of returns a project's dashboards by uid.
func (l dashboardLibrary) of(cfg *config.Config, p config.Project) (map[string]string, error) {
	paths := []string{shippedDashboards}
	if p.Grafana.Dashboards != nil {
		paths = texts(p.Grafana.Dashboards)
	}
	have := l.load(paths, sources(p))
	if have.err != nil {
		return nil, have.err
	}
	at := "projects." + p.Name + ".grafana"
	if have.size > maxDashboardBytes {
		return nil, fmt.Errorf("%s: %s.dashboards: together they have %d bytes, and %d fit; name fewer",
			cfg.Position(at+".dashboards"), at, have.size, maxDashboardBytes)
	}
	if _, ok := have.byUID[string(p.Grafana.HomeDashboard)]; !ok && len(have.byUID) > 0 {
		return nil, fmt.Errorf("%s: %s.home-dashboard: no dashboard of the project has the uid %q; there are %s",
			cfg.Position(at+".home-dashboard"), at, p.Grafana.HomeDashboard, strings.Join(sortedKeys(have.byUID), ", "))
	}
	return have.byUID, nil
}

// sources returns the data sources that a project's Grafana has.
func sources(p config.Project) dashboard.Sources {
	s := dashboard.Sources{Shipped: shippedDashboards}
	for _, d := range components.Datasources(p.Prometheus != nil, sortedKeys(p.InfluxDB.Databases)) {
		s.List = append(s.List, dashboard.Source{UID: d.UID, Name: d.Name, Type: d.Type})
	}
	s.Default = s.List[0].UID
	return s
}
