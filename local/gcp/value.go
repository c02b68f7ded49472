package gcp

import (
	"fmt"
	"math"
	"strconv"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/sig"
	"google.golang.org/protobuf/types/known/structpb"
)

// props are the properties of a resource as Pulumi sends them, in plain Go:
// nil, bool, float64, string, []any, map[string]any, and unknown.
type props map[string]any

// unknown stands for a value that only `pulumi up` will bring.
type unknown struct{}

// unknownText is how an unknown value looks on the wire. Pulumi has one such
// word for each type; any of them may come, and the first is sent.
const unknownText = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

var unknownWords = map[string]bool{
	unknownText:                            true,
	"1c4a061d-8072-4f0a-a4cb-0ff528b18fe7": true, // bool
	"3eeb2bf0-c639-47a8-9e75-3b44932eb421": true, // number
	"6a19a0b0-7e62-4c92-b797-7f8e31da9cc2": true, // array
	"030794c1-ac77-496b-92df-f27374a8bd58": true, // asset
	"e48ece36-62e2-4504-bad9-02848725956a": true, // archive
	"dd056dcd-154b-4c76-9bd3-c8f88648b5ff": true, // object
}

// secrets names the properties that are, or hold, a secret.
type secrets map[string]bool

// decode takes properties off the wire. Secrets and outputs are unwrapped; which
// properties held a secret is told apart.
func decode(s *structpb.Struct) (props, secrets) {
	p, hidden := props{}, secrets{}
	for k, v := range s.GetFields() {
		secret := false
		p[k] = decodeValue(v, &secret)
		if secret {
			hidden[k] = true
		}
	}
	return p, hidden
}

func decodeValue(v *structpb.Value, secret *bool) any {
	switch v := v.GetKind().(type) {
	case *structpb.Value_BoolValue:
		return v.BoolValue
	case *structpb.Value_NumberValue:
		return v.NumberValue
	case *structpb.Value_StringValue:
		if unknownWords[v.StringValue] {
			return unknown{}
		}
		return v.StringValue
	case *structpb.Value_ListValue:
		list := []any{}
		for _, e := range v.ListValue.GetValues() {
			list = append(list, decodeValue(e, secret))
		}
		return list
	case *structpb.Value_StructValue:
		return decodeObject(v.StructValue.GetFields(), secret)
	}
	return nil
}

// decodeObject unwraps the objects by which Pulumi marks secrets and outputs.
func decodeObject(fields map[string]*structpb.Value, secret *bool) any {
	inner, known := fields["value"]
	switch fields[sig.Key].GetStringValue() {
	case sig.Secret:
		*secret = true
		return decodeValue(inner, secret)
	case sig.OutputValue:
		*secret = *secret || fields["secret"].GetBoolValue()
		if !known {
			return unknown{}
		}
		return decodeValue(inner, secret)
	}
	object := map[string]any{}
	for k, e := range fields {
		object[k] = decodeValue(e, secret)
	}
	return object
}

// encode puts properties on the wire, the hidden ones as secrets.
func encode(p props, hidden secrets) (*structpb.Struct, error) {
	s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for k, v := range p {
		e, err := encodeValue(v)
		if err != nil {
			return nil, fmt.Errorf("encode the property %s: %w", k, err)
		}
		if hidden[k] {
			e = structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
				sig.Key: structpb.NewStringValue(sig.Secret), "value": e,
			}})
		}
		s.Fields[k] = e
	}
	return s, nil
}

func encodeValue(v any) (*structpb.Value, error) {
	switch v := v.(type) {
	case unknown:
		return structpb.NewStringValue(unknownText), nil
	case []string:
		return encodeValue(anys(v))
	case map[string]string:
		object := map[string]any{}
		for k, e := range v {
			object[k] = e
		}
		return encodeValue(object)
	case []any:
		list := &structpb.ListValue{}
		for _, e := range v {
			x, err := encodeValue(e)
			if err != nil {
				return nil, err
			}
			list.Values = append(list.Values, x)
		}
		return structpb.NewListValue(list), nil
	case map[string]any:
		object := &structpb.Struct{Fields: map[string]*structpb.Value{}}
		for k, e := range v {
			x, err := encodeValue(e)
			if err != nil {
				return nil, err
			}
			object.Fields[k] = x
		}
		return structpb.NewStructValue(object), nil
	}
	return structpb.NewValue(v)
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, e := range list {
		out[i] = e
	}
	return out
}

// isUnknown tells whether a value is, or holds, an unknown one.
func isUnknown(v any) bool {
	switch v := v.(type) {
	case unknown:
		return true
	case []any:
		for _, e := range v {
			if isUnknown(e) {
				return true
			}
		}
	case map[string]any:
		for _, e := range v {
			if isUnknown(e) {
				return true
			}
		}
	}
	return false
}

// text, number, list and table read a property, with the zero value for one
// that is absent or unknown. Check has seen to the types.
func (p props) text(key string) string {
	s, _ := p[key].(string)
	return s
}

func (p props) number(key string) int {
	f, _ := p[key].(float64)
	return int(f)
}

func (p props) list(key string) []string {
	var out []string
	l, _ := p[key].([]any)
	for _, e := range l {
		s, _ := e.(string)
		out = append(out, s)
	}
	return out
}

func (p props) table(key string) map[string]string {
	m, _ := p[key].(map[string]any)
	if len(m) == 0 {
		return nil
	}
	out := map[string]string{}
	for k, e := range m {
		out[k], _ = e.(string)
	}
	return out
}

// shape is the type of a property.
type shape string

const (
	text    shape = "string"
	integer shape = "int"
	texts   shape = "list"
	table   shape = "map"
)

// convert brings a value to its shape as the real plugin does: numbers and
// strings pass for each other where they can.
func convert(path string, want shape, v any) (any, error) {
	bad := func(want shape) error {
		return fmt.Errorf("'%s' expected type '%s', got unconvertible type '%s', value: '%v'", path, want, nameOfType(v), v)
	}
	if _, ok := v.(unknown); ok || v == nil {
		return v, nil
	}
	switch want {
	case text:
		switch v := v.(type) {
		case string:
			return v, nil
		case bool:
			return strconv.FormatBool(v), nil
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64), nil
		}
	case integer:
		f, ok := v.(float64)
		if s, isText := v.(string); isText {
			n, err := strconv.ParseInt(s, 10, 64)
			f, ok = float64(n), err == nil
		}
		if ok && f == math.Trunc(f) {
			return f, nil
		}
	case texts:
		if list, ok := v.([]any); ok {
			out := make([]any, len(list))
			for i, e := range list {
				x, err := convert(fmt.Sprintf("%s[%d]", path, i), text, e)
				if err != nil {
					return nil, err
				}
				out[i] = x
			}
			return out, nil
		}
	case table:
		if object, ok := v.(map[string]any); ok {
			out := map[string]any{}
			for k, e := range object {
				x, err := convert(path+"."+k, text, e)
				if err != nil {
					return nil, err
				}
				out[k] = x
			}
			return out, nil
		}
	}
	return nil, bad(want)
}

func nameOfType(v any) string {
	switch v.(type) {
	case bool:
		return "bool"
	case float64:
		return "float64"
	case string:
		return "string"
	case []any:
		return "[]interface {}"
	}
	return "map[string]interface {}"
}
