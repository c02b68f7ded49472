package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

const (
	// maxBytes bounds the file: 1 MiB is what a ConfigMap holds, and thirty
	// times the largest config.yaml that is known.
	maxBytes = 1 << 20

	// maxNodes bounds the keys and values of the file, with every alias
	// counted as what it stands for. A thousand projects have some 20,000.
	maxNodes = 50_000

	// maxMarks bounds the characters that can begin a key or a value, which is
	// known before any is read. Some of them stand in texts.
	maxMarks = 2 * maxNodes

	// maxDepth bounds how deep they lie in each other; a real file needs 12.
	maxDepth = 64
)

// parseYAML reads a single document; nil stands for an empty one.
func parseYAML(f *faults, data []byte) *yaml.Node {
	if at, ok := notUTF8(data); ok {
		f.add(at, "utf8", "the file is not UTF-8, save it in that encoding")
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if at, ok := tooManyMarks(data); ok {
		f.add(at, "bounds", fmt.Sprintf("the file has more than %d keys and values up to here, make it smaller", maxMarks))
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, next yaml.Node
	if err := decodeNode(dec, &doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		f.add(syntaxFault(data, err))
		return nil
	}
	if err := decodeNode(dec, &next); err == nil {
		f.add(place{next.Line, next.Column}, "documents", "a second YAML document begins here, put everything into one and take the --- out")
		return nil
	} else if !errors.Is(err, io.EOF) {
		f.add(syntaxFault(data, err))
		return nil
	}
	if at, message := bounds(&doc); message != "" {
		f.add(at, "bounds", message)
		return nil
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil
	}
	return doc.Content[0]
}

// tooManyMarks keeps away what would take the YAML library long to read.
func tooManyMarks(data []byte) (place, bool) {
	marks, line, begin := 0, 1, 0
	for i, b := range data {
		switch b {
		case '\n':
			line, begin = line+1, i+1
		case ',', '[', '{', '?':
			marks++
		case ':', '-':
			if i+1 == len(data) || data[i+1] == ' ' || data[i+1] == '\n' {
				marks++
			}
		}
		if marks > maxMarks {
			return place{line, 1 + utf8.RuneCount(data[begin:i])}, true
		}
	}
	return place{}, false
}

// decodeNode turns a panic of the YAML library, which has had several, into an
// error.
func decodeNode(dec *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: the YAML library gave up: %v", r)
		}
	}()
	return dec.Decode(n)
}

func notUTF8(data []byte) (place, bool) {
	if utf8.Valid(data) {
		return place{}, false
	}
	at := place{1, 1}
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size == 1:
			return at, true
		case r == '\n':
			at = place{at.line + 1, 1}
		default:
			at.column++
		}
		data = data[size:]
	}
	return at, true
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxFault turns an error of the YAML library into a fault at its place.
func syntaxFault(data []byte, err error) (place, string, string) {
	match := yamlLine.FindStringSubmatch(strings.SplitN(err.Error(), "\n", 2)[0])
	if match == nil {
		return place{1, 1}, "syntax", err.Error()
	}
	lines := strings.Split(string(data), "\n")
	line := faultyLine(lines, match)
	if column, ok := tabIn(lines, line); ok {
		return place{line, column}, "syntax", "a tab indents this line, YAML allows spaces only"
	}
	if at, ok := offender(data, match[2]); ok {
		return at, "syntax", "not YAML: " + match[2] + wayOut(match[2])
	}
	text := lines[line-1]
	column := 1 + len(text) - len(strings.TrimLeft(text, " "))
	return place{line, column}, "syntax", "not YAML: " + match[2] + wayOut(match[2])
}

var unknownAnchor = regexp.MustCompile(`^unknown anchor '([^']+)'`)

// offender is the place of what an error is about, where that can be told.
func offender(data []byte, message string) (place, bool) {
	i := -1
	if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		i = bytes.Index(data, []byte("*"+m[1]))
	} else if strings.Contains(message, "control characters") {
		i = bytes.IndexFunc(data, func(r rune) bool {
			return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r < 0xa0 && r != 0x85 || r == 0xfffe || r == 0xffff
		})
	}
	if i < 0 {
		return place{}, false
	}
	before := data[:i]
	line := bytes.LastIndexByte(before, '\n') + 1
	return place{1 + bytes.Count(before, []byte("\n")), 1 + utf8.RuneCount(before[line:])}, true
}

// wayOut is what to do about an error of the YAML library.
func wayOut(message string) string {
	switch {
	case strings.Contains(message, "did not find expected key"), strings.Contains(message, "mapping values are not allowed"):
		return ", indent the keys of one map alike, and quote a value that holds a colon and a space"
	case strings.Contains(message, "unknown anchor"):
		return ", define it with & above its first use"
	case strings.Contains(message, "control characters"):
		return ", take this one out"
	case strings.Contains(message, "end of stream"):
		return ", close the quote or bracket that is opened here"
	}
	return ""
}

// faultyLine is where the error comes up: the YAML library names the line where
// the innermost structure began, so the shortest beginning of the file that has
// the same error is looked for.
func faultyLine(lines []string, match []string) int {
	const most = 256 << 10
	named, err := strconv.Atoi(match[1])
	if err != nil {
		named = 1
	}
	named = max(1, min(named, len(lines)))
	if len(lines)*40 > most || strings.Contains(match[2], "end of stream") || strings.Contains(match[2], "unknown anchor") {
		return named
	}
	found := 1 + sort.Search(len(lines), func(i int) bool {
		var n yaml.Node
		dec := yaml.NewDecoder(strings.NewReader(strings.Join(lines[:i+1], "\n") + "\n"))
		for {
			err := decodeNode(dec, &n)
			if err == nil {
				continue
			}
			got := yamlLine.FindStringSubmatch(err.Error())
			return got != nil && got[2] == match[2]
		}
	})
	if found > len(lines) {
		return named
	}
	return found
}

func tabIn(lines []string, line int) (int, bool) {
	text := lines[line-1]
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	i := strings.IndexByte(indent, '\t')
	return i + 1, i >= 0
}

// bounds measures a document: its size with every alias followed, and its
// depth. An alias that lies in its own anchor has neither.
func bounds(doc *yaml.Node) (place, string) {
	m := measure{open: map[*yaml.Node]bool{}}
	m.walk(doc, 0)
	return m.at, m.message
}

type measure struct {
	nodes   int
	open    map[*yaml.Node]bool
	at      place
	message string
}

func (m *measure) walk(n *yaml.Node, depth int) {
	m.nodes++
	switch {
	case m.message != "":
		return
	case m.nodes > maxNodes:
		m.stop(n, fmt.Sprintf("the file has more than %d keys and values, each alias counted as what it stands for; use fewer aliases", maxNodes))
		return
	case depth > maxDepth:
		m.stop(n, fmt.Sprintf("maps and lists lie in each other more than %d deep, nothing here needs that", maxDepth))
		return
	}
	if n.Kind == yaml.AliasNode {
		if m.open[n.Alias] {
			m.stop(n, fmt.Sprintf("the alias *%s lies in what &%s stands for, take it out", n.Value, n.Value))
			return
		}
		m.walk(n.Alias, depth)
		return
	}
	if len(n.Content) == 0 {
		return
	}
	m.open[n] = true
	for _, c := range n.Content {
		m.walk(c, depth+1)
	}
	delete(m.open, n)
}

func (m *measure) stop(n *yaml.Node, message string) {
	m.at, m.message = placeOf(n), message
}

func placeOf(n *yaml.Node) place { return place{n.Line, n.Column} }

func isNull(n *yaml.Node) bool {
	n = resolve(n)
	return n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}
