package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	validate "github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
	"k8s.io/apimachinery/pkg/api/resource"

	"velodrome/stack/config"
)

// What editors and readers go by is what the loader does.
func TestFilesAreInStepWithTheTypes(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is not in step with the types in stack/config: run `go -C tools/schema run .` (%v)", name, err)
		}
	}
}

func validator(t *testing.T) *validate.Schema {
	t.Helper()
	file, err := os.Open(filepath.Join(root, "config.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	doc, err := validate.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	c := validate.NewCompiler()
	if err := c.AddResource("config.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// document is a YAML file as an editor's validator sees it.
func document(t *testing.T, text []byte) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validate.UnmarshalJSON(strings.NewReader(string(encoded)))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// An editor marks nothing in a file that the loader takes.
func TestSchemaTakesWhatTheLoaderTakes(t *testing.T) {
	s := validator(t)
	for _, file := range []string{"config.yaml", "stack/config/testdata/old.good.yaml", "stack/config/testdata/all.good.yaml"} {
		if err := s.Validate(document(t, read(t, file))); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// An editor marks each of the wrong values that the reference page shows, as far
// as they can be told without comparing one with another.
func TestSchemaRefusesWhatTheLoaderRefuses(t *testing.T) {
	s := validator(t)
	beyond := map[string]bool{ // checked by the loader alone
		"nginx.public-ip":                    true,
		"influxdb.databases.NAME.retention":  true,
		"influxdb.resources.requests.memory": true,
		"prometheus.prometheus-config.yml":   true,
		"prometheus.retention-time":          true,
		"prometheus.storage":                 true,
		"grafana.storage":                    true,
	}
	for path, value := range wrong {
		err := s.Validate(document(t, []byte(fileWith(path, value))))
		if (err == nil) != beyond[path] {
			t.Errorf("%s: %s: %v", path, value, err)
		}
	}
	for _, text := range []string{"projects: {}", "project: {a: {}}", "projects: {a: {influxdb: {databses: {}}}}", "projects: {Foo_Bar: {}}", "defaults: {domain: k8s.io}\nprojects: {a: {}}", "projects: [a]", "{}"} {
		if err := s.Validate(document(t, []byte(text))); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// What the page gives as an example works.
func TestExamplesAreTaken(t *testing.T) {
	s, err := newSchema()
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	var walk func(s *jsonschema.Schema, path string)
	walk = func(s *jsonschema.Schema, path string) {
		if s.Properties != nil {
			for p := s.Properties.Oldest(); p != nil; p = p.Next() {
				walk(p.Value, join(path, p.Key))
			}
		}
		if a := s.AdditionalProperties; a != nil {
			walk(a, join(path, "NAME"))
		}
		examples, form := s.Examples, "%v"
		if s.Items != nil {
			examples, form = s.Items.Examples, "[%v]"
		}
		for _, e := range examples {
			count++
			text := fileWith(path, fmt.Sprintf(form, e)) + beside(path)
			if _, err := config.Parse("config.yaml", []byte(text), config.Options{}); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	walk(property(s, "projects").AdditionalProperties, "")
	if count < 20 {
		t.Errorf("only %d examples", count)
	}
}

// A size that the loader takes is one that the API server takes.
func TestSizesAreThoseOfKubernetes(t *testing.T) {
	for text, want := range map[string]bool{
		"100Gi": true, "1.5Ti": true, ".5Ti": true, "5.Gi": true, "1e10": true, "2E10": true, "9E": true, "1Ei": true,
		"2147483648": true, "2147483648000m": true, "2000000k": true, "3e+9": true, "2147483648000000u": true,
		"100GB": false, "1Kb": false, "10 Gi": false, "1KI": false, "0x10": false, "1..5Gi": false, "1e": false, "--1": false,
	} {
		_, err := config.Parse("config.yaml", []byte(fileWith("influxdb.storage", fmt.Sprintf("%q", text))), config.Options{})
		_, reference := resource.ParseQuantity(text)
		if (err == nil) != want || (reference == nil) != want {
			t.Errorf("%q: want %v, the loader says %v, Kubernetes says %v", text, want, err, reference)
		}
	}
}
