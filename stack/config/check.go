package config

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

var (
	projectRE  = regexp.MustCompile(ProjectName)
	databaseRE = regexp.MustCompile(DatabaseName)
)

// checker checks what one value alone does not show.
type checker struct {
	*decoder
	lines  []string // of the file
	zone   string
	warned []warning
	prom   map[string]promResult // by text
}

type warning struct {
	at      place
	message string
}

func (c *checker) fault(path, kind, format string, args ...any) {
	c.faults.add(nearestPlace(c.at, path), kind, c.source(path)+": "+fmt.Sprintf(format, args...))
}

// source is the path under which a value is written: that of the defaults where
// a project has it from there.
func (c *checker) source(path string) string {
	parts := strings.SplitN(path, ".", 3)
	if len(parts) < 3 || parts[0] != "projects" {
		return path
	}
	theirs := "defaults." + parts[2]
	if at, ok := c.at[theirs]; ok && at == c.at[path] {
		return theirs
	}
	return path
}

// project checks a project and fills in its defaults.
func (c *checker) project(p *Project) {
	path := join("projects", p.Name)
	c.name(p.Name, path)
	c.domain(p.Domain, path+".domain")
	c.databases(p.InfluxDB.Databases, path+".influxdb.databases")
	c.plugins(p.Grafana.Plugins, path+".grafana.plugins")
	if c.defaultsOnly(p.Prometheus, path+".prometheus") {
		p.Prometheus = nil
	}
	written := *p
	*p = Defaults(*p)
	c.smtp(written, path+".grafana.smtp")
	c.storage(p.InfluxDB.Storage, path+".influxdb.storage")
	c.storage(p.Grafana.Storage, path+".grafana.storage")
	c.resources(p.InfluxDB.Resources, path+".influxdb.resources")
	c.resources(p.Grafana.Resources, path+".grafana.resources")
	if p.Prometheus != nil {
		c.storage(p.Prometheus.Storage, path+".prometheus.storage")
		c.resources(p.Prometheus.Resources, path+".prometheus.resources")
		c.retention(*p.Prometheus, path+".prometheus.retention-size")
		c.prometheus(p.Prometheus.Config, path+".prometheus.prometheus-config.yml")
	}
}

// defaultsOnly tells whether a project has no Prometheus of its own, and the
// defaults only say what one would be like.
func (c *checker) defaultsOnly(p *Prometheus, path string) bool {
	config := path + "." + prometheusKey
	return p != nil && c.nodes[config] == nil && !c.broken[config] && strings.HasPrefix(c.source(path), "defaults.")
}

func (c *checker) name(name, path string) {
	if projectRE.MatchString(name) {
		return
	}
	wayOut := `write one such as "kubernetes"`
	if s := suggestName(name); s != "" {
		wayOut = fmt.Sprintf("write %q", s)
	}
	c.faults.add(nearestPlace(c.at, path), "name", fmt.Sprintf("%s cannot be the name of a project: that is 1 to 53 lower-case letters, digits and hyphens, begins with a letter and ends with a letter or digit, because velodrome-NAME names a namespace and an address, of 63 at most; %s", quote(name), wayOut))
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// suggestName is the valid name nearest to one that is not.
func suggestName(name string) string {
	s := notInName.ReplaceAllString(strings.ToLower(name[:min(len(name), 256)]), "-")
	s = strings.Trim(s, "-")
	if s != "" && s[0] <= '9' {
		s = "p-" + s
	}
	return strings.Trim(s[:min(len(s), 53)], "-")
}

func (c *checker) domain(domain Domain, path string) {
	zone := strings.ToLower(strings.TrimSuffix(c.zone, "."))
	if domain == "" || zone == "" || string(domain) == zone || strings.HasSuffix(string(domain), "."+zone) {
		return
	}
	c.fault(path, "zone", "%q does not lie in the stack's managed zone %q, give a name in it, take the key out, or name another zone with `pulumi config set %s`", domain, zone, ZoneSetting)
}

func (c *checker) databases(databases map[string]Database, path string) {
	for name := range databases {
		if !databaseRE.MatchString(name) || name == "_internal" {
			c.fault(join(path, name), "database", "%s is not the name of a database, give 1 to 64 letters, digits, \"_\", \"-\" and \".\", beginning with a letter or digit", quote(name))
		}
	}
}

func (c *checker) plugins(plugins []Plugin, path string) {
	for i, p := range plugins {
		first := slices.IndexFunc(plugins, func(q Plugin) bool { return q.ID() == p.ID() })
		if first < i && p != "" {
			c.fault(fmt.Sprintf("%s[%d]", path, i), "twice", "the plugin %q is in the list already, keep one of them", p.ID())
		}
	}
}

func (c *checker) smtp(p Project, path string) {
	if p.Grafana.SMTP == nil {
		return
	}
	if c.broken[path] {
		return
	}
	if _, ok := c.at[path+".host"]; !ok {
		c.fault(path, "host", "the key \"host\" is missing, give host:port, such as \"smtp.sendgrid.net:2525\"")
	}
	if _, ok := c.at[path+".from-address"]; !ok && p.Domain == "" {
		c.fault(path, "from", "the key \"from-address\" is missing, and there is no domain to make it from; give an address such as \"grafana@k8s.io\"")
	}
}

func (c *checker) storage(size Bytes, path string) {
	if v, ok := quantity(string(size)); ok && v.Cmp(gibibytes(1)) < 0 {
		c.fault(path, "small", "%q is too small for a volume, give \"1Gi\" or more", size)
	}
}

func gibibytes(n int64) *big.Rat { return big.NewRat(n<<30, 1) }

func (c *checker) resources(r Resources, path string) {
	c.memory(r.Requests.Memory, path+".requests.memory")
	c.memory(r.Limits.Memory, path+".limits.memory")
	c.atMost(string(r.Requests.CPU), string(r.Limits.CPU), path, "cpu")
	c.atMost(string(r.Requests.Memory), string(r.Limits.Memory), path, "memory")
}

func (c *checker) memory(size Bytes, path string) {
	v, ok := quantity(string(size))
	if !ok || v.Cmp(big.NewRat(1<<20, 1)) >= 0 {
		return
	}
	c.fault(path, "small", "%q is less than 1Mi of memory, %s", size, memoryWayOut(string(size)))
}

func memoryWayOut(size string) string {
	if digits, ok := strings.CutSuffix(size, "m"); ok {
		return fmt.Sprintf("as m stands for a thousandth; write %q", digits+"Mi")
	}
	return `give a number with a unit, such as "512Mi"`
}

func (c *checker) atMost(request, limit, path, what string) {
	if less(limit, request) {
		c.fault(path+".requests."+what, "limit", "the request %q is more than the limit %q, lower it or raise %s.limits.%s", request, limit, path, what)
	}
}

func (c *checker) retention(p Prometheus, path string) {
	v, ok := quantity(string(p.Storage))
	size := p.RetentionSize.bytes()
	switch {
	case !ok || p.RetentionSize == "":
	case new(big.Rat).SetInt(size).Cmp(v) >= 0:
		c.fault(path, "size", "%q does not fit on the volume of %q, give %q or less, or raise storage", p.RetentionSize, p.Storage, share(p.Storage))
	}
}

// unique checks that no two projects have the same domain or address.
func (c *checker) unique(projects []Project) {
	domains, ips := map[string]string{}, map[string]string{}
	for _, p := range c.inOrder(projects) {
		c.once(domains, string(p.Domain), p.Name, ".domain", "domain")
		c.once(ips, string(p.Nginx.PublicIP), p.Name, ".nginx.public-ip", "address")
	}
}

// inOrder sorts projects by their place in the file, so that of two the later
// one is at fault.
func (c *checker) inOrder(projects []Project) []Project {
	out := slices.Clone(projects)
	slices.SortStableFunc(out, func(a, b Project) int {
		return c.at[join("projects", a.Name)].line - c.at[join("projects", b.Name)].line
	})
	return out
}

func (c *checker) once(seen map[string]string, value, project, key, what string) {
	if value == "" {
		return
	}
	if first, ok := seen[value]; ok {
		path := join("projects", project) + key
		c.faults.add(nearestPlace(c.at, path), "twice "+project, fmt.Sprintf("%s: %q is the %s of the project %q already, give each its own", path, value, what, first))
		return
	}
	seen[value] = project
}

// filter checks that the projects of the stack are in the file.
func (c *checker) filter(projects []Project, only []string) {
	names := make([]string, len(projects))
	for i, p := range projects {
		names[i] = p.Name
	}
	if len(names) == 0 {
		return
	}
	for _, name := range only {
		if !slices.Contains(names, name) {
			c.faults.add(nearestPlace(c.at, "projects"), "only "+name, fmt.Sprintf("the stack's %s names %s, which is not in this file; %s", OnlySetting, quote(name), didYouMean(name, names)))
		}
	}
}

func (c *checker) warn(path, format string, args ...any) {
	c.warned = append(c.warned, warning{nearestPlace(c.at, path), path + ": " + fmt.Sprintf(format, args...)})
}

// warnings are those of the checks, and one for all keys that are ignored.
func (c *checker) warnings(file string) []string {
	var names []string
	var first place
	for _, i := range c.ignored {
		if len(names) == 0 || i.at.line < first.line {
			first = i.at
		}
		if !slices.Contains(names, i.key) {
			names = append(names, i.key)
		}
	}
	slices.Sort(names)
	all := c.warned
	if len(names) > 0 {
		all = append(all, warning{first, fmt.Sprintf("ignored: %s, here and below; the pipeline of GitHub statistics that read this was removed in 2020, and it can be taken out", list(names))})
	}
	slices.SortStableFunc(all, func(a, b warning) int { return a.at.line - b.at.line })
	var out []string
	for _, w := range all {
		if text := fmt.Sprintf("%s:%d:%d: %s", file, w.at.line, w.at.column, w.message); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}
