package dashboard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deeply a file may nest; Grafana's own dashboards stay below 20.
const maxDepth = 200

// node is a JSON value with its place, so that a fault can say where it is. All methods accept a nil node, the
// value that is not there.
type node struct {
	kind    byte // one of { [ " 0 t n
	at, end int  // the value is raw[at:end]
	text    string
	members []member
	items   []*node
}

type member struct {
	key   string
	at    int
	value *node
}

// syntaxError is why a text is not JSON, and where.
type syntaxError struct {
	at  int
	msg string
}

func (e *syntaxError) Error() string { return e.msg }

// parse reads one JSON value that fills raw.
func parse(raw []byte) (*node, error) {
	r := reader{raw: raw, dec: json.NewDecoder(bytes.NewReader(raw))}
	r.dec.UseNumber()
	n, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if _, at, err := r.next(); !errors.Is(err, io.EOF) {
		return nil, &syntaxError{at, "not JSON: more text after the end of the dashboard"}
	}
	return n, nil
}

type reader struct {
	raw []byte
	dec *json.Decoder
}

// next returns the next token and where it starts.
func (r *reader) next() (json.Token, int, error) {
	at := int(r.dec.InputOffset())
	for at < len(r.raw) && strings.IndexByte(" \t\r\n,:", r.raw[at]) >= 0 {
		at++
	}
	token, err := r.dec.Token()
	return token, at, err
}

func (r *reader) fault(at int, err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &syntaxError{len(r.raw), "not JSON: the file ends too early"}
	case errors.As(err, &syntax):
		return &syntaxError{at, "not JSON: " + syntax.Error()}
	}
	return &syntaxError{at, "not JSON: " + err.Error()}
}

func (r *reader) value(depth int) (*node, error) {
	token, at, err := r.next()
	if err != nil {
		return nil, r.fault(at, err)
	}
	n := &node{at: at}
	switch t := token.(type) {
	case json.Delim:
		if depth == maxDepth {
			return nil, &syntaxError{at, fmt.Sprintf("nested more than %d deep", maxDepth)}
		}
		n.kind = byte(t)
		seen := map[string]bool{}
		for r.dec.More() {
			if err := r.child(n, seen, depth); err != nil {
				return nil, err
			}
		}
		if _, at, err = r.next(); err != nil {
			return nil, r.fault(at, err)
		}
	case string:
		n.kind, n.text = '"', t
	case json.Number:
		n.kind, n.text = '0', t.String()
	case bool:
		n.kind, n.text = 't', fmt.Sprint(t)
	default:
		n.kind = 'n'
	}
	n.end = int(r.dec.InputOffset())
	return n, nil
}

// child reads the next item of an array or the next member of an object, whose keys so far are in seen.
func (r *reader) child(n *node, seen map[string]bool, depth int) error {
	if n.kind == '[' {
		item, err := r.value(depth + 1)
		n.items = append(n.items, item)
		return err
	}
	token, at, err := r.next()
	if err != nil {
		return r.fault(at, err)
	}
	key, ok := token.(string)
	if !ok {
		return &syntaxError{at, "not JSON: the key of an object is a string"}
	}
	if seen[key] {
		return &syntaxError{at, fmt.Sprintf("key %q for the second time in one object", key)}
	}
	seen[key] = true
	value, err := r.value(depth + 1)
	n.members = append(n.members, member{key, at, value})
	return err
}

// get returns the value of a key of an object.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, m := range n.members {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// str returns the value of a key that holds a string, or "".
func (n *node) str(key string) string {
	if v := n.get(key); v.is('"') {
		return v.text
	}
	return ""
}

// list returns the items of a key that holds an array.
func (n *node) list(key string) []*node {
	if v := n.get(key); v != nil {
		return v.items
	}
	return nil
}

func (n *node) is(kind byte) bool { return n != nil && n.kind == kind }

// absent tells a value that is not there, or null.
func (n *node) absent() bool { return n == nil || n.kind == 'n' }

// without returns the text of n less the array items in drop.
func (n *node) without(raw []byte, drop map[*node]bool) []byte {
	var out bytes.Buffer
	var write func(n *node)
	write = func(n *node) {
		if n.kind == '[' {
			separator := "["
			for _, item := range n.items {
				if !drop[item] {
					out.WriteString(separator)
					write(item)
					separator = ", "
				}
			}
			if separator == "[" {
				out.WriteString(separator)
			}
			out.WriteString("]")
			return
		}
		at := n.at
		for _, m := range n.members {
			out.Write(raw[at:m.value.at])
			write(m.value)
			at = m.value.end
		}
		out.Write(raw[at:n.end])
	}
	write(n)
	return out.Bytes()
}

// place returns the line and the column, counted in characters from 1, of an offset.
func place(raw []byte, at int) (line, column int) {
	before := raw[:min(at, len(raw))]
	line = 1 + bytes.Count(before, []byte("\n"))
	return line, 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
}
