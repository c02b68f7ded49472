package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/common/promslog"
	promconfig "github.com/prometheus/prometheus/config"
	"gopkg.in/yaml.v3"

	// The ways to find targets that need neither an account nor a file in the
	// pod. Every other is refused by the parser, as it does not know its key.
	_ "github.com/prometheus/prometheus/discovery/dns"
	_ "github.com/prometheus/prometheus/discovery/http"
)

// reserved begins the names of the site's own scrape jobs.
const reserved = "velodrome-"

const (
	prometheusKey  = "prometheus-config.yml"
	prometheusDocs = "see https://prometheus.io/docs/prometheus/latest/configuration/configuration/"
)

// prometheus checks a prometheus.yml by Prometheus's own parser.
func (c *checker) prometheus(text, path string) {
	node := c.nodes[path]
	if node == nil {
		if above := strings.TrimSuffix(path, "."+prometheusKey); !c.broken[path] && !c.broken[above] {
			c.fault(above, "missing", "the key %q is missing, give the whole of prometheus.yml as a block of text, begun by |", prometheusKey)
		}
		return
	}
	if c.prom == nil {
		c.prom = map[string]promResult{}
	}
	r, ok := c.prom[text]
	if !ok {
		r.found, r.warned = checkPrometheus(text)
		c.prom[text] = r
	}
	b := newBlock(node, c.lines)
	for _, f := range r.found {
		at, note := b.place(f.at)
		c.faults.add(at, "prometheus "+note+f.message, c.source(path)+": "+note+f.message)
	}
	for _, w := range r.warned {
		at, note := b.place(w.at)
		c.warned = append(c.warned, warning{at, c.source(path) + ": " + note + w.message})
	}
}

// promResult is what a text was found to be: projects share that of defaults.
type promResult struct{ found, warned []remark }

// remark is about a place in a prometheus.yml.
type remark struct {
	at      place
	message string
}

// checkPrometheus returns the faults of a prometheus.yml, and what does no harm
// but has no effect.
func checkPrometheus(text string) (found, warned []remark) {
	if strings.TrimSpace(text) == "" {
		return []remark{{place{}, "is empty, give the whole of prometheus.yml, or take the key prometheus out"}}, nil
	}
	tree, fault := promTree(text)
	if fault != nil {
		return []remark{*fault}, nil
	}
	characters, _ := expressions(tree)
	p := &promCheck{text: text, tree: tree, budget: searchBudget, extra: 20 + characters/2}
	p.references(tree)
	p.load()
	return p.found, p.warned
}

// promTree reads a prometheus.yml as a tree, to find places in it and to keep
// what would overwhelm the parser away from it.
func promTree(text string) (*yaml.Node, *remark) {
	f := newFaults("")
	root := parseYAML(f, []byte(text))
	if len(f.list) > 0 {
		return nil, &remark{place{f.list[0].Line, f.list[0].Column}, f.list[0].Message}
	}
	if root == nil {
		return nil, &remark{place{}, "is empty, give the whole of prometheus.yml, or take the key prometheus out"}
	}
	if root.Kind != yaml.MappingNode {
		return nil, &remark{placeOf(root), "must be a map, begun by global: or scrape_configs:, and is " + kindOf(root)}
	}
	if countNodes(root) > maxPromNodes {
		return nil, &remark{placeOf(root), fmt.Sprintf("has more than %d keys and values, give long lists of targets by http_sd_configs", maxPromNodes)}
	}
	if _, n := expressions(root); n != nil {
		return nil, &remark{placeOf(n), fmt.Sprintf("the regular expressions up to here have more than %d characters, repetitions such as {1000} written out; make them shorter", maxExpressions)}
	}
	return root, nil
}

const (
	// maxPromNodes bounds the keys and values of a prometheus.yml: ten times
	// what a hundred jobs with relabelling need.
	maxPromNodes = 10_000

	// searchBudget bounds the search for the places of errors, in keys and
	// values read, or what takes as long as these; beyond it an error has the
	// place of what holds it.
	searchBudget = 40_000
)

// maxExpressions bounds the length of all regular expressions, their repetitions
// written out: each character costs more than a kilobyte when it is compiled.
const maxExpressions = 50_000

var repeat = regexp.MustCompile(`\{(\d*),?(\d*)\}`)

// expressions is the length of all regular expressions of a tree, with every
// alias counted as what it stands for, and the value at which the bound is
// passed, if there is one.
func expressions(n *yaml.Node) (int, *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		return expressions(n.Alias)
	}
	total := 0
	for i, c := range n.Content {
		more, over := expressions(c)
		total += more
		if n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Value == "regex" {
			total += unfolded(resolve(c).Value)
		}
		switch {
		case over != nil:
			return total, over
		case total > maxExpressions:
			return total, c
		}
	}
	return total, nil
}

// unfolded is how many characters a regular expression has when its repetitions
// {n} are written out.
func unfolded(text string) int {
	factor := 1
	for _, m := range repeat.FindAllStringSubmatch(text, -1) {
		least, _ := strconv.Atoi(m[1]) // not a number: 0
		most, _ := strconv.Atoi(m[2])
		factor = min(1000, factor*max(1, least, most)) // Go's regexp takes no more than 1000
	}
	return factor * len(text)
}

func countNodes(n *yaml.Node) int {
	count := 0
	eachNode(n, func(*yaml.Node) { count++ })
	return count
}

func eachNode(n *yaml.Node, visit func(*yaml.Node)) {
	visit(n)
	for _, c := range n.Content {
		eachNode(c, visit)
	}
}

type nodeSet map[*yaml.Node]bool

// promCheck looks for the places of a prometheus.yml's faults. The parser names
// a line for some of them, and stops at the others.
type promCheck struct {
	text   string
	tree   *yaml.Node
	found  []remark
	warned []remark
	budget int // keys and values that may still be read in the search
	extra  int // what each reading costs besides
}

// insteadOfFile is what to write where a key names a file: none is in the pod.
var insteadOfFile = map[string]string{
	"bearer_token_file":           "bearer_token",
	"ca_file":                     "ca",
	"cert_file":                   "cert",
	"client_certificate_key_file": "client_certificate_key",
	"client_secret_file":          "client_secret",
	"credentials_file":            "credentials",
	"key_file":                    "key",
	"password_file":               "password",
	"query_log_file":              "",
	"scrape_failure_log_file":     "",
	"username_file":               "username",
	"routing_key_file":            "routing_key",
}

// references checks what the parser does not: files, that cannot be there, and
// names of jobs.
func (p *promCheck) references(n *yaml.Node) {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		instead, names := insteadOfFile[k.Value]
		switch {
		case names && instead == "":
			p.add(k, fmt.Sprintf("%s names a file to write to, and the pod's file system is read-only; take it out", k.Value))
		case names:
			p.add(k, fmt.Sprintf("%s names a file, and there are none in the pod; give the content itself as %q", k.Value, instead))
		case (k.Value == "rule_files" || k.Value == "scrape_config_files") && n == p.tree && len(v.Content) > 0:
			p.warned = append(p.warned, remark{placeOf(k), k.Value + " has no effect, as there are no such files in the pod; alert in Grafana, and put every job into scrape_configs"})
		case k.Value == "job_name" && strings.HasPrefix(v.Value, reserved):
			p.add(v, fmt.Sprintf("the name %s of this job begins with %q, which the site's own jobs do; give it another", quote(v.Value), reserved))
		}
		switch k.Value {
		case "labels", "external_labels", "params": // their keys are the user's
		default:
			p.references(v)
		}
	}
	if n.Kind == yaml.SequenceNode {
		for _, c := range n.Content {
			p.references(c)
		}
	}
}

func (p *promCheck) add(n *yaml.Node, message string) {
	p.found = append(p.found, remark{placeOf(n), message})
}

// load runs the parser again and again, each time without what it last stopped
// at, so that the user sees every fault at once.
func (p *promCheck) load() {
	const most = 20
	cut := nodeSet{}
	text, lines := p.text, linesOf(p.tree, p.tree)
	for range most {
		err := p.parse(text)
		if err == nil {
			return
		}
		culprits := p.named(errorLines(err), lines)
		if culprits == nil {
			culprit := p.search(err)
			culprits = nodeSet{culprit: true}
			if !cut[culprit] { // else it is our own removal that it suffers from
				p.add(culprit, promMessage(err.Error()))
			}
		}
		if !remove(p.tree, culprits, cut) || p.budget <= 0 || len(p.found) > maxFaults {
			return
		}
		var renderErr error
		if text, lines, renderErr = render(p.tree); renderErr != nil {
			return // what is left cannot be looked at by itself
		}
	}
}

// parse is Prometheus's own parser.
func (p *promCheck) parse(text string) (err error) {
	p.budget -= p.extra + countNodes(p.tree) + len(text)/50
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	_, err = promconfig.Load(text, promslog.NewNopLogger())
	return err
}

// lineError is an error for which the parser names a line.
type lineError struct {
	line    int
	message string
}

var (
	promLine    = regexp.MustCompile(`^(?:yaml: )?\s*line (\d+): (.*)$`)
	promField   = regexp.MustCompile(`^field (\S+) not found in type \S+$`)
	promAlready = regexp.MustCompile(`^(?:field|key) (\S+) already set in (?:type \S+|map)$`)
)

func errorLines(err error) []lineError {
	var out []lineError
	for text := range strings.SplitSeq(err.Error(), "\n") {
		if m := promLine.FindStringSubmatch(text); m != nil {
			line, convErr := strconv.Atoi(m[1])
			if convErr == nil {
				out = append(out, lineError{line, m[2]})
			}
		}
	}
	return out
}

// named reports errors that have a line, and returns what is at fault there.
func (p *promCheck) named(found []lineError, lines map[int][]*yaml.Node) nodeSet {
	var culprits nodeSet
	for _, e := range found[:min(len(found), 2*maxFaults)] {
		word := ""
		if m := promField.FindStringSubmatch(e.message); m != nil {
			word = m[1]
		} else if m := promAlready.FindStringSubmatch(e.message); m != nil {
			word = strings.Trim(m[1], `"`)
		}
		nodes := lines[e.line]
		i := slices.IndexFunc(nodes, func(n *yaml.Node) bool { return word != "" && n.Value == word })
		if i < 0 {
			i = len(nodes) - 1
		}
		culprit := p.tree
		if i >= 0 {
			culprit = nodes[i]
		}
		p.add(culprit, promMessage(e.message))
		if culprits == nil {
			culprits = nodeSet{}
		}
		culprits[culprit] = true
	}
	return culprits
}

// promMessage says an error of the parser with its way out.
func promMessage(message string) string {
	message = strings.TrimPrefix(message, "yaml: ")
	if m := promField.FindStringSubmatch(message); m != nil {
		return fieldMessage(m[1])
	}
	if m := promAlready.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("the key %s is there already, keep one of them", quote(strings.Trim(m[1], `"`)))
	}
	if strings.Contains(message, "valid duration") || strings.Contains(message, "in duration") {
		return message + `, give one such as "30s", "1m" or "1h30m"`
	}
	return message + "; " + prometheusDocs
}

func fieldMessage(field string) string {
	if kind, ok := strings.CutSuffix(field, "_sd_configs"); ok && !slices.Contains(promFields(), field) {
		if near := nearest(kind, []string{"dns", "http"}); near != "" {
			return fmt.Sprintf("unknown field %s, did you mean %q?", quote(field), near+"_sd_configs")
		}
		return fmt.Sprintf("targets cannot be found by %s, as the pod has no account and no files; use static_configs, dns_sd_configs or http_sd_configs", quote(kind))
	}
	if near := nearest(field, promFields()); near != "" {
		return fmt.Sprintf("unknown field %s, did you mean %q?", quote(field), near)
	}
	return fmt.Sprintf("unknown field %s; %s", quote(field), prometheusDocs)
}

// promFields are the keys that Prometheus knows, at any place.
var promFields = sync.OnceValue(func() []string {
	names := map[string]bool{"static_configs": true, "dns_sd_configs": true, "http_sd_configs": true}
	collect(reflect.TypeFor[promconfig.Config](), names, map[reflect.Type]bool{})
	out := make([]string, 0, len(names))
	for name := range names {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
})

func collect(t reflect.Type, names map[string]bool, seen map[reflect.Type]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return
	}
	seen[t] = true
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			names[name] = true
		}
		if f.IsExported() {
			collect(f.Type, names, seen)
		}
	}
}

// search finds the smallest part of the tree that the parser stops at: of each
// map and list, the entry with which the error first comes up.
func (p *promCheck) search(err error) *yaml.Node {
	n := p.tree
	type cut struct {
		node    *yaml.Node
		content []*yaml.Node
	}
	var cuts []cut
	defer func() {
		for _, c := range cuts {
			c.node.Content = c.content
		}
	}()
	for {
		unit := 1
		if n.Kind == yaml.MappingNode {
			unit = 2
		}
		all := n.Content
		if len(all) == 0 || n.Kind == yaml.AliasNode {
			return n
		}
		cuts = append(cuts, cut{n, all})
		same := func(entries int) bool {
			n.Content = all[:entries*unit]
			return p.fails(err)
		}
		if same(0) {
			return n // the fault is that something is missing
		}
		i := sort.Search(len(all)/unit, func(i int) bool { return same(i + 1) })
		if i == len(all)/unit || p.budget <= 0 {
			return n
		}
		n.Content = all[:(i+1)*unit]
		n = n.Content[len(n.Content)-1]
	}
}

// fails tells whether the tree, as it is now, has a certain error.
func (p *promCheck) fails(with error) bool {
	if p.budget <= 0 {
		return false
	}
	text, err := yaml.Marshal(p.tree)
	if err != nil {
		return false
	}
	got := p.parse(string(text))
	return got != nil && got.Error() == with.Error()
}

// remove takes nodes out of a tree, each with its key or its value, and marks
// what they were in. It tells whether there was anything to take out.
func remove(n *yaml.Node, culprits, cut nodeSet) bool {
	unit := 1
	if n.Kind == yaml.MappingNode {
		unit = 2
	}
	removed := false
	var kept []*yaml.Node
	for entry := range slices.Chunk(n.Content, unit) {
		if slices.ContainsFunc(entry, func(c *yaml.Node) bool { return culprits[c] }) {
			removed, cut[n] = true, true
			continue
		}
		for _, c := range entry {
			removed = remove(c, culprits, cut) || removed
		}
		kept = append(kept, entry...)
	}
	n.Content = kept
	return removed
}

// render writes the tree anew, with the nodes of each line.
func render(tree *yaml.Node) (string, map[int][]*yaml.Node, error) {
	text, err := yaml.Marshal(tree)
	if err != nil {
		return "", nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return "", nil, err
	}
	if len(doc.Content) == 0 {
		return "", nil, errors.New("nothing is left")
	}
	return string(text), linesOf(doc.Content[0], tree), nil
}

// linesOf lists, for each line of a text, the nodes that another tree of the
// same shape has there.
func linesOf(written, tree *yaml.Node) map[int][]*yaml.Node {
	out := map[int][]*yaml.Node{}
	var walk func(w, n *yaml.Node)
	walk = func(w, n *yaml.Node) {
		out[w.Line] = append(out[w.Line], n)
		for i := range min(len(w.Content), len(n.Content)) {
			walk(w.Content[i], n.Content[i])
		}
	}
	walk(written, tree)
	return out
}

// block maps places in a text that stands in a YAML file to places in the file.
type block struct {
	node  *yaml.Node
	file  []string
	text  []string
	first int // line of the file at which the text begins; 0: cannot be told
}

func newBlock(n *yaml.Node, file []string) block {
	b := block{node: n, file: file, text: strings.Split(n.Value, "\n")}
	if n.Style&yaml.LiteralStyle == 0 {
		return b
	}
	// The header of the block is in the node's line, or below its anchor or tag.
	for first := n.Line + 1; first <= min(n.Line+3, len(file)); first++ {
		if b.fits(first) {
			b.first = first
			return b
		}
	}
	return b
}

// fits tells whether the text can begin at a line of the file.
func (b block) fits(first int) bool {
	for i, text := range b.text {
		if strings.TrimSpace(text) == "" {
			continue
		}
		line := first + i - 1
		return line < len(b.file) && strings.HasSuffix(strings.TrimRight(b.file[line], "\r"), text)
	}
	return false
}

// place maps a place; where the text does not stand in the file line by line,
// it is that of the whole text, and the note tells the line.
func (b block) place(at place) (place, string) {
	if at == (place{}) {
		return placeOf(b.node), ""
	}
	line := b.first + at.line - 1
	if b.first == 0 || line > len(b.file) || at.line < 1 || at.line > len(b.text) {
		return placeOf(b.node), fmt.Sprintf("line %d of the text: ", at.line)
	}
	raw := strings.TrimRight(b.file[line-1], "\r")
	indent := utf8.RuneCountInString(raw) - utf8.RuneCountInString(b.text[at.line-1])
	return place{line, at.column + max(0, indent)}, ""
}
