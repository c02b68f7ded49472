// Command schema makes config.schema.json, by which editors complete and check
// config.yaml, and docs/config.md, the reference of its keys. Both come from the
// Go types that the loader fills, their doc comments and their grammars:
//
//	go -C tools/schema run .
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"

	"velodrome/stack/config"
)

// root is the folder of the repository, from where this command runs.
const root = "../.."

func main() {
	files, err := generate()
	if err != nil {
		log.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), text, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// generate returns the files by their path in the repository.
func generate() (map[string][]byte, error) {
	schema, err := newSchema()
	if err != nil {
		return nil, err
	}
	text, err := encode(schema)
	if err != nil {
		return nil, err
	}
	page, err := reference(schema)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"config.schema.json": text, "docs/config.md": page}, nil
}

func encode(schema *jsonschema.Schema) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(schema); err != nil {
		return nil, fmt.Errorf("encode the schema: %w", err)
	}
	return b.Bytes(), nil
}

// newSchema is the schema of config.yaml, all in one tree: some editors leave
// out the description of what is only referred to.
func newSchema() (*jsonschema.Schema, error) {
	r := &jsonschema.Reflector{DoNotReference: true, Anonymous: true, Mapper: scalar}
	if err := r.AddGoComments("velodrome/tools/schema", root+"/stack/config", jsonschema.WithFullComment()); err != nil {
		return nil, fmt.Errorf("read the doc comments: %w", err)
	}
	comments := r.CommentMap
	r.CommentMap = nil
	r.LookupComment = func(t reflect.Type, field string) string { return describe(comments, t, field) }
	s := r.Reflect(config.File{})
	s.Version = "http://json-schema.org/draft-07/schema#" // which every editor knows
	s.Title = "config.yaml of Velodrome"
	projects := property(s, "projects")
	projects.MinProperties = new(uint64(1))
	projects.PropertyNames = &jsonschema.Schema{Pattern: config.ProjectName}
	for _, holder := range []*jsonschema.Schema{property(s, "defaults"), projects.AdditionalProperties} {
		databases := property(property(holder, "influxdb"), "databases")
		databases.PropertyNames = &jsonschema.Schema{Pattern: config.DatabaseName}
	}
	nullable(s)
	return s, nil
}

func property(s *jsonschema.Schema, key string) *jsonschema.Schema {
	p, ok := s.Properties.Get(key)
	if !ok {
		log.Fatalf("the types have no key %q", key)
	}
	return p
}

// scalar is the schema of a value that is written as one word.
func scalar(t reflect.Type) *jsonschema.Schema {
	if t == reflect.TypeFor[config.Ignored]() {
		return &jsonschema.Schema{Extras: map[string]any{"deprecated": true}}
	}
	g, ok := reflect.Zero(t).Interface().(interface{ Grammar() config.Grammar })
	if !ok || t.Kind() == reflect.Pointer {
		return nil
	}
	grammar := g.Grammar()
	// The first type is for the tags of fields, all of them are put in later.
	s := &jsonschema.Schema{Pattern: grammar.Pattern, Type: grammar.Types[0], Extras: map[string]any{"type": grammar.Types}}
	if s.Type == "integer" {
		s.Pattern, s.Minimum, s.Maximum = "", "1", "1000000"
	}
	for _, e := range grammar.Examples {
		s.Examples = append(s.Examples, example(s.Type, e))
	}
	return s
}

func example(kind, text string) any {
	if n, err := strconv.Atoi(text); err == nil && kind == "integer" {
		return n
	}
	return text
}

// describe is a doc comment as text for people who write YAML: it speaks of keys
// and not of Go's names, and its lines are joined.
func describe(comments map[string]string, t reflect.Type, field string) string {
	name := t.PkgPath() + "." + t.Name()
	text := replaceStart(comments[name], t.Name(), "A "+strings.ToLower(t.Name()))
	if t == reflect.TypeFor[config.File]() {
		text = comments[name]
	}
	if field != "" {
		text = comments[name+"."+field]
		if f, ok := t.FieldByName(field); ok {
			key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			text = replaceStart(text, field, "`"+key+"`")
		}
	}
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.ReplaceAll(p, "\n", " ")
	}
	return strings.Join(paragraphs, "\n\n")
}

func replaceStart(text, old, new string) string {
	if rest, ok := strings.CutPrefix(text, old); ok && strings.HasPrefix(rest, " ") {
		return new + rest
	}
	return text
}

// nullable lets every key be empty, which counts as absent.
func nullable(s *jsonschema.Schema) {
	each := func(c *jsonschema.Schema) {
		nullable(c)
		allowNull(c)
	}
	if s.Properties != nil {
		for p := s.Properties.Oldest(); p != nil; p = p.Next() {
			each(p.Value)
		}
	}
	if a := s.AdditionalProperties; a != nil && a != jsonschema.FalseSchema {
		each(a)
	}
	if s.Items != nil {
		s.Items.Extras = nil // the first type alone: an entry is not empty
		nullable(s.Items)
	}
}

func allowNull(s *jsonschema.Schema) {
	var types []string
	if list, ok := s.Extras["type"].([]string); ok {
		types = list
	} else if s.Type != "" {
		types = []string{s.Type}
	}
	if len(types) == 0 {
		return
	}
	extras := map[string]any{}
	for key, value := range s.Extras {
		extras[key] = value
	}
	extras["type"] = withNull(types)
	s.Type, s.Extras = "", extras
}

func withNull(types []string) []string {
	out := append([]string{}, types...)
	for _, t := range types {
		if t == "null" {
			return out
		}
	}
	return append(out, "null")
}
