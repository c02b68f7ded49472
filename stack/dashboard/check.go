package dashboard

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var uidPattern = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,40}$`)

// ShippedUIDs are the ways in which the uid of a source starts that a shipped dashboard may lack; another
// uid in a shipped dashboard is a fault like in any other.
var ShippedUIDs = []string{"prometheus", "influxdb-"}

// builtIn are the data sources that every Grafana has: its own, the results of another panel, server-side
// expressions, and a panel whose queries each name their own.
var builtIn = []string{"-- Grafana --", "-- Dashboard --", "-- Mixed --", "grafana", "__expr__"}

// checker checks one file.
type checker struct {
	file      string
	raw       []byte
	sources   Sources
	shipped   bool
	root      *node
	variables map[string]*node // declared in templating.list, by name
	faults    []fault
	drop      map[*node]bool // what a shipped dashboard loses in this project
}

type fault struct {
	at  int
	msg string
}

func newChecker(file string, raw []byte, sources Sources, shipped bool) *checker {
	return &checker{file: file, raw: raw, sources: sources, shipped: shipped,
		variables: map[string]*node{}, drop: map[*node]bool{}}
}

func (c *checker) faultf(at int, format string, args ...any) {
	c.faults = append(c.faults, fault{at, fmt.Sprintf(format, args...)})
}

// maxFaults is how many faults of one file are told one by one.
const maxFaults = 100

// errors returns the faults in the order of the file.
func (c *checker) errors() (errs []error) {
	slices.SortStableFunc(c.faults, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	for i, f := range c.faults {
		if i == maxFaults {
			return append(errs, fmt.Errorf("%s: %d more faults", c.file, len(c.faults)-maxFaults))
		}
		line, column := place(c.raw, f.at)
		errs = append(errs, fmt.Errorf("%s:%d:%d: %s", c.file, line, column, f.msg))
	}
	return errs
}

// unique notes that this file has value as its uid or title, unless another has it already.
func (c *checker) unique(seen map[string]string, key, value string) {
	at := c.root.get(key).at
	if other, ok := seen[value]; ok {
		c.faultf(at, "%s %q is that of %s too", key, value, other)
		return
	}
	line, column := place(c.raw, at)
	seen[value] = fmt.Sprintf("%s:%d:%d", c.file, line, column)
}

// dashboard checks the file; ok is false if nothing is left of it for this project.
func (c *checker) dashboard() (d Dashboard, ok bool) {
	root, err := parse(c.raw)
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		c.faultf(syntax.at, "%s", syntax.msg)
		return d, false
	}
	c.root = root
	switch {
	case root.kind != '{':
		c.faultf(root.at, "not a dashboard: a dashboard is a JSON object")
		return d, false
	case root.get("dashboard").is('{') && root.get("panels") == nil:
		c.faultf(root.at, `not a dashboard, but an answer of Grafana's API: keep only the value of its key "dashboard"`)
		return d, false
	case root.get("spec").is('{') && root.get("panels") == nil:
		c.faultf(root.at, "not a dashboard in the classic form, but a resource (kind %q): export it as classic JSON model", root.str("kind"))
		return d, false
	case root.get("panels") == nil && root.get("title") == nil && root.get("uid") == nil:
		c.faultf(root.at, "not a dashboard: it has none of uid, title and panels")
		return d, false
	}
	if c.shipped && c.requiresAbsent() {
		return d, false
	}
	c.uid()
	if root.str("title") == "" {
		c.faultf(cmp.Or(root.get("title"), root).at, "no title: give the dashboard one, as a string")
	}
	c.templating()
	c.annotations()
	left := c.panels(root.list("panels"))
	for _, row := range root.list("rows") { // before Grafana 5
		left += c.panels(row.list("panels"))
	}
	d = Dashboard{UID: root.str("uid"), Title: root.str("title"), File: c.file, JSON: c.raw}
	if len(c.drop) == 0 {
		return d, true
	}
	if left == 0 {
		return Dashboard{}, false
	}
	d.JSON = root.without(c.raw, c.drop)
	return d, true
}

// requiresAbsent tells a shipped dashboard that makes no sense without a source that the project lacks. It says
// so in "__requires", where Grafana lists what an exported dashboard needs.
func (c *checker) requiresAbsent() bool {
	return slices.ContainsFunc(c.root.list("__requires"), func(r *node) bool {
		return r.str("type") == "datasource" && !slices.ContainsFunc(c.sources.List, func(s Source) bool { return s.UID == r.str("uid") })
	})
}

func (c *checker) uid() {
	switch uid := c.root.get("uid"); {
	case uid.absent():
		c.faultf(c.root.at, `no uid: links to a dashboard need one that stays, such as "uid": "my-dashboard"`)
	case !uid.is('"') || !uidPattern.MatchString(uid.text):
		c.faultf(uid.at, "uid %s: a uid has 1 to 40 letters, digits, - and _", c.raw[uid.at:uid.end])
	}
}

// templating checks the variables. They are declared first, since each may use the others.
func (c *checker) templating() {
	list := c.root.get("templating").list("list")
	for _, v := range list {
		c.variables[v.str("name")] = v
	}
	for _, v := range list {
		what := fmt.Sprintf("variable %q", v.str("name"))
		switch v.str("type") {
		case "query":
			source, ok := c.source(v, v.get("datasource"), what)
			if !ok {
				continue
			}
			query := v.get("query")
			if query.is('{') {
				query = query.get("query")
			}
			c.variableQuery(source, cmp.Or(query, v), what)
		case "adhoc":
			c.source(v, v.get("datasource"), what)
		}
	}
}

func (c *checker) annotations() {
	for _, a := range c.root.get("annotations").list("list") {
		what := fmt.Sprintf("annotation %q", a.str("name"))
		source, ok := c.source(a, a.get("datasource"), what)
		if !ok {
			continue
		}
		target := a
		if t := a.get("target"); t.is('{') && (t.get("expr") != nil || t.get("query") != nil) {
			target = t
		}
		c.target(source, target, what)
	}
}

// panels checks panels, with those in collapsed rows, and says how many with data are left.
func (c *checker) panels(panels []*node) (left int) {
	var row *node // whose panels follow it
	var inRow, gone int
	endRow := func() {
		if row != nil && inRow == 0 && gone > 0 {
			c.drop[row] = true
		}
	}
	for _, p := range panels {
		if p.str("type") == "row" {
			endRow()
			row, inRow, gone = p, c.panels(p.list("panels")), 0
			for _, nested := range p.list("panels") {
				if c.drop[nested] {
					gone++
				}
			}
			left += inRow
			continue
		}
		asks := c.panel(p)
		switch {
		case c.drop[p]:
			gone++
		case asks:
			inRow++
			left++
		default:
			inRow++
		}
	}
	endRow()
	return left
}

// panel checks one panel and says whether it asks a data source.
func (c *checker) panel(p *node) (asks bool) {
	what := "panel without a title"
	if title := p.str("title"); title != "" {
		what = fmt.Sprintf("panel %q", title)
	}
	if repeat := p.get("repeat"); repeat.is('"') && repeat.text != "" && c.variables[repeat.text] == nil {
		c.faultf(repeat.at, "%s repeats for variable %q, which is not declared%s", what, repeat.text, nearest(repeat.text, c.names()))
	}
	own := p.get("datasource")
	targets := p.list("targets")
	if len(targets) == 0 {
		if !own.absent() {
			c.source(p, own, what)
		}
		return false
	}
	gone := 0
	for _, t := range targets {
		what := what
		if ref := t.str("refId"); ref != "" {
			what += ", query " + ref
		}
		used, owner := own, p
		if d := t.get("datasource"); !d.absent() {
			used, owner = d, t
		}
		if source, ok := c.source(owner, used, what); ok {
			c.target(source, t, what)
			asks = true
		}
		if c.drop[t] {
			gone++
		}
	}
	if gone == len(targets) {
		c.drop[p] = true
	}
	return asks
}

// source finds the data source that an object of the dashboard names; owner is what a shipped dashboard loses
// without it. It is not ok if there is nothing to check further.
func (c *checker) source(owner, named *node, what string) (Source, bool) {
	if c.drop[owner] {
		return Source{}, false
	}
	var uid, kind string
	at := owner.at
	switch {
	case named.absent():
		uid = c.sources.Default
		if uid == "" {
			c.faultf(at, "%s names no data source; give it one of: %s", what, c.known())
			return Source{}, false
		}
	case named.is('"'):
		uid, at = named.text, named.at
	case named.is('{') && named.str("uid") == "" && named.str("type") != "":
		at, kind = named.at, named.str("type")
		if kind == "datasource" || kind == "grafana" {
			return Source{}, false
		}
		c.faultf(at, "%s names a data source by its type only; add the uid, one of: %s", what, c.known())
		return Source{}, false
	case named.is('{') && named.str("uid") != "":
		uid, kind, at = named.str("uid"), named.str("type"), named.get("uid").at
	default:
		c.faultf(named.at, "%s: the data source is %s; it should be an object with type and uid", what, c.raw[named.at:named.end])
		return Source{}, false
	}
	if slices.Contains(builtIn, uid) {
		return Source{}, false
	}
	if uid == "default" {
		uid = cmp.Or(c.sources.Default, uid)
	}
	if name, ok := variableName(uid); ok {
		return c.sourceVariable(owner, name, at, what)
	}
	i := slices.IndexFunc(c.sources.List, func(s Source) bool { return s.UID == uid || s.Name == uid })
	if i < 0 {
		if c.shipped && slices.ContainsFunc(ShippedUIDs, func(p string) bool { return strings.HasPrefix(uid, p) }) {
			c.drop[owner] = true
			return Source{}, false
		}
		c.faultf(at, "%s asks data source %q, which this project does not have%s", what, uid, c.instead(uid, kind))
		return Source{}, false
	}
	s := c.sources.List[i]
	if kind != "" && kind != s.Type {
		c.faultf(at, "%s takes data source %q for one of type %q; it is of type %q", what, uid, kind, s.Type)
		return Source{}, false
	}
	return s, true
}

// sourceVariable finds what a variable that holds a data source stands for: any source of its type.
func (c *checker) sourceVariable(owner *node, name string, at int, what string) (Source, bool) {
	v := c.variables[name]
	if v == nil {
		hint := nearest(name, c.names())
		if c.root.get("__inputs") != nil {
			hint = "; it is an input of a dashboard exported for sharing: export it without that, or name a source: " + c.known()
		}
		c.faultf(at, "%s asks the data source in variable %q, which is not declared%s", what, name, hint)
		return Source{}, false
	}
	if v.str("type") != "datasource" {
		c.faultf(at, "%s asks the data source in variable %q, which is of type %q, not \"datasource\"", what, name, v.str("type"))
		return Source{}, false
	}
	kind := v.str("query")
	i := slices.IndexFunc(c.sources.List, func(s Source) bool { return s.Type == kind })
	if i < 0 {
		if c.shipped {
			c.drop[owner] = true
			return Source{}, false
		}
		c.faultf(at, "%s asks a data source of type %q (variable %q), and this project has none%s", what, kind, name, c.instead(kind, kind))
		return Source{}, false
	}
	return c.sources.List[i], true
}

// target checks the query of a panel or of an annotation.
func (c *checker) target(s Source, t *node, what string) {
	switch s.Type {
	case Prometheus:
		if expr := t.get("expr"); expr.is('"') && strings.TrimSpace(expr.text) != "" {
			c.promQL(expr.at, expr.text, what)
		} else {
			c.faultf(cmp.Or(expr, t).at, "%s: no PromQL in \"expr\"", what)
		}
	case InfluxDB:
		query := t.get("query")
		if raw := t.get("rawQuery"); (raw.is('t') && raw.text == "false") || raw == nil && t.get("measurement") != nil {
			if text, ok := c.buildInfluxQL(t, what); ok {
				c.influxQL(t.at, text, what)
			}
			return
		}
		if !query.is('"') || strings.TrimSpace(query.text) == "" {
			c.faultf(cmp.Or(query, t).at, "%s: no InfluxQL in \"query\"", what)
			return
		}
		c.influxQL(query.at, query.text, what)
	}
}

// names lists the declared variables, for a suggestion; not where there are too many to look through them for
// each fault.
func (c *checker) names() []string {
	if len(c.variables) > maxNames {
		return nil
	}
	var names []string
	for name := range c.variables {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// known lists the uids of the project's sources.
func (c *checker) known() string {
	if len(c.sources.List) == 0 {
		return "(the project has no data source)"
	}
	var uids []string
	for _, s := range c.sources.List {
		uids = append(uids, s.UID)
	}
	return strings.Join(uids, ", ")
}

// instead suggests a source for one that is not there.
func (c *checker) instead(uid, kind string) string {
	if uid == Prometheus || kind == Prometheus {
		if !slices.ContainsFunc(c.sources.List, func(s Source) bool { return s.Type == Prometheus }) {
			return `; give the project a "prometheus" key, or leave the dashboard out`
		}
	}
	var uids []string
	for _, s := range c.sources.List {
		uids = append(uids, s.UID)
	}
	if hint := nearest(uid, uids); hint != "" {
		return hint
	}
	return "; it has: " + c.known()
}

// maxNames and maxName bound the search for the name that was meant, since each fault of a large file asks for it.
const (
	maxNames = 200
	maxName  = 200 // bytes
)

// nearest suggests the name that was probably meant, if one is near.
func nearest(name string, names []string) string {
	if len(name) > maxName {
		return ""
	}
	best, bestDistance := "", max(2, len(name)/3)+1
	for _, n := range names {
		if len(n) > maxName {
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < bestDistance {
			best, bestDistance = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance counts the letters to insert, delete or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
