package dashboard

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"github.com/influxdata/influxql"
	"github.com/prometheus/prometheus/promql/parser"
)

// Grafana replaces variables before a data source sees a query, so that a query with a variable in it does not
// parse as it stands. Here each variable becomes a value of its kind first.

// variablePattern has the three forms of a variable: $name, [[name:format]], ${name.field:format}.
var variablePattern = regexp.MustCompile(`\$(\w+)|\[\[(\w+?)(?::\w+)?\]\]|\$\{(\w+)(?:\.[^:}]+)?(?::[^}]+)?\}`)

// globals are the variables that Grafana knows by itself, with values as it makes them.
var globals = map[string]string{
	"__rate_interval": "1m", "__rate_interval_ms": "60000",
	"__interval": "1m", "__interval_ms": "60000", "interval": "1m",
	"__range": "6h", "__range_s": "21600", "__range_ms": "21600000",
	"__from": "1700000000000", "__to": "1700021600000",
	"timeFilter": "time >= 1700000000000ms and time <= 1700021600000ms", "__timeFilter": "time >= 1700000000000ms and time <= 1700021600000ms",
	"__dashboard": "dashboard", "__name": "name", "__org": "1", "__user": "user", "__timezone": "utc",
	"__all_variables": "", "__url_time_range": "", "__searchFilter": "x",
}

// maxQuery is the most bytes that a query may have. The parsers call themselves for each bracket.
const maxQuery = 20_000

// guesses are values for variables that get theirs at run time; which kind fits depends on where they stand.
var guesses = []string{"x", "5m", "1"}

// variableName returns the name in a text that is nothing but a variable.
func variableName(text string) (string, bool) {
	m := variablePattern.FindStringSubmatch(text)
	if m == nil || m[0] != text {
		return "", false
	}
	return m[1] + m[2] + m[3], true
}

// substitutions returns the texts that a query may become, the likeliest first.
// A variable that is not declared anywhere is a fault.
func (c *checker) substitutions(at int, query, what string) ([]string, bool) {
	ok := true
	open := false // some value is not known
	replace := func(guess string) string {
		return variablePattern.ReplaceAllStringFunc(query, func(v string) string {
			name, _ := variableName(v)
			if value, known := globals[name]; known && c.variables[name] == nil {
				return value
			}
			if strings.Trim(name, "0123456789") == "" || strings.Contains(query, "(?P<"+name+">") {
				return v // a group of a regular expression
			}
			variable := c.variables[name]
			if variable == nil {
				if ok {
					names := c.names()
					for g := range maps.Keys(globals) {
						names = append(names, g)
					}
					c.faultf(at, "%s uses variable %s, which is not declared%s", what, v, nearest(name, names))
				}
				ok = false
				return v
			}
			if value := fixedValue(variable); value != "" {
				return value
			}
			open = true
			return guess
		})
	}
	if len(query) > maxQuery {
		c.faultf(at, "%s: a query of more than %d bytes", what, maxQuery)
		return nil, false
	}
	texts := []string{replace("")}
	if !ok {
		return nil, false
	}
	if open {
		texts = nil
	}
	for _, guess := range guesses {
		if open {
			texts = append(texts, replace(guess))
		}
	}
	return texts, true
}

// fixedValue returns the value that a variable surely can have, or "" where only a data source knows.
func fixedValue(v *node) string {
	query := v.str("query")
	switch v.str("type") {
	case "constant", "textbox":
		return query
	case "interval", "custom":
		first, _, _ := strings.Cut(query, ",")
		if _, value, ok := strings.Cut(first, " : "); ok {
			first = value
		}
		return strings.TrimSpace(first)
	case "datasource":
		return "x"
	}
	return ""
}

// try reports what is wrong with the first of texts if parse accepts none.
func try(texts []string, parse func(string) error) error {
	var first error
	for _, text := range texts {
		err := parse(text)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

var promParser = parser.NewParser(parser.Options{})

func parsePromQL(text string) error {
	_, err := promParser.ParseExpr(text)
	var list parser.ParseErrors
	if errors.As(err, &list) && len(list) > 0 {
		return list[0].Err
	}
	return err
}

func (c *checker) promQL(at int, query, what string) {
	texts, ok := c.substitutions(at, query, what)
	if !ok {
		return
	}
	if err := try(texts, parsePromQL); err != nil {
		c.faultf(at, "%s: PromQL does not parse: %v: %s", what, err, shorten(query))
	}
}

func parseInfluxQL(text string) error {
	q, err := influxql.ParseQuery(text)
	if err != nil {
		return fmt.Errorf("does not parse: %w", err)
	}
	if len(q.Statements) == 0 {
		return errors.New("has no statement")
	}
	for _, statement := range q.Statements {
		privileges, err := statement.RequiredPrivileges()
		if err != nil {
			return err
		}
		for _, p := range privileges {
			if p.Admin || p.Privilege > influxql.ReadPrivilege {
				return errors.New("does more than read, and Grafana's account may only read")
			}
		}
	}
	return nil
}

func (c *checker) influxQL(at int, query, what string) {
	texts, ok := c.substitutions(at, query, what)
	if !ok {
		return
	}
	if err := try(texts, parseInfluxQL); err != nil {
		c.faultf(at, "%s: InfluxQL %v: %s", what, err, shorten(query))
	}
}

// shorten keeps a message on a line.
func shorten(query string) string {
	query = strings.Join(strings.Fields(query), " ")
	if r := []rune(query); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return query
}

// variableFunction has the functions of Grafana's Prometheus variables.
var variableFunction = regexp.MustCompile(`(?s)^\s*(label_names|label_values|metrics|query_result)\((.*)\)\s*$`)

// labelOf splits label_values(SELECTOR, LABEL).
var labelOf = regexp.MustCompile(`(?s)^(?:(.*),)?\s*([a-zA-Z_$][\w${}:]*)\s*$`)

func (c *checker) variableQuery(s Source, query *node, what string) {
	if !query.is('"') || strings.TrimSpace(query.text) == "" {
		c.faultf(query.at, "%s has no query", what)
		return
	}
	if s.Type == InfluxDB {
		c.influxQL(query.at, query.text, what)
		return
	}
	m := variableFunction.FindStringSubmatch(query.text)
	if m == nil {
		c.promQL(query.at, query.text, what)
		return
	}
	function, argument := m[1], strings.TrimSpace(m[2])
	switch function {
	case "label_values":
		parts := labelOf.FindStringSubmatch(argument)
		if parts == nil {
			c.faultf(query.at, "%s: label_values takes a label, or a selector and a label: %s", what, shorten(query.text))
			return
		}
		if argument = parts[1]; argument == "" {
			return
		}
	case "label_names":
		if argument == "" {
			return
		}
	case "metrics":
		if _, err := regexp.Compile(variablePattern.ReplaceAllString(argument, "x")); err != nil {
			c.faultf(query.at, "%s: %v", what, err)
		}
		return
	}
	c.promQL(query.at, argument, what)
}

// buildInfluxQL makes the text of a query that was made with Grafana's query builder, as Grafana makes it.
func (c *checker) buildInfluxQL(t *node, what string) (string, bool) {
	measurement := t.str("measurement")
	if measurement == "" {
		c.faultf(t.at, "%s: the query builder's measurement is empty", what)
		return "", false
	}
	var fields []string
	for _, parts := range t.list("select") {
		field := ""
		for _, part := range parts.items {
			params := texts(part.list("params"))
			switch kind := part.str("type"); kind {
			case "field":
				if field = `"` + params[0] + `"`; params[0] == "*" {
					field = "*"
				}
			case "alias":
				field += ` AS "` + params[0] + `"`
			case "math":
				field += params[0]
			default:
				field = kind + "(" + strings.Join(append([]string{field}, nonEmpty(params)...), ", ") + ")"
			}
		}
		fields = append(fields, field)
	}
	if len(fields) == 0 {
		c.faultf(t.at, "%s: the query builder selects no field", what)
		return "", false
	}
	var q strings.Builder
	q.WriteString("SELECT " + strings.Join(fields, ", ") + " FROM ")
	if policy := t.str("policy"); policy != "" && policy != "default" {
		fmt.Fprintf(&q, `"%s".`, policy)
	}
	if !strings.HasPrefix(measurement, "/") {
		measurement = `"` + measurement + `"`
	}
	q.WriteString(measurement + " WHERE ")
	for i, tag := range t.list("tags") {
		if i > 0 {
			q.WriteString(" " + orElse(tag.str("condition"), "AND") + " ")
		}
		operator, value := orElse(tag.str("operator"), "="), tag.str("value")
		if strings.HasPrefix(value, "/") && tag.str("operator") == "" {
			operator = "=~"
		}
		switch operator {
		case "=~", "!~", "<", ">", "<=", ">=":
		case "Is":
			operator = "="
		case "Is Not":
			operator = "!="
			value = "'" + strings.ReplaceAll(value, "'", `\'`) + "'"
		default:
			value = "'" + strings.ReplaceAll(value, "'", `\'`) + "'"
		}
		fmt.Fprintf(&q, `"%s" %s %s`, strings.TrimSuffix(tag.str("key"), "::tag"), operator, value)
	}
	if len(t.list("tags")) > 0 {
		q.WriteString(" AND ")
	}
	q.WriteString("$timeFilter")
	var groups []string
	fill := ""
	for _, g := range t.list("groupBy") {
		params := texts(g.list("params"))
		switch g.str("type") {
		case "time":
			if params[0] == "auto" {
				params[0] = "$__interval"
			}
			groups = append(groups, "time("+strings.Join(nonEmpty(params), ", ")+")")
		case "tag":
			groups = append(groups, `"`+strings.TrimSuffix(params[0], "::tag")+`"`)
		case "fill":
			fill = " fill(" + params[0] + ")"
		}
	}
	if len(groups) > 0 {
		q.WriteString(" GROUP BY " + strings.Join(groups, ", "))
	}
	q.WriteString(fill)
	if t.str("orderByTime") == "DESC" {
		q.WriteString(" ORDER BY time DESC")
	}
	for _, limit := range []string{"limit", "slimit"} {
		if n := t.get(limit); !n.absent() && n.text != "" {
			q.WriteString(" " + strings.ToUpper(limit) + " " + n.text)
		}
	}
	if tz := t.str("tz"); tz != "" {
		fmt.Fprintf(&q, " tz('%s')", tz)
	}
	return q.String(), true
}

// texts returns at least one text, so that a builder's part without its parameter gives a query that does not parse.
func texts(nodes []*node) []string {
	list := make([]string, max(1, len(nodes)))
	for i, n := range nodes {
		list[i] = n.text
	}
	return list
}

func nonEmpty(list []string) (kept []string) {
	for _, s := range list {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
