package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"velodrome/stack/config"
)

//go:embed reference.md
var intro string

// reference is the page that explains every key of config.yaml.
func reference(s *jsonschema.Schema) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(intro)
	project := property(s, "projects").AdditionalProperties
	top := []string{}
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		if !deprecated(p.Value) {
			fmt.Fprintf(&b, "\n### `%s`\n\n%s\n", p.Key, p.Value.Description)
			continue
		}
		top = append(top, "`"+p.Key+"`")
	}
	fmt.Fprintf(&b, "\n### %s\n\n%s\n", strings.Join(top, ", "), property(s, "metrics").Description+" The same in a project.")
	fmt.Fprintf(&b, "\n## Keys of a project\n\n%s All but `domain` and `nginx` may stand in `defaults` as well.\n", project.Description)
	if err := section(&b, project, ""); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func deprecated(s *jsonschema.Schema) bool { return s.Extras["deprecated"] == true }

// section explains the keys of a map, and those below them.
func section(b *bytes.Buffer, s *jsonschema.Schema, path string) error {
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		if deprecated(p.Value) {
			continue
		}
		if err := entry(b, p.Value, join(path, p.Key)); err != nil {
			return err
		}
	}
	return nil
}

func entry(b *bytes.Buffer, s *jsonschema.Schema, path string) error {
	fmt.Fprintf(b, "\n### `%s`\n\n%s\n", path, s.Description)
	if s.Properties != nil {
		if strings.HasSuffix(path, ".resources") && path != "influxdb.resources" {
			fmt.Fprintf(b, "\nIts keys are those of [`influxdb.resources`](#influxdbresources).\n")
			return nil
		}
		return section(b, s, path)
	}
	if a := s.AdditionalProperties; a != nil && a.Properties != nil {
		fmt.Fprintf(b, "\n- map from a name to its settings\n")
		return section(b, a, join(path, "NAME"))
	}
	if err := facts(b, s, path); err != nil {
		return err
	}
	return nil
}

// facts are what the schema says of a value, and how a wrong one is answered.
func facts(b *bytes.Buffer, s *jsonschema.Schema, path string) error {
	value := s
	kind := types(s)
	if s.Items != nil {
		value, kind = s.Items, "list of "+types(s.Items)
	}
	fmt.Fprintf(b, "\n- type: %s\n", kind)
	if s.Default != nil {
		fmt.Fprintf(b, "- default: `%v`\n", s.Default)
	}
	if len(value.Examples) > 0 {
		examples := make([]string, len(value.Examples))
		for i, e := range value.Examples {
			examples[i] = fmt.Sprintf("`%v`", e)
		}
		fmt.Fprintf(b, "- examples: %s\n", strings.Join(examples, ", "))
	}
	fault, err := faultOf(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "- a wrong value, and the answer:\n\n  ```\n%s\n%s\n  ```\n", indent(fault.yaml, "  "), indent(fault.message, "  "))
	return nil
}

func types(s *jsonschema.Schema) string {
	names := []string{s.Type}
	if list, ok := s.Extras["type"].([]string); ok {
		names = list
	}
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "null" })
	return strings.Join(names, " or ")
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+by)
}

// wrong has, for each key with a value, one that is refused.
var wrong = map[string]string{
	"domain":                            "Velodrome.K8S.io",
	"nginx.public-ip":                   "10.0.0.1",
	"secrets-generation":                "0",
	"influxdb.databases.NAME.retention": "30m",
	"influxdb.storage":                  "100GB",
	"influxdb.resources.requests.cpu":   "all",
	"influxdb.resources.limits.cpu":     "none",
	"prometheus.prometheus-config.yml":  "|\n        scrape_configs:\n        - job_name: pages\n          scrape_intervall: 1m",
	"prometheus.retention-time":         "1h",
	"prometheus.retention-size":         "80%",
	"prometheus.storage":                "500Mi",
	"grafana.google-analytics-uaid":     "UA 1",
	"grafana.dashboards":                `[""]`,
	"grafana.home-dashboard":            "our home",
	"grafana.smtp.host":                 "smtp.sendgrid.net",
	"grafana.smtp.user":                 `"a\nb"`,
	"grafana.smtp.from-address":         "Velodrome",
	"grafana.plugins":                   "[clock panel]",
	"grafana.storage":                   "10",

	"influxdb.resources.requests.memory": "512m",
	"influxdb.resources.limits.memory":   "4 GB",
}

type fault struct{ yaml, message string }

// fileWith is a file with one key of one project.
func fileWith(path, value string) string {
	keys := strings.Split(strings.ReplaceAll(path, "NAME", "ci"), ".")
	if i := slices.Index(keys, "prometheus-config"); i >= 0 {
		keys = append(keys[:i], "prometheus-config.yml")
	}
	lines := []string{"projects:", "  kubernetes:"}
	for i, key := range keys {
		lines = append(lines, strings.Repeat("  ", i+2)+key+":")
	}
	lines[len(lines)-1] += " " + value
	return strings.Join(lines, "\n")
}

// faultOf asks the loader itself what it says.
func faultOf(path string) (fault, error) {
	value, ok := wrong[path]
	if !ok {
		return fault{}, fmt.Errorf("reference.go has no wrong value for the key %s; add one", path)
	}
	text := fileWith(path, value)
	_, err := config.Parse("config.yaml", []byte(text+beside(path)), config.Options{})
	if err == nil {
		return fault{}, fmt.Errorf("the loader takes %q for the key %s; reference.go needs a value that is wrong", value, path)
	}
	if strings.Contains(err.Error(), "\n") {
		return fault{}, fmt.Errorf("the wrong value for the key %s has more than one fault: %w", path, err)
	}
	return fault{text, err.Error()}, nil
}

// beside is what a file needs besides a key to have one fault at most.
func beside(path string) string {
	switch {
	case path == "grafana.smtp.host":
		return "\n        from-address: grafana@k8s.io"
	case path == "grafana.smtp.from-address":
		return "\n        host: smtp.sendgrid.net:2525"
	case strings.HasPrefix(path, "grafana.smtp."):
		return "\n        host: smtp.sendgrid.net:2525\n        from-address: grafana@k8s.io"
	case strings.HasPrefix(path, "prometheus.") && path != "prometheus.prometheus-config.yml":
		return "\n      prometheus-config.yml: 'global: {}'"
	}
	return ""
}
