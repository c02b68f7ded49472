package stack

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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

// projectArgs turns the projects of config.yaml into the arguments of their
// components, or returns one error with all faults.
func projectArgs(s Settings, stack string, cfg *config.Config) (map[string]components.ProjectArgs, error) {
	all, err := images(s.Images)
	faults := []error{err, checkPasswords(s.Passwords, cfg.Names)}
	args := map[string]components.ProjectArgs{}
	for _, p := range cfg.Projects {
		a, err := oneProject(s, stack, cfg, p)
		// A dashboard that several projects share is reported once.
		if err != nil && !slices.ContainsFunc(faults, func(f error) bool { return f != nil && f.Error() == err.Error() }) {
			faults = append(faults, err)
		}
		a.Images = all
		args[p.Name] = a
	}
	return args, errors.Join(faults...)
}

func oneProject(s Settings, stack string, cfg *config.Config, p config.Project) (components.ProjectArgs, error) {
	passwords, err := credentials(s, stack, p)
	if err != nil {
		return components.ProjectArgs{}, err
	}
	dashboards, err := loadDashboards(cfg, p)
	if err != nil {
		return components.ProjectArgs{}, err
	}
	return components.ProjectArgs{
		StorageClass: s.StorageClass,
		Protect:      s.Protect,
		Endpoint: components.EndpointArgs{
			IP: string(p.Nginx.PublicIP), Domain: string(p.Domain), Zone: s.ManagedZone,
		},
		InfluxDB: components.InfluxDBArgs{
			Databases: retentions(p.InfluxDB.Databases),
			Storage:   string(p.InfluxDB.Storage),
			Resources: resources(p.InfluxDB.Resources),
		},
		Prometheus: prometheus(p.Prometheus),
		Grafana: components.GrafanaArgs{
			Dashboards:        dashboards,
			Home:              string(p.Grafana.HomeDashboard),
			GoogleAnalyticsID: string(p.Grafana.GoogleAnalyticsUAID),
			Plugins:           texts(p.Grafana.Plugins),
			SMTP:              smtp(p.Grafana.SMTP, s.Passwords[p.Name]),
			Storage:           string(p.Grafana.Storage),
			Resources:         resources(p.Grafana.Resources),
		},
		Credentials: passwords,
	}, nil
}

func prometheus(p *config.Prometheus) *components.PrometheusArgs {
	if p == nil {
		return nil
	}
	return &components.PrometheusArgs{
		Config:        p.Config,
		RetentionTime: p.RetentionTime.String(),
		RetentionSize: string(p.RetentionSize),
		Storage:       string(p.Storage),
		Resources:     resources(p.Resources),
	}
}

func retentions(databases map[string]config.Database) map[string]time.Duration {
	m := map[string]time.Duration{}
	for name, d := range databases {
		m[name] = time.Duration(d.Retention)
	}
	return m
}

func resources(r config.Resources) components.Resources {
	return components.Resources{
		CPURequest: string(r.Requests.CPU), MemoryRequest: string(r.Requests.Memory),
		CPULimit: string(r.Limits.CPU), MemoryLimit: string(r.Limits.Memory),
	}
}

func smtp(s *config.SMTP, passwords map[string]string) *components.SMTP {
	if s == nil {
		return nil
	}
	c := &components.SMTP{Host: string(s.Host), User: string(s.User), FromAddress: string(s.FromAddress)}
	if password, ok := passwords[accountSMTP]; ok {
		c.Password = secret(password)
	}
	return c
}

// loadDashboards returns a project's dashboards by uid.
func loadDashboards(cfg *config.Config, p config.Project) (map[string]string, error) {
	paths := []string{shippedDashboards}
	if p.Grafana.Dashboards != nil {
		paths = texts(p.Grafana.Dashboards)
	}
	loaded, err := dashboard.Load(paths, sources(p))
	if err != nil {
		return nil, err
	}
	byUID, size := map[string]string{}, 0
	for _, d := range loaded {
		byUID[d.UID] = string(d.JSON)
		size += len(d.JSON)
	}
	at := "projects." + p.Name + ".grafana"
	if size > maxDashboardBytes {
		return nil, fmt.Errorf("%s: %s.dashboards: together they have %d bytes, and %d fit; name fewer",
			cfg.Position(at+".dashboards"), at, size, maxDashboardBytes)
	}
	if _, ok := byUID[string(p.Grafana.HomeDashboard)]; !ok && len(byUID) > 0 {
		return nil, fmt.Errorf("%s: %s.home-dashboard: no dashboard of the project has the uid %q; there are %s",
			cfg.Position(at+".home-dashboard"), at, p.Grafana.HomeDashboard, strings.Join(sortedKeys(byUID), ", "))
	}
	return byUID, nil
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

func texts[S ~string](list []S) []string {
	var out []string
	for _, s := range list {
		out = append(out, string(s))
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
