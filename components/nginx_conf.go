package components

import (
	_ "embed"
	"fmt"
	"strings"
	"text/template"
)

//go:embed nginx.conf.tmpl
var nginxTemplateText string

var nginxTemplate = template.Must(template.New("nginx.conf").Option("missingkey=error").Parse(nginxTemplateText))

// nginxConf returns nginx.conf for the hosts of the parts behind it, by name:
// influxdb, grafana and, where there is one, prometheus.
func nginxConf(hosts map[string]string) (string, error) {
	upstreams := []nginxUpstream{
		{"grafana", hosts["grafana"], grafanaPort},
		{"influxdb", hosts["influxdb"], influxDBPort},
	}
	if host, ok := hosts["prometheus"]; ok {
		upstreams = append(upstreams, nginxUpstream{"prometheus", host, prometheusPort})
	}
	var b strings.Builder
	err := nginxTemplate.Execute(&b, map[string]any{
		"Port": nginxPort, "PushPort": nginxPushPort, "HealthPort": nginxHealthPort,
		"Upstreams": upstreams, "Prometheus": len(upstreams) == 3,
	})
	if err != nil {
		return "", fmt.Errorf("render nginx.conf: %w", err)
	}
	return b.String(), nil
}

type nginxUpstream struct {
	Name, Host string
	Port       int
}
