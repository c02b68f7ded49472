// Package config reads config.yaml, the one file in which a Velodrome's
// projects are declared, and reports every fault in it at once.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Settings of the stack that messages name.
const (
	// PathSetting is the setting that holds the path of config.yaml.
	PathSetting = "velodrome:configFile"

	// OnlySetting is the setting that holds the projects of the stack.
	OnlySetting = "velodrome:projects"

	// ZoneSetting is the setting that holds the name of the managed zone.
	ZoneSetting = "velodrome:managedZone"
)

// Options are what the stack knows and the file does not.
type Options struct {
	// Zone is the DNS name of the stack's managed zone, such as `k8s.io.`.
	// Empty: there is none, and no domain is compared with it.
	Zone string

	// Only names the projects that the stack includes (OnlySetting).
	// Empty: all. The whole file is checked all the same.
	Only []string
}

// Config is a file that is sound, with every default filled in.
type Config struct {
	// Projects by name, in the order of their names.
	Projects []Project

	// Names are those of all projects of the file, also of those that the stack
	// does not include.
	Names []string

	// Warnings are what the user should know of, though it does not stop them.
	// Each begins with the place that it is about.
	Warnings []string

	file string
	at   map[string]place
}

// Position is `config.yaml:LINE:COLUMN` of a path such as
// `projects.kubernetes.grafana.home-dashboard`, or of the nearest thing above
// it that the file sets: for errors that come up later.
func (c *Config) Position(path string) string {
	at := nearestPlace(c.at, path)
	return fmt.Sprintf("%s:%d:%d", c.file, at.line, at.column)
}

// nearestPlace is where a path is set, or else where what holds it is.
func nearestPlace(places map[string]place, path string) place {
	for path != "" {
		if at, ok := places[path]; ok {
			return at
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return place{1, 1}
}

// Load reads a file and checks it, and that the dashboards it names exist. The
// error joins all faults, each a *Fault.
func Load(path string, opts Options) (*Config, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return parse(path, data, opts, func(p *Project, c *checker) {
		locate(p, c, filepath.Dir(path))
	})
}

// Parse checks the content of a file; name is what its faults call it.
func Parse(name string, data []byte, opts Options) (*Config, error) {
	return parse(name, data, opts, func(*Project, *checker) {})
}

// read reads a regular file of bounded size.
func read(path string) ([]byte, error) {
	fault := func(format string, args ...any) error {
		return &Fault{File: path, Message: fmt.Sprintf(format, args...)}
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault("there is no such file; write it, or name another with `pulumi config set %s PATH`", PathSetting)
	case err != nil:
		return nil, fault("cannot be read: %v", errors.Unwrap(err))
	case info.IsDir():
		return nil, fault("is a folder; name the file in it with `pulumi config set %s %s`", PathSetting, filepath.Join(path, "config.yaml"))
	case !info.Mode().IsRegular():
		return nil, fault("is a %s and not a file; name a file with `pulumi config set %s PATH`", kindOfFile(info.Mode()), PathSetting)
	case info.Size() > maxBytes:
		return nil, tooLarge(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fault("cannot be read: %v", errors.Unwrap(err))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fault("cannot be read: %v", err)
	}
	return data, nil
}

func tooLarge(name string) error {
	return &Fault{File: name, Message: "is larger than 1 MiB, the most that is read; is it the right file?"}
}

func kindOfFile(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

// parse does the work of Load and Parse; each is called for every project.
func parse(name string, data []byte, opts Options, each func(*Project, *checker)) (*Config, error) {
	if len(data) > maxBytes {
		return nil, tooLarge(name)
	}
	f := newFaults(name)
	root := parseYAML(f, data)
	if err := f.err(); err != nil {
		return nil, err
	}
	if root == nil {
		f.add(place{1, 1}, "empty", "the file is empty, it needs a map `projects` with at least one project")
		return nil, f.err()
	}
	d := &decoder{faults: f, at: map[string]place{}, nodes: map[string]*yaml.Node{}, broken: map[string]bool{}}
	projects := d.file(root)
	c := &checker{decoder: d, lines: strings.Split(string(data), "\n"), zone: opts.Zone}
	for i := range projects {
		c.project(&projects[i])
		each(&projects[i], c)
	}
	c.unique(projects)
	c.filter(projects, opts.Only)
	if err := f.err(); err != nil {
		return nil, err
	}
	var names []string
	for _, p := range projects {
		names = append(names, p.Name)
	}
	included := slices.DeleteFunc(projects, func(p Project) bool {
		return len(opts.Only) > 0 && !slices.Contains(opts.Only, p.Name)
	})
	return &Config{Projects: included, Names: names, Warnings: c.warnings(name), file: name, at: d.at}, nil
}

// file decodes the whole file, and the defaults below each project.
func (d *decoder) file(root *yaml.Node) []Project {
	pairs, _ := d.pairs(root, "the file", validKeys(reflect.TypeFor[File]()))
	var defaults, projects *yaml.Node
	at := placeOf(root)
	for _, p := range pairs {
		switch p.key {
		case "defaults":
			defaults = resolve(p.value)
		case "projects":
			projects, at = resolve(p.value), p.place
			d.at["projects"] = at
		case "repositories", "metrics":
			d.ignored = append(d.ignored, ignored{p.key, p.place})
		default:
			d.unknown(p, "the file", reflect.TypeFor[File]())
		}
	}
	below := layers{}
	if !isNull(defaults) {
		d.value(layers{defaults}, reflect.ValueOf(&Settings{}).Elem(), "defaults")
		below = layers{d.settings(defaults)}
	}
	if root.Kind != yaml.MappingNode {
		return nil
	}
	return d.projects(projects, at, below)
}

// settings are the defaults without what does not belong there.
func (d *decoder) settings(n *yaml.Node) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}
	if n.Kind != yaml.MappingNode {
		return out
	}
	fields := fieldsOf(reflect.TypeFor[Settings]())
	pairs, _ := d.pairs(n, "defaults", nil)
	for _, p := range pairs {
		if _, ok := fields[p.key]; ok {
			key := &yaml.Node{Kind: yaml.ScalarNode, Value: p.key, Line: p.place.line, Column: p.place.column}
			out.Content = append(out.Content, key, p.value)
		}
	}
	return out
}

func (d *decoder) projects(n *yaml.Node, at place, defaults layers) []Project {
	if isNull(n) {
		d.faults.add(at, "projects", "there are no projects, name at least one under the key `projects`")
		return nil
	}
	pairs, ok := d.pairs(n, "projects", nil)
	if ok && len(pairs) == 0 {
		d.faults.add(at, "projects", "there are no projects, name at least one under the key `projects`")
	}
	out := make([]Project, 0, len(pairs))
	for _, p := range pairs {
		path := join("projects", p.key)
		d.at[path] = p.place
		project := Project{}
		if in := append(notNull(layers{p.value}), defaults...); len(in) > 0 {
			d.value(in, reflect.ValueOf(&project).Elem(), path)
		}
		project.Name = p.key
		out = append(out, project)
	}
	slices.SortFunc(out, func(a, b Project) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// locate joins the dashboards' paths to the folder of config.yaml and looks
// whether they are there.
func locate(p *Project, c *checker, dir string) {
	for i, path := range p.Grafana.Dashboards {
		at := fmt.Sprintf("projects.%s.grafana.dashboards[%d]", p.Name, i)
		full := string(path)
		if !filepath.IsAbs(full) {
			full = filepath.Join(dir, full)
		}
		p.Grafana.Dashboards[i] = Path(full)
		info, err := os.Stat(full)
		switch {
		case path == "":
		case err != nil:
			c.fault(at, "path", "there is no %s, give a JSON file or a folder, relative to config.yaml", quote(full))
		case !info.IsDir() && !info.Mode().IsRegular():
			c.fault(at, "path", "%s is neither a file nor a folder, give one of these", quote(full))
		case !info.IsDir() && filepath.Ext(full) != ".json":
			c.fault(at, "path", "the name of %s does not end in .json, give a JSON file or a folder", quote(full))
		}
	}
}
