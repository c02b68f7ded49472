package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hierarchy is one tree of control groups: the one of version 2, or one of the
// several of version 1.
type hierarchy struct {
	Mount   string   // where it is mounted
	Version int      // 1 or 2
	Control []string // version 1: its controllers
}

// partsGroup is the group, below the cluster's own, of the cluster's processes
// themselves. Pods are in others: in version 2 only a group without processes can
// have groups with limits below it.
const partsGroup = "parts"

// groupsRoot is where control groups are mounted; what is mounted elsewhere is a
// second view of the same.
const groupsRoot = "/sys/fs/cgroup"

// unified tells whether a hierarchy is the one of version 2 that has the
// controllers. Beside those of version 1 there can be one that has none.
func (h hierarchy) unified() bool { return h.Version == 2 && h.Mount == groupsRoot }

// hierarchies finds the control groups in the text of /proc/self/mountinfo.
func hierarchies(mountinfo string) []hierarchy {
	var out []hierarchy
	for line := range strings.Lines(mountinfo) {
		front, back, ok := strings.Cut(strings.TrimSpace(line), " - ")
		f, b := strings.Fields(front), strings.Fields(back)
		if !ok || len(f) < 5 || len(b) < 3 {
			continue
		}
		h := hierarchy{Mount: unescapeMount(f[4])}
		switch b[0] {
		case "cgroup":
			h.Version, h.Control = 1, strings.Split(b[2], ",")
		case "cgroup2":
			h.Version = 2
		default:
			continue
		}
		if h.Mount != groupsRoot && !strings.HasPrefix(h.Mount, groupsRoot+"/") {
			continue
		}
		if !slices.ContainsFunc(out, func(o hierarchy) bool { return o.Mount == h.Mount }) {
			out = append(out, h)
		}
	}
	return out
}

// unescapeMount undoes the kernel's \040 and the like.
func unescapeMount(s string) string {
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i+4 > len(s) {
			return s
		}
		n, err := strconv.ParseUint(s[i+1:i+4], 8, 8)
		if err != nil {
			return s
		}
		s = s[:i] + string(rune(n)) + s[i+4:]
	}
}

func hostHierarchies() ([]hierarchy, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("look for control groups: %w", err)
	}
	found := hierarchies(string(b))
	if len(found) == 0 {
		return nil, errors.New("no control groups are mounted at /sys/fs/cgroup; a container needs --privileged with the host's cgroups")
	}
	return found, nil
}

// makeGroups makes the cluster's group in every hierarchy.
func makeGroups(name string) error {
	all, err := hostHierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		dir := filepath.Join(h.Mount, name)
		if h.unified() {
			if err := enableControllers(h.Mount); err != nil {
				return err
			}
		}
		for _, d := range []string{dir, filepath.Join(dir, partsGroup)} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return fmt.Errorf("make control group: %w", err)
			}
			if slices.Contains(h.Control, "cpuset") {
				// A new group may use no processor until it is told which.
				if err := inheritCPUs(d); err != nil {
					return fmt.Errorf("make control group: %w", err)
				}
			}
			if h.unified() && d == dir {
				if err := enableControllers(d); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// enableControllers lets the groups below a group of version 2 have limits.
func enableControllers(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("read the controllers of control group: %w", err)
	}
	on, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	if err != nil {
		return fmt.Errorf("read the controllers of control group: %w", err)
	}
	for _, c := range strings.Fields(string(b)) {
		if slices.Contains(strings.Fields(string(on)), c) || !slices.Contains([]string{"cpu", "cpuset", "io", "memory", "pids", "hugetlb"}, c) {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0o644); err != nil && c != "io" {
			return fmt.Errorf("allow %s limits in control group %s: %w (in a container, move its processes into a group of their own first)", c, dir, err)
		}
	}
	return nil
}

func inheritCPUs(dir string) error {
	for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), f))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, f), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// joinGroups moves the calling process, and with it all that it will start, into
// the group of the cluster's processes.
func joinGroups(name string) error {
	all, err := hostHierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		f := filepath.Join(h.Mount, name, partsGroup, "cgroup.procs")
		if err := os.WriteFile(f, []byte("0"), 0o644); err != nil {
			return fmt.Errorf("enter control group: %w", err)
		}
	}
	return nil
}

// removeGroups ends every process in the cluster's groups and removes the groups.
// Where there are none it does nothing.
func removeGroups(name string, patience time.Duration) error {
	all, err := hostHierarchies()
	if err != nil {
		return nil // nothing mounted, nothing left
	}
	deadline := time.Now().Add(patience)
	for {
		var errs []error
		for _, h := range all {
			errs = append(errs, removeGroup(filepath.Join(h.Mount, name)))
		}
		err := errors.Join(errs...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond) // the kernel takes a moment to let go of a group
	}
}

func removeGroup(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			dirs = append(dirs, p)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look into control group: %w", err)
	}
	var errs []error
	for _, d := range slices.Backward(dirs) { // the deepest first
		killGroup(d)
		if err := unix.Rmdir(d); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove control group %s: %w", d, err))
		}
	}
	return errors.Join(errs...)
}

// killGroup ends the processes of one group. That some are gone already, or cannot
// be ended, shows when the group cannot be removed.
func killGroup(dir string) {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return
	}
	for _, f := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(f); err == nil && pid > 1 {
			_ = unix.Kill(pid, unix.SIGKILL) // see above
		}
	}
}

// leftovers lists the groups of the cluster that are there.
func leftovers(name string) []string {
	all, err := hostHierarchies()
	if err != nil {
		return nil
	}
	var out []string
	for _, h := range all {
		if _, err := os.Stat(filepath.Join(h.Mount, name)); err == nil {
			out = append(out, filepath.Join(h.Mount, name))
		}
	}
	return out
}
