package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// calm is how long the sites are left alone before their idle cost is looked at, and
// idle for how long that is looked at.
const calm, idle = 30 * time.Second, time.Minute

// bench is a local stack with a state and ports of its own.
type bench struct {
	repo, state, binary string
	env                 []string
}

func newBench(repo, work string) (*bench, error) {
	cache := os.Getenv("VELODROME_CACHE")
	if cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		cache = filepath.Join(base, "velodrome")
	}
	b := &bench{repo: repo, state: filepath.Join(work, "state"), binary: filepath.Join(cache, "bin", "velodrome-local")}
	b.env = []string{"VELODROME_STATE=" + b.state, "VELODROME_API_PORT=16593", "VELODROME_DNS_PORT=10193", "VELODROME_PORT_OFFSET=29000"}
	_, _, err := timed(repo, nil, "go", "build", "-C", "local", "-o", b.binary, ".")
	return b, err
}

func (b *bench) run(args ...string) (time.Duration, string, error) {
	return timed(b.repo, b.env, b.binary, args...)
}

// down takes everything away, and adds to err what went wrong at that.
func (b *bench) down(err *error) {
	if _, _, e := b.run("down"); e != nil {
		*err = errors.Join(*err, e)
	}
}

// byHand runs a line of shell as a user of the stack would, and returns what it printed.
func (b *bench) byHand(line string) (string, error) {
	_, out, err := timed(b.repo, b.env, "bash", "-euo", "pipefail", "-c", `eval "$(`+b.binary+` env 2>/dev/null)"; `+line)
	return strings.TrimSpace(out), err
}

func measureLocal(repo, work string) (rows []row, err error) {
	b, err := newBench(repo, work)
	if err != nil {
		return nil, err
	}
	defer b.down(&err)
	add := func(what, budget, measured, how string) { rows = append(rows, row{what, budget, measured, how}) }

	// What is missing is built, and the program compiled, before the clock starts.
	if _, _, err := b.run("preview"); err != nil {
		return nil, err
	}
	if _, _, err := b.run("down"); err != nil {
		return nil, err
	}
	took, out, err := b.run("up")
	if err != nil {
		return nil, err
	}
	add("from no cluster to answering URLs, with the cache", "45 s", seconds(took)+phases(out), "`make up`")
	if took, _, err = b.run("up"); err != nil {
		return nil, err
	}
	add("`make up` without changes", "5 s", seconds(took), "`make up` again")
	if took, err = b.change(); err != nil {
		return nil, err
	}
	add("a change of one line of config.yaml to its pod Ready", "20 s", seconds(took), "`scrape_interval` of a project, then `make up`")
	if rows, err = b.idleCost(rows); err != nil {
		return nil, err
	}
	if took, _, err = b.run("down"); err != nil {
		return nil, err
	}
	add("everything away", "15 s", seconds(took), "`make down`")
	return rows, nil
}

var phase = regexp.MustCompile(`(?m)^ *([0-9.]+)s  (pulumi up|waiting for cluster DNS|up)$`)

// phases says when the parts of an `up` began.
func phases(out string) string {
	var list []string
	for _, m := range phase.FindAllStringSubmatch(out, -1) {
		list = append(list, fmt.Sprintf("%s at %s", strings.TrimPrefix(m[2], "waiting for "), m[1]))
	}
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

// change edits one line of a copy of config.yaml and brings it up.
func (b *bench) change() (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(b.repo, "config.yaml"))
	if err != nil {
		return 0, err
	}
	file := filepath.Join(b.state, "config.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return 0, err
	}
	if _, err := b.byHand("pulumi config set velodrome:configFile " + file + " --stack local"); err != nil {
		return 0, err
	}
	if _, _, err := b.run("up"); err != nil {
		return 0, err
	}
	changed := strings.Replace(string(text), "scrape_interval: 1m", "scrape_interval: 2m", 1)
	if changed == string(text) {
		return 0, errors.New("config.yaml has no line `scrape_interval: 1m` to change")
	}
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		return 0, err
	}
	took, out, err := b.run("up")
	if err == nil && !strings.Contains(out, "prometheus") {
		err = errors.New("the change changed nothing")
	}
	return took, err
}

// idleCost looks at the processes of the cluster, the daemon and the pods included.
func (b *bench) idleCost(rows []row) ([]row, error) {
	time.Sleep(calm)
	before, err := b.usage()
	if err != nil {
		return rows, err
	}
	time.Sleep(idle)
	after, err := b.usage()
	if err != nil {
		return rows, err
	}
	var used float64
	most := []string{}
	for name, s := range after.cpu {
		d := (s - before.cpu[name]).Seconds() / idle.Seconds() * 100
		used += d
		if d >= 0.3 {
			most = append(most, fmt.Sprintf("%s %.1f", name, d))
		}
	}
	return append(rows,
		row{"memory of two projects and all else", "4 GiB", fmt.Sprintf("%.2f GiB", after.memory/(1<<30)), "the processes' proportional shares (PSS)"},
		row{"CPU when idle", "10 % of one core", fmt.Sprintf("%.1f %% (%s)", used, strings.Join(most, ", ")), "user and system time of the processes over a minute"}), nil
}

type usage struct {
	memory float64 // bytes
	cpu    map[string]time.Duration
}

// daemon is what the cluster says of itself.
type daemon struct {
	Init int // the process that holds its namespaces
}

func (b *bench) daemon() (daemon, error) {
	var d daemon
	text, err := os.ReadFile(filepath.Join(b.state, "cluster", "daemon.json"))
	if err == nil {
		err = decode(text, &d)
	}
	return d, err
}

// usage sums up the processes in the cluster's pid namespace, and its daemon. What
// processes have used that lived between two looks is in their parents' sums.
func (b *bench) usage() (usage, error) {
	u := usage{cpu: map[string]time.Duration{}}
	daemon, err := b.daemon()
	if err != nil {
		return u, err
	}
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", daemon.Init))
	if err != nil {
		return u, err
	}
	pid, err := os.ReadFile(filepath.Join(b.state, "cluster", "daemon.pid"))
	if err != nil {
		return u, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return u, err
	}
	for _, e := range entries {
		dir := filepath.Join("/proc", e.Name())
		if own, err := os.Readlink(filepath.Join(dir, "ns/pid")); (err != nil || own != namespace) && e.Name() != strings.TrimSpace(string(pid)) {
			continue
		}
		// One that has just ended costs nothing any more.
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue
		}
		u.cpu[name(dir)] += cpuTime(string(stat))
		if rollup, err := os.ReadFile(filepath.Join(dir, "smaps_rollup")); err == nil {
			u.memory += pss(string(rollup))
		}
	}
	return u, nil
}

// name is what a person calls a process.
func name(dir string) string {
	line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil || len(line) == 0 {
		return "?"
	}
	words := strings.Split(string(line), "\x00")
	base := filepath.Base(words[0])
	if base == "kube" && len(words) > 1 {
		return words[1]
	}
	if base == "velodrome-local" || base == "exe" {
		return "daemon"
	}
	return strings.Fields(strings.TrimSuffix(base, ":") + " ")[0]
}

// cpuTime reads a process's own time and that of its children that have ended.
func cpuTime(stat string) time.Duration {
	_, rest, _ := strings.Cut(stat, ") ")
	f := strings.Fields(rest)
	var ticks int64
	for i := 11; i <= 14 && i < len(f); i++ {
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err == nil {
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// pss reads a process's proportional share of the memory, in bytes.
func pss(rollup string) float64 {
	for line := range strings.Lines(rollup) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "Pss:" {
			if kib, err := strconv.ParseFloat(f[1], 64); err == nil {
				return kib * 1024
			}
		}
	}
	return 0
}

var built = regexp.MustCompile(`(?m)^\[\d+/\d+\] (.*): ready after (.*)$`)

// measureCold brings everything up from empty caches, on the disk of $TMPDIR.
func measureCold(repo, work string) (rows []row, err error) {
	b, err := newBench(repo, work)
	if err != nil {
		return nil, err
	}
	for variable, folder := range map[string]string{"VELODROME_CACHE": "cache", "GOCACHE": "gocache", "GOMODCACHE": "gomod"} {
		b.env = append(b.env, variable+"="+filepath.Join(work, folder))
	}
	b.env = append(b.env, "GOFLAGS=-modcacherw")
	defer b.down(&err)
	took, out, err := b.run("up")
	if err != nil {
		return nil, err
	}
	rows = append(rows, row{"from nothing but a Go toolchain to answering URLs", "30 min", took.Round(time.Second).String(), "`bench -only cold`: `make up` with empty caches"})
	for _, m := range built.FindAllStringSubmatch(out, -1) {
		rows = append(rows, row{"– of it: " + m[1], "", m[2], "two builds at a time"})
	}
	return rows, nil
}
