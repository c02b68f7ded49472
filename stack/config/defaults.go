package config

import (
	"maps"
	"math/big"
	"time"
)

// Defaults is a project with everything filled in that it leaves out. Values
// must be valid.
func Defaults(p Project) Project {
	if p.SecretsGeneration == 0 {
		p.SecretsGeneration = 1
	}
	p.InfluxDB = influxDBDefaults(p.InfluxDB)
	p.Grafana = grafanaDefaults(p.Grafana, p.Domain)
	if p.Prometheus != nil {
		filled := prometheusDefaults(*p.Prometheus)
		p.Prometheus = &filled
	}
	return p
}

func influxDBDefaults(i InfluxDB) InfluxDB {
	if i.Databases == nil {
		i.Databases = map[string]Database{"github": {}, "monitoring": {}}
	}
	i.Databases = maps.Clone(i.Databases)
	i.Storage = or(i.Storage, "100Gi")
	i.Resources = resourceDefaults(i.Resources, Resources{
		Requests: ResourceList{CPU: "100m", Memory: "256Mi"},
		Limits:   ResourceList{CPU: "2", Memory: "4Gi"},
	})
	return i
}

func prometheusDefaults(p Prometheus) Prometheus {
	p.RetentionTime = or(p.RetentionTime, Duration(35064*time.Hour))
	p.Storage = or(p.Storage, "100Gi")
	p.RetentionSize = or(p.RetentionSize, share(p.Storage))
	p.Resources = resourceDefaults(p.Resources, Resources{
		Requests: ResourceList{CPU: "100m", Memory: "256Mi"},
		Limits:   ResourceList{CPU: "2", Memory: "4Gi"},
	})
	return p
}

func grafanaDefaults(g Grafana, domain Domain) Grafana {
	g.HomeDashboard = or(g.HomeDashboard, "home")
	g.Storage = or(g.Storage, "10Gi")
	g.Resources = resourceDefaults(g.Resources, Resources{
		Requests: ResourceList{CPU: "50m", Memory: "128Mi"},
		Limits:   ResourceList{CPU: "1", Memory: "512Mi"},
	})
	if g.SMTP != nil {
		filled := *g.SMTP
		if filled.FromAddress == "" && domain != "" {
			filled.FromAddress = Address("grafana@" + string(domain))
		}
		g.SMTP = &filled
	}
	return g
}

func or[T comparable](value, instead T) T {
	var zero T
	if value == zero {
		return instead
	}
	return value
}

// share is 85 % of a volume in Prometheus's grammar, rounded down to GB, or to
// MB where that would be coarse.
func share(storage Bytes) Size {
	v, ok := quantity(string(storage))
	if !ok {
		return ""
	}
	v = new(big.Rat).Mul(v, big.NewRat(85, 100))
	for _, unit := range []struct {
		name  string
		power int
		least int64
	}{{"GB", 3, 10}, {"MB", 2, 1}} {
		n := new(big.Rat).Quo(v, new(big.Rat).SetInt(power(1024, unit.power)))
		if whole := new(big.Int).Quo(n.Num(), n.Denom()); whole.Cmp(big.NewInt(unit.least)) >= 0 {
			return Size(whole.String() + unit.name)
		}
	}
	return "1MB"
}

// resourceDefaults fills in what is left out. Where only one of request and
// limit is given, the other's default gives way to it.
func resourceDefaults(r, instead Resources) Resources {
	r.Requests.CPU, r.Limits.CPU = requestAndLimit(r.Requests.CPU, r.Limits.CPU, instead.Requests.CPU, instead.Limits.CPU)
	r.Requests.Memory, r.Limits.Memory = requestAndLimit(r.Requests.Memory, r.Limits.Memory, instead.Requests.Memory, instead.Limits.Memory)
	return r
}

func requestAndLimit[T ~string](request, limit, defaultRequest, defaultLimit T) (T, T) {
	switch {
	case request == "" && limit == "":
		return defaultRequest, defaultLimit
	case request == "" && less(limit, defaultRequest):
		return limit, limit
	case limit == "" && less(defaultLimit, request):
		return request, request
	}
	return or(request, defaultRequest), or(limit, defaultLimit)
}

// less compares two valid quantities.
func less[T ~string](a, b T) bool {
	x, okX := quantity(string(a))
	y, okY := quantity(string(b))
	return okX && okY && x.Cmp(y) < 0
}
