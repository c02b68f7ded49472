package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"velodrome/stack"
)

// declaration is what one run of the program over mocks cost.
type declaration struct {
	Seconds   float64
	CPU       float64 // seconds of user and system time
	Allocated float64 // bytes in all
	Heap      float64 // bytes from the system at the end, which is the most that was needed
	Resources int
}

// mocks answer as a cloud would, as far as the program asks.
type mocks struct{ count chan struct{} }

func (m mocks) Call(pulumi.MockCallArgs) (resource.PropertyMap, error) {
	return resource.NewPropertyMapFromMap(map[string]any{
		"id": "zone", "name": "zone", "dnsName": "example.com.", "nameServers": []any{}, "visibility": "public", "description": "", "managedZoneId": 1.0,
	}), nil
}

func (m mocks) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	m.count <- struct{}{}
	out := args.Inputs.Copy()
	if strings.HasPrefix(args.TypeToken, "gcp:compute/address") {
		out["address"] = resource.NewStringProperty("203.0.113.7")
	}
	return args.Name + "-id", out, nil
}

// declareHere declares the projects of a file and prints what that cost.
func declareHere(repo, file string) error {
	if err := os.Chdir(repo); err != nil {
		return err
	}
	m := mocks{count: make(chan struct{})}
	var d declaration
	counted := make(chan struct{})
	go func() {
		for range m.count {
			d.Resources++
		}
		close(counted)
	}()
	began := time.Now()
	err := pulumi.RunErr(stack.Deploy, pulumi.WithMocks("velodrome", "bench", m), func(info *pulumi.RunInfo) {
		info.Config = map[string]string{
			"velodrome:configFile": file, "velodrome:gcpProject": "bench", "velodrome:gcpRegion": "us-central1",
			"velodrome:managedZone": "zone", "velodrome:secretKey": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
		}
		info.ConfigSecretKeys = []string{"velodrome:secretKey"}
	})
	if err != nil {
		return err
	}
	d.Seconds = time.Since(began).Seconds()
	close(m.count)
	<-counted
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return err
	}
	d.CPU = time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	d.Allocated, d.Heap = float64(memory.TotalAlloc), float64(memory.HeapSys)
	return json.NewEncoder(os.Stdout).Encode(d)
}

// medianDeclaration declares a file's projects three times, each in a process of its own,
// and returns the run whose time is in the middle.
func medianDeclaration(repo, self, file string) (declaration, error) {
	var runs []declaration
	for range 3 {
		_, out, err := timed(repo, nil, self, "-declare", file)
		if err != nil {
			return declaration{}, err
		}
		var d declaration
		if err := decode([]byte(out), &d); err != nil {
			return declaration{}, err
		}
		runs = append(runs, d)
	}
	slices.SortFunc(runs, func(a, b declaration) int { return cmp.Compare(a.Seconds, b.Seconds) })
	return runs[1], nil
}

// measureGraph declares 10, 100 and 1,000 projects.
func measureGraph(repo, work string) ([]row, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var rows []row
	var last declaration
	for _, n := range []int{10, 100, 1000} {
		file := filepath.Join(work, fmt.Sprintf("%d.yaml", n))
		if err := os.WriteFile(file, []byte(manyProjects(n)), 0o600); err != nil {
			return nil, err
		}
		d, err := medianDeclaration(repo, self, file)
		if err != nil {
			return nil, err
		}
		r := row{fmt.Sprintf("declare %d projects over mocks", n), "", fmt.Sprintf("%.2f s (%.2f s of CPU), %s allocated, %s of heap; %d resources", d.Seconds, d.CPU, mib(d.Allocated), mib(d.Heap), d.Resources), "`bench -only graph`: the median of three"}
		if last.Seconds > 0 {
			r.budget = "11 × the time and the memory of a tenth"
			r.measured += fmt.Sprintf(" (%.1f ×, CPU %.1f ×, %.1f ×, %.1f ×)", d.Seconds/last.Seconds, d.CPU/last.CPU, d.Allocated/last.Allocated, d.Heap/last.Heap)
		}
		rows, last = append(rows, r), d
	}
	return rows, nil
}

// manyProjects is a config.yaml of as many projects, each with all parts.
func manyProjects(n int) string {
	var b strings.Builder
	b.WriteString("projects:\n")
	for i := range n {
		fmt.Fprintf(&b, `  team-%04d:
    domain: team-%04d.example.com
    prometheus:
      prometheus-config.yml: |
        scrape_configs:
        - job_name: service
          static_configs:
          - targets: ['service-%d.example.com:9090']
`, i, i, i)
	}
	return b.String()
}

// measureBuild compares a build after an edit of one line in stack/ with the link alone.
func measureBuild(repo, work string) ([]row, error) {
	source := filepath.Join(repo, "stack", "stack.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return nil, err
	}
	target := filepath.Join(work, "program")
	build := func(edit string) (time.Duration, error) {
		edited, overlay := filepath.Join(work, "stack.go"), filepath.Join(work, "overlay.json")
		list, err := json.Marshal(map[string]any{"Replace": map[string]string{source: edited}})
		if err != nil {
			return 0, err
		}
		for path, content := range map[string][]byte{edited: append(text, edit...), overlay: list} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				return 0, err
			}
		}
		if err := os.RemoveAll(target); err != nil {
			return 0, err
		}
		took, _, err := timed(repo, nil, "go", "build", "-overlay", overlay, "-o", target, ".")
		return took, err
	}
	if _, err := build(""); err != nil { // the first one compiles what is missing
		return nil, err
	}
	var links, edits []time.Duration
	for range 5 {
		took, err := build("")
		if err != nil {
			return nil, err
		}
		links = append(links, took)
		if took, err = build(fmt.Sprintf("\nvar _ = %d // an edit\n", time.Now().UnixNano())); err != nil {
			return nil, err
		}
		edits = append(edits, took)
	}
	link, edit := median(links), median(edits)
	return []row{{"`go build` after an edit of one line in stack/", "1.3 × the link alone", fmt.Sprintf("%s, %.2f × the link's %s", seconds(edit), edit.Seconds()/link.Seconds(), seconds(link)), "`bench -only build`: the median of five of each"}}, nil
}

func median[T cmp.Ordered](d []T) T {
	slices.Sort(d)
	return d[len(d)/2]
}
