package stack

import (
	"errors"
	"maps"
	"slices"
	"time"

	"velodrome/components"
	"velodrome/stack/config"
)

// projectArgs turns the projects of config.yaml into the arguments of their
// components, or returns one error with all faults.
func projectArgs(s Settings, stack string, cfg *config.Config) (map[string]components.ProjectArgs, error) {
	library := dashboardLibrary{}
	all, err := images(s.Images)
	faults := []error{err, checkPasswords(s.Passwords, cfg.Names)}
	args := map[string]components.ProjectArgs{}
	for _, p := range cfg.Projects {
		a, err := oneProject(s, stack, cfg, library, p)
		// A dashboard that several projects share is reported once.
		if err != nil && !slices.ContainsFunc(faults, func(f error) bool { return f != nil && f.Error() == err.Error() }) {
			faults = append(faults, err)
		}
		a.Images = all
		args[p.Name] = a
	}
	return args, errors.Join(faults...)
}

func oneProject(s Settings, stack string, cfg *config.Config, library dashboardLibrary, p config.Project) (components.ProjectArgs, error) {
	passwords, err := credentials(s, stack, p)
	if err != nil {
		return components.ProjectArgs{}, err
	}
	dashboards, err := library.of(cfg, p)
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
			Volume:    volume(p.InfluxDB.Storage),
			Resources: resources(p.InfluxDB.Resources),
		},
		Prometheus: prometheus(p.Prometheus),
		Grafana: components.GrafanaArgs{
			Dashboards:        dashboards,
			Home:              string(p.Grafana.HomeDashboard),
			GoogleAnalyticsID: string(p.Grafana.GoogleAnalyticsUAID),
			Plugins:           texts(p.Grafana.Plugins),
			SMTP:              smtp(p.Grafana.SMTP, s.Passwords[p.Name]),
			Volume:            volume(p.Grafana.Storage),
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
		Volume:        volume(p.Storage),
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

func volume(size config.Bytes) components.Volume {
	return components.Volume{Size: string(size), Bytes: size.Int64()}
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

func texts[S ~string](list []S) []string {
	var out []string
	for _, s := range list {
		out = append(out, string(s))
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
