package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// decoder fills Go structs from YAML, strictly: it goes by the structs' tags
// alone, knows the place of everything, and goes on after a fault.
//
// What it reads are layers, the first of which wins: a project, and below it
// the file's defaults.
type decoder struct {
	faults  *faults
	at      map[string]place      // of each path that is set: a single value's own place, else that of its key
	nodes   map[string]*yaml.Node // of each single value
	broken  map[string]bool       // paths whose value is of another kind than wanted
	ignored []ignored
}

type ignored struct {
	key string
	at  place
}

// pair is one key of a map, with what it is set to.
type pair struct {
	key   string
	place place
	value *yaml.Node
}

// layers are the values of one thing, the first wins. None is an alias or null.
type layers []*yaml.Node

// value decodes layers, of which there is at least one, into out.
func (d *decoder) value(in layers, out reflect.Value, path string) {
	if s, ok := out.Addr().Interface().(scalar); ok {
		d.scalar(in[0], s, path)
		return
	}
	switch out.Kind() {
	case reflect.Pointer:
		out.Set(reflect.New(out.Type().Elem()))
		d.value(in, out.Elem(), path)
	case reflect.Struct:
		d.structure(in, out, path)
	case reflect.Map:
		d.mapping(in, out, path)
	case reflect.Slice:
		d.sequence(in[0], out, path)
	case reflect.String:
		d.text(in[0], out, path)
	}
}

func (d *decoder) scalar(n *yaml.Node, out scalar, path string) {
	if n.Kind != yaml.ScalarNode || !plainTag(n) {
		d.wrong(n, path, "one value")
		return
	}
	d.at[path], d.nodes[path] = placeOf(n), n
	if err := out.set(n.Value); err != nil {
		d.faults.add(placeOf(n), "value", fmt.Sprintf("%s: %s %v", path, quote(n.Value), err))
	}
}

func (d *decoder) text(n *yaml.Node, out reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		d.wrong(n, path, "a block of text, begun by |")
		return
	}
	d.at[path], d.nodes[path] = placeOf(n), n
	out.SetString(n.Value)
}

func plainTag(n *yaml.Node) bool {
	switch n.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
		return true
	}
	return false
}

// structure decodes maps whose keys are known.
func (d *decoder) structure(in layers, out reflect.Value, path string) {
	fields := fieldsOf(out.Type())
	set := map[string]layers{}
	places := map[string]place{}
	for _, layer := range in {
		pairs, ok := d.pairs(layer, path, validKeys(out.Type()))
		if !ok {
			break
		}
		for _, p := range pairs {
			if _, known := fields[p.key]; !known {
				d.unknown(p, path, out.Type())
				continue
			}
			set[p.key] = append(set[p.key], p.value)
			if _, ok := places[p.key]; !ok {
				places[p.key] = p.place
			}
		}
	}
	for _, key := range keys(fields) {
		field := out.FieldByIndex(fields[key])
		if len(set[key]) == 0 || field.Kind() == reflect.Pointer && isNull(set[key][0]) {
			continue
		}
		if field.Type() == reflect.TypeFor[Ignored]() {
			d.ignored = append(d.ignored, ignored{key, places[key]})
			continue
		}
		if values := notNull(set[key]); len(values) > 0 {
			d.at[join(path, key)] = places[key]
			d.value(values, field, join(path, key))
		}
	}
}

// mapping decodes maps whose keys are the user's.
func (d *decoder) mapping(in layers, out reflect.Value, path string) {
	set := map[string]layers{}
	var order []string
	for _, layer := range in {
		pairs, ok := d.pairs(layer, path, nil)
		if !ok {
			break
		}
		for _, p := range pairs {
			if _, ok := set[p.key]; !ok {
				order = append(order, p.key)
				d.at[join(path, p.key)] = p.place
			}
			set[p.key] = append(set[p.key], p.value)
		}
	}
	out.Set(reflect.MakeMap(out.Type()))
	for _, key := range order {
		element := reflect.New(out.Type().Elem()).Elem()
		if values := notNull(set[key]); len(values) > 0 {
			d.value(values, element, join(path, key))
		}
		out.SetMapIndex(reflect.ValueOf(key), element)
	}
}

func (d *decoder) sequence(n *yaml.Node, out reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(n, path, "a list, each entry begun by -")
		return
	}
	out.Set(reflect.MakeSlice(out.Type(), len(n.Content), len(n.Content)))
	for i, c := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		if isNull(c) {
			d.faults.add(placeOf(c), "null", at+" is empty, give it a value or take it out")
			continue
		}
		d.value(layers{resolve(c)}, out.Index(i), at)
	}
}

// pairs are the keys of a map: its own first, then those of its merge keys.
func (d *decoder) pairs(n *yaml.Node, path string, valid []string) ([]pair, bool) {
	if n.Kind != yaml.MappingNode {
		want := "a map"
		if len(valid) > 0 {
			want = "a map with the keys " + list(valid)
		}
		d.wrong(n, path, want)
		return nil, false
	}
	var out []pair
	seen := map[string]place{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := resolve(n.Content[i]), n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			d.faults.add(placeOf(n.Content[i]), "key", fmt.Sprintf("a key of %s is a map or a list, and must be a word", path))
		case k.ShortTag() == "!!merge":
			merged = append(merged, v)
		default:
			if first, ok := seen[k.Value]; ok {
				d.faults.add(placeOf(n.Content[i]), "duplicate", fmt.Sprintf("%s has the key %s already, in line %d; keep one of them", path, quote(k.Value), first.line))
				continue
			}
			seen[k.Value] = placeOf(n.Content[i])
			out = append(out, pair{k.Value, placeOf(n.Content[i]), v})
		}
	}
	for _, m := range merged {
		out = d.merge(m, path, out, seen)
	}
	return out, true
}

// merge adds the keys of `<<` that are not there yet.
func (d *decoder) merge(n *yaml.Node, path string, out []pair, seen map[string]place) []pair {
	value := resolve(n)
	sources := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		sources = value.Content
	}
	for _, s := range sources {
		source := resolve(s)
		if source.Kind != yaml.MappingNode {
			d.faults.add(placeOf(s), "merge", fmt.Sprintf("the merge key << of %s takes a map or a list of maps, such as *name", path))
			continue
		}
		pairs, _ := d.pairs(source, path, nil)
		for _, p := range pairs {
			if _, ok := seen[p.key]; !ok {
				seen[p.key] = p.place
				out = append(out, p)
			}
		}
	}
	return out
}

func (d *decoder) unknown(p pair, path string, t reflect.Type) {
	valid := validKeys(t)
	way := didYouMean(p.key, valid)
	if below := holder(p.key, t); below != "" && nearest(p.key, valid) == "" {
		way = fmt.Sprintf("it belongs below %q", below)
	}
	if _, ok := fieldsOf(reflect.TypeFor[Project]())[p.key]; ok && path == "defaults" {
		way = "it belongs to one project, move it there"
	}
	d.faults.add(p.place, "unknown", fmt.Sprintf("unknown key %s in %s; %s", quote(p.key), path, way))
}

// holder is the key of a struct whose own keys have one, or one like it.
func holder(key string, t reflect.Type) string {
	fields := fieldsOf(t)
	for _, name := range keys(fields) {
		inner := t.FieldByIndex(fields[name]).Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() != reflect.Struct {
			continue
		}
		for _, k := range validKeys(inner) {
			if plain(k) == plain(key) {
				return name
			}
		}
	}
	return ""
}

// wrong reports a value of another kind than is wanted.
func (d *decoder) wrong(n *yaml.Node, path, want string) {
	d.broken[path] = true
	d.faults.add(placeOf(n), "kind", fmt.Sprintf("%s must be %s, and is %s", path, want, kindOf(n)))
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!str":
		return "the text " + quote(n.Value)
	case "!!int", "!!float":
		return "the number " + quote(n.Value)
	case "!!null":
		return "empty"
	}
	return quote(n.Value) + " of the type " + strings.TrimPrefix(n.ShortTag(), "!!")
}

func notNull(in layers) layers {
	var out layers
	for _, n := range in {
		if !isNull(n) {
			out = append(out, resolve(n))
		}
	}
	return out
}

// fieldsOf maps the keys of a struct to its fields, those of embedded structs
// among them.
func fieldsOf(t reflect.Type) map[string][]int {
	out := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key != "" && key != "-" && !strings.Contains(options, "inline") {
			out[key] = f.Index
		}
	}
	return out
}

// validKeys are the keys of a struct that mean something.
func validKeys(t reflect.Type) []string {
	fields := fieldsOf(t)
	return slices.DeleteFunc(keys(fields), func(key string) bool {
		return t.FieldByIndex(fields[key]).Type == reflect.TypeFor[Ignored]()
	})
}

func keys(fields map[string][]int) []string {
	out := make([]string, 0, len(fields))
	for key := range fields {
		out = append(out, key)
	}
	slices.Sort(out)
	return out
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	if len(key) > 64 {
		key = strings.ToValidUTF8(key[:64], "") + "…"
	}
	return path + "." + key
}
