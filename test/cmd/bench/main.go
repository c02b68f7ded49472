// Command bench measures what people wait for, and what the local stack costs a
// machine, and prints it as a table beside the budgets. It judges nothing: on a machine
// that does something else too, the figures are those of the two together.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// row is one figure.
type row struct{ what, budget, measured, how string }

func main() {
	write := flag.Bool("write", false, "write docs/benchmarks.md")
	only := flag.String("only", "graph,build,local,data", "what to measure; cold, too, is everything from empty caches (half an hour)")
	declare := flag.String("declare", "", "for its own use: declare the projects of this file")
	paths := flag.String("load", "", "for its own use: put load on the servers of this file")
	flag.Parse()
	var err error
	if *paths != "" {
		err = load(*paths)
	} else {
		err = run(*write, strings.Split(*only, ","), *declare)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(write bool, only []string, declared string) error {
	repo, err := repository()
	if err != nil {
		return err
	}
	if declared != "" {
		return declareHere(repo, declared)
	}
	work, err := os.MkdirTemp("", "velodrome-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }() // a temporary folder
	var rows []row
	for _, part := range only {
		measure, ok := map[string]func(repo, work string) ([]row, error){
			"graph": measureGraph, "build": measureBuild, "local": measureLocal, "data": measureData, "cold": measureCold,
		}[part]
		if !ok {
			return fmt.Errorf("%q is not one of graph, build, local, data, cold", part)
		}
		fmt.Fprintln(os.Stderr, "measuring:", part)
		got, err := measure(repo, work)
		if err != nil {
			return fmt.Errorf("measure %s: %w", part, err)
		}
		rows = append(rows, got...)
	}
	text := page(rows)
	fmt.Print(text)
	if !write {
		return nil
	}
	return os.WriteFile(filepath.Join(repo, "docs", "benchmarks.md"), []byte(text), 0o644)
}

// page is docs/benchmarks.md.
func page(rows []row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What people wait for\n\nMeasured on %s: %s. Made anew by `make bench`.\n\n", time.Now().UTC().Format(time.DateOnly), machine())
	b.WriteString("| what | budget | measured | how |\n| --- | --- | --- | --- |\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.what, r.budget, r.measured, r.how)
	}
	return b.String()
}

func machine() string {
	total := "memory unknown"
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int
		if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kib); err == nil {
			total = fmt.Sprintf("%d GiB of memory", (kib+1<<19)>>20)
		}
	}
	load := ""
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = ", load " + strings.Fields(string(text))[0]
	}
	return fmt.Sprintf("%d cores, %s, %s %s/%s%s", runtime.NumCPU(), total, runtime.Version(), runtime.GOOS, runtime.GOARCH, load)
}

// repository is the folder that Pulumi.yaml is in, here or above.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "Pulumi.yaml")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no Pulumi.yaml in %s or above it", dir)
		}
	}
}

// timed runs a command in the repository and tells how long it took.
func timed(repo string, env []string, name string, args ...string) (time.Duration, string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = repo
	cmd.Env = append(os.Environ(), env...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if err != nil {
		return took, "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, log.String(), out.String())
	}
	return took, out.String() + log.String(), nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func mib(bytes float64) string { return fmt.Sprintf("%.0f MiB", bytes/(1<<20)) }

func decode(text []byte, into any) error {
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read %q: %w", text, err)
	}
	return nil
}
