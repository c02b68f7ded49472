package gcp

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// field is an input of a resource with the rules that need no cloud.
type field struct {
	name  string // as Pulumi has it
	tf    string // as the messages of the real plugin have it
	shape shape

	required bool
	// computed: the cloud chooses where the program does not, so that a program
	// that stops saying it changes nothing.
	computed bool
	// fixed: a change makes another resource.
	fixed bool
	// named: Pulumi makes a name up where the program gives none.
	named    bool
	fallback string // the value where the program gives none
	values   []string
	pattern  *regexp.Regexp
	// same tells whether two values mean one thing; nil compares them.
	same func(in props, old, new any) bool
	// refuse says what the stand-in lacks, for a value that the real plugin takes.
	refuse func(v any) string
}

// failed wraps an error in the words of the real plugin, which begin with a capital.
func failed(doing string, err error) error {
	return fmt.Errorf("%s: %w", doing, err)
}

func badImport(id, formats string) error {
	return errors.New("Import id " + strconv.Quote(id) + " doesn't match any of the accepted formats: [" + formats + "]")
}

// kind is a type of resource.
type kind interface {
	fields() []field
	// outputs are the properties besides the fields, for the schema.
	outputs() map[string]shape
	// check adds rules that span fields.
	check(in props, fail func(property, reason string))
	// plan foretells what create will bring.
	plan(c config, in props) props
	create(s *Store, c config, in props) (id string, out props, err error)
	// read brings what there is under an id, given the last known properties
	// (none: an import). The id returned is empty if there is nothing.
	read(s *Store, c config, id string, old props) (newID string, out props, err error)
	// replan foretells what update will bring.
	replan(c config, old, in props) props
	update(s *Store, c config, id string, old, in props) (out props, err error)
	remove(s *Store, id string, old props) error
	// defaults adds the properties that the provider's configuration gives, for
	// the comparison of what is with what is wanted.
	defaults(c config, in props) props
}

// defaultsKey lists, among the inputs, those that the program did not give.
const defaultsKey = "__defaults"

// maxName is the length of a name at most.
const maxName = 63

// checkInputs completes and checks the inputs of a resource. name is the
// resource's name in the program, suffix what makes a name of its own unique.
func checkInputs(k kind, name, suffix string, olds, news props) (props, []*pulumirpc.CheckFailure) {
	in := props{}
	var failures []*pulumirpc.CheckFailure
	fail := func(property, reason string) {
		if property != "" {
			reason = fmt.Sprintf("%s. Examine values at '%s.%s'.", reason, name, property)
		}
		failures = append(failures, &pulumirpc.CheckFailure{Reason: reason})
	}
	known := map[string]bool{}
	var defaulted []string
	for _, f := range k.fields() {
		known[f.name] = true
		v, ok := news[f.name]
		if !ok || v == nil {
			switch {
			case f.fallback != "":
				in[f.name] = f.fallback
				defaulted = append(defaulted, f.name)
			case f.named:
				in[f.name] = autoname(olds, f.name, name, suffix)
				defaulted = append(defaulted, f.name)
			case f.required:
				fail("", fmt.Sprintf("Missing required property '%s'", f.name))
			}
			continue
		}
		v, err := convert(f.name, f.shape, v)
		if err != nil {
			fail(f.name, err.Error())
			continue
		}
		in[f.name] = v
		if reason := f.check(v); reason != "" {
			fail(f.name, reason)
		}
	}
	for _, key := range sortedKeys(news) {
		if !known[key] && !strings.HasPrefix(key, "__") {
			fail(key, "Invalid or unknown key")
		}
	}
	k.check(in, fail)
	slices.Sort(defaulted)
	in[defaultsKey] = anys(defaulted)
	return in, failures
}

// check applies the rules of one field; the empty string is a pass.
func (f field) check(v any) string {
	if isUnknown(v) {
		return ""
	}
	s, isText := v.(string)
	if isText && f.values != nil && s != "" && !slices.Contains(f.values, s) {
		return fmt.Sprintf("expected %s to be one of %q, got %s", f.tf, append(slices.Clone(f.values), ""), s)
	}
	if isText && f.pattern != nil && !f.pattern.MatchString(s) {
		return fmt.Sprintf("%q (%q) doesn't match regexp %q", f.tf, s, f.pattern)
	}
	if f.refuse != nil {
		return f.refuse(v)
	}
	return ""
}

// autoname keeps the name that was made up before, else makes one up.
func autoname(olds props, field, name, suffix string) string {
	if made := olds.list(defaultsKey); slices.Contains(made, field) && olds.text(field) != "" {
		return olds.text(field)
	}
	made := strings.ToLower(name)
	return made[:min(len(made), maxName-len(suffix)-1)] + "-" + suffix
}

// diff compares what is (the last known properties) with what is wanted.
func diff(k kind, c config, old, in props) *pulumirpc.DiffResponse {
	res := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE, HasDetailedDiff: true, DetailedDiff: map[string]*pulumirpc.PropertyDiff{}}
	want := k.defaults(c, in)
	autonamed := true
	for _, f := range k.fields() {
		if f.named && !slices.Contains(in.list(defaultsKey), f.name) {
			autonamed = false
		}
		paths := f.diff(want, old[f.name], want[f.name])
		if len(paths) == 0 {
			continue
		}
		res.Changes = pulumirpc.DiffResponse_DIFF_SOME
		res.Diffs = append(res.Diffs, f.name)
		if f.fixed {
			res.Replaces = append(res.Replaces, f.name)
		}
		for path, change := range paths {
			if f.fixed {
				change = replaces[change]
			}
			res.DetailedDiff[path] = &pulumirpc.PropertyDiff{Kind: change}
		}
	}
	// A resource with a name of the user's choice cannot be there twice.
	res.DeleteBeforeReplace = len(res.Replaces) > 0 && !autonamed
	return res
}

var replaces = map[pulumirpc.PropertyDiff_Kind]pulumirpc.PropertyDiff_Kind{
	pulumirpc.PropertyDiff_ADD:    pulumirpc.PropertyDiff_ADD_REPLACE,
	pulumirpc.PropertyDiff_DELETE: pulumirpc.PropertyDiff_DELETE_REPLACE,
	pulumirpc.PropertyDiff_UPDATE: pulumirpc.PropertyDiff_UPDATE_REPLACE,
}

// diff lists the paths in one field that change, and how.
func (f field) diff(in props, old, new any) map[string]pulumirpc.PropertyDiff_Kind {
	switch {
	case isEmpty(new) && (f.computed || isEmpty(old)):
		return nil
	case isEmpty(new):
		return map[string]pulumirpc.PropertyDiff_Kind{f.name: pulumirpc.PropertyDiff_DELETE}
	case isEmpty(old) && (f.same == nil || !f.same(in, old, new)):
		return map[string]pulumirpc.PropertyDiff_Kind{f.name: pulumirpc.PropertyDiff_ADD}
	case f.same != nil && !isUnknown(new) && f.same(in, old, new):
		return nil
	}
	out := map[string]pulumirpc.PropertyDiff_Kind{}
	diffValue(f.name, old, new, out)
	return out
}

// diffValue walks two values of one shape.
func diffValue(path string, old, new any, out map[string]pulumirpc.PropertyDiff_Kind) {
	switch new := new.(type) {
	case map[string]any:
		was, _ := old.(map[string]any)
		for k := range new {
			diffMember(member(path, k), was[k], new[k], out)
		}
		for k := range was {
			if _, ok := new[k]; !ok {
				out[member(path, k)] = pulumirpc.PropertyDiff_DELETE
			}
		}
	case []any:
		was, _ := old.([]any)
		for i := range max(len(was), len(new)) {
			at := fmt.Sprintf("%s[%d]", path, i)
			switch {
			case i >= len(new):
				out[at] = pulumirpc.PropertyDiff_DELETE
			case i >= len(was):
				out[at] = pulumirpc.PropertyDiff_ADD
			default:
				diffMember(at, was[i], new[i], out)
			}
		}
	default:
		diffMember(path, old, new, out)
	}
}

func diffMember(path string, old, new any, out map[string]pulumirpc.PropertyDiff_Kind) {
	switch {
	case old == nil:
		out[path] = pulumirpc.PropertyDiff_ADD
	case isUnknown(new) || !reflect.DeepEqual(old, new):
		out[path] = pulumirpc.PropertyDiff_UPDATE
	}
}

var plainKey = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// member is the path to a key of an object.
func member(path, key string) string {
	if plainKey.MatchString(key) {
		return path + "." + key
	}
	return fmt.Sprintf("%s[%q]", path, key)
}

// isEmpty tells whether a value counts as not given.
func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case float64:
		return v == 0
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}
