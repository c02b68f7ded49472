// Package dashboard reads Grafana dashboards from files and checks them before anything is deployed.
//
// A dashboard that Grafana cannot load, or whose queries name a data source that the project does not have,
// shows itself only when somebody opens the page. Here it is an error of the preview instead, with its file,
// line and column.
package dashboard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The plugin ids of the data sources that a project can have.
const (
	Prometheus = "prometheus"
	InfluxDB   = "influxdb"
)

// maxSize is the most bytes that one file may have. Dashboards travel in a ConfigMap, which holds 1 MiB with
// its keys and metadata.
const maxSize = 1_000_000

// Source is a Grafana data source of the project.
type Source struct {
	UID  string // fixed, as provisioned; what dashboards name
	Name string // display name; old dashboards name a source by it. Empty: same as UID
	Type string // Prometheus or InfluxDB
}

// Sources says which data sources a project has.
type Sources struct {
	List []Source
	// Default is the uid of the source that a panel without one asks. Empty: such a panel is a fault.
	Default string
	// Shipped is the folder of the dashboards that come with Velodrome. They are written for a project that has
	// everything: when that folder itself is loaded, queries, variables and annotations that ask a source
	// which the project lacks are taken out, and so are the panels, sections and dashboards that are empty
	// then, and a dashboard whose "__requires" names such a source. Any other path, also a single file of that folder, was named on purpose, and must fit as it is.
	// Empty: no such folder.
	Shipped string
}

// Dashboard is one checked dashboard.
type Dashboard struct {
	UID   string
	Title string
	File  string // as reached from the path given to Load
	JSON  []byte // the bytes of the file, less what Sources.Shipped takes out
}

// Load reads the dashboards at paths, in order, and checks them. A path is a JSON file, or a folder, which
// stands for its *.json files sorted by name. A file that is reached twice counts once.
// The error holds every fault of every file, one a line, as `FILE:LINE:COLUMN: message`.
func Load(paths []string, sources Sources) ([]Dashboard, error) {
	files, faults := expand(paths, sources.Shipped)
	var all []Dashboard
	uids, titles := map[string]string{}, map[string]string{}
	for _, f := range files {
		raw, err := read(f.path)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		c := newChecker(f.path, raw, sources, f.shipped)
		d, ok := c.dashboard()
		if d.UID != "" {
			c.unique(uids, "uid", d.UID)
		}
		if d.Title != "" {
			c.unique(titles, "title", d.Title)
		}
		faults = append(faults, c.errors()...)
		if ok {
			all = append(all, d)
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return all, nil
}

type file struct {
	path    string
	shipped bool
}

// expand lists the files that paths stand for.
func expand(paths []string, shipped string) (files []file, faults []error) {
	add := func(f file) {
		i := slices.IndexFunc(files, func(other file) bool { return other.path == f.path })
		switch {
		case i < 0:
			files = append(files, f)
		case !f.shipped:
			files[i].shipped = false
		}
	}
	for _, path := range paths {
		path = filepath.Clean(path)
		info, err := os.Stat(path)
		if err != nil {
			faults = append(faults, unreadable(path, err))
			continue
		}
		if !info.IsDir() {
			add(file{path: path})
			continue
		}
		names, err := filepath.Glob(filepath.Join(escapeGlob(path), "*.json"))
		if err != nil {
			faults = append(faults, unreadable(path, err))
			continue
		}
		if len(names) == 0 {
			faults = append(faults, fmt.Errorf("%s: the folder holds no *.json file", path))
		}
		for _, name := range names {
			add(file{path: name, shipped: shipped != "" && path == filepath.Clean(shipped)})
		}
	}
	return files, faults
}

// escapeGlob makes a path mean itself in a pattern.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// unreadable says why a path cannot be read, without the name of the system call.
func unreadable(path string, err error) error {
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// read returns the content of a regular file of bounded size; opening a pipe would wait for ever.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, unreadable(path, err)
	}
	if len(raw) > maxSize {
		return nil, fmt.Errorf("%s: more than %d bytes; dashboards are kept in a ConfigMap, which holds 1 MiB", path, maxSize)
	}
	return bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")), nil
}
