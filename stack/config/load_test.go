package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A path that is no readable file is told apart, and never blocks.
func TestWhatIsNoFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.Mkdir(path("folder"), 0o755),
		syscall.Mkfifo(path("pipe"), 0o644),
		os.WriteFile(path("large"), bytes.Repeat([]byte("# 50 MB\n"), 50<<20/8), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"missing": "there is no such file; write it, or name another with `pulumi config set velodrome:configFile PATH`",
		"folder":  "is a folder; name the file in it with `pulumi config set velodrome:configFile " + path("folder/config.yaml") + "`",
		"pipe":    "is a pipe and not a file; name a file with `pulumi config set velodrome:configFile PATH`",
		"large":   "is larger than 1 MiB, the most that is read; is it the right file?",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(path(name), Options{})
			if want := path(name) + ": " + want; err == nil || err.Error() != want {
				t.Errorf("got\n%v\nwant\n%s", err, want)
			}
		})
	}
}

// A project that the stack asks for and the file has not is named, with the
// setting and the nearest name.
func TestUnknownProjectInFilter(t *testing.T) {
	file := []byte("# projects\nprojects:\n  istio:\n  kubernetes:\n")
	for _, c := range []struct {
		only []string
		want string
	}{
		{[]string{"kuberntes", "istio"}, `config.yaml:2:1: the stack's velodrome:projects names "kuberntes", which is not in this file; did you mean "kubernetes"?`},
		{[]string{"beam"}, `config.yaml:2:1: the stack's velodrome:projects names "beam", which is not in this file; valid are "istio" and "kubernetes"`},
	} {
		_, err := Parse("config.yaml", file, Options{Only: c.only})
		if err == nil || err.Error() != c.want {
			t.Errorf("got\n%v\nwant\n%s", err, c.want)
		}
	}
}

// The filter takes projects out of the stack, and not out of the check.
func TestFilterIncludesOnlyWhatIsNamed(t *testing.T) {
	file := "projects:\n  istio:\n  kubernetes:\n"
	c, err := Parse("config.yaml", []byte(file), Options{Only: []string{"istio"}})
	if err != nil || len(c.Projects) != 1 || c.Projects[0].Name != "istio" {
		t.Errorf("%v, %v", c, err)
	}
	if _, err := Parse("config.yaml", []byte(file+"  Beam:\n"), Options{Only: []string{"istio"}}); err == nil {
		t.Error("a fault in a project that is not included goes unnoticed")
	}
}

// An error that comes up later can still name its place.
func TestPositionIsThatOfTheNearestKey(t *testing.T) {
	c := load(t, "testdata/all.good.yaml", Options{})
	for path, want := range map[string]string{
		"projects.everything.grafana.home-dashboard": "39:23",
		"projects.everything.grafana.dashboards[0]":  "38:20",
		"projects.everything.grafana.resources":      "36:5",
		"projects.nothing.grafana.home-dashboard":    "16:3",
		"projects.other":      "19:1",
		"nothing.of.the.kind": "1:1",
	} {
		if got := c.Position(path); got != "testdata/all.good.yaml:"+want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

// Each fault can be had by itself, for tools that show them in an editor.
func TestFaultsCanBeTakenApart(t *testing.T) {
	_, err := Parse("config.yaml", []byte("projects:\n  A: {domain: x}\n"), Options{})
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) != 2 {
		t.Fatalf("%v", err)
	}
	var f *Fault
	if !errors.As(joined.Unwrap()[1], &f) || f.Line != 2 || f.Column != 15 {
		t.Errorf("%+v", f)
	}
}

// Whatever a file holds, the answer comes within a second and 200 MB.
func TestHostileFilesAreCheap(t *testing.T) {
	fill := func(unit string) string { return strings.Repeat(unit, maxBytes/len(unit)) }
	block := func(text string) string {
		text = text[:min(len(text), maxBytes*9/10)]
		return "projects:\n  a:\n    prometheus:\n      prometheus-config.yml: |\n        " + strings.ReplaceAll(text, "\n", "\n        ") + "\n"
	}
	for name, text := range map[string]string{
		"keys without values":            "{" + fill("a,"),
		"lists in lists":                 fill("["),
		"lists in block lists":           fill("- "),
		"maps in maps":                   fill("{a: "),
		"explicit keys":                  fill("? "),
		"anchors":                        fill("&a "),
		"comments":                       fill("#\n"),
		"comments between":               fill("a:\n#\n"),
		"quotes":                         "projects: \"" + fill("\\n"),
		"tabs":                           "projects:\n" + fill("\t"),
		"blank lines":                    "projects: |\n" + fill("\n"),
		"duplicate keys":                 "projects:\n" + fill(" a:\n"),
		"unknown keys":                   "projects:\n a:\n" + fill("  abc:\n"),
		"projects":                       "projects:\n" + fill(" ab:\n"),
		"a long key":                     "projects:\n  " + fill("a") + ": {x: 1}",
		"a long value":                   "projects:\n  a: {domain: " + fill("a.") + "}",
		"prometheus: lists":              block("scrape_configs:\n" + fill("- {}\n")),
		"prometheus: fields":             block(fill("x: 1\n")),
		"prometheus: jobs":               block("scrape_configs:\n" + fill("- job_name: x\n")),
		"prometheus: durations":          block("scrape_configs:\n" + fill("- job_name: x\n  scrape_interval: y\n")),
		"prometheus: flow":               block("scrape_configs: " + fill("[")),
		"prometheus: expressions":        block("scrape_configs:\n- job_name: x\n  relabel_configs:\n" + fill("  - {regex: 'a{1000}b{1000}c{1000}d{1000}e{1000}f{1000}'}\n")),
		"prometheus: long regex":         block("scrape_configs:\n- job_name: x\n  relabel_configs:\n  - regex: '" + fill("(a|b)*") + "'\n"),
		"prometheus: many searches":      block(strings.Repeat("- ", 3) + "x\nscrape_configs:\n- job_name: x\n  relabel_configs:\n  - {regex: 'a{1000}b{10}c{10}'}\n" + strings.Repeat("- job_name: y\n  scrape_interval: z\n", 30)),
		"prometheus: searches":           block("scrape_configs:\n- job_name: x\n  relabel_configs:\n  - {target_label: x, regex: '" + strings.Repeat("a{1000}", 6) + "'}\n" + strings.Repeat("- job_name: y\n  scrape_interval: z\n", 30)),
		"prometheus: shared expressions": block("scrape_configs:\n- job_name: x\n  relabel_configs: &a\n" + strings.Repeat("  - {target_label: x, regex: 'a{1000}b'}\n", 4) + strings.Repeat("- job_name: y\n  relabel_configs: *a\n", 2000)),
		"prometheus: endless expression": block("scrape_configs:\n- job_name: x\n  relabel_configs:\n  - {target_label: x, regex: '" + fill("ab.")[:maxBytes*8/10] + "'}\n- job_name: y\n  scrape_interval: z\n"),
		"prometheus: targets":            block("scrape_configs:\n- job_name: x\n  static_configs:\n  - targets: [" + fill("a,") + "]\n"),
	} {
		t.Run(name, func(t *testing.T) {
			text := []byte(text[:min(len(text), maxBytes)])
			cheap(t, text)
			for _, share := range []int{2, 10, 20, 40} { // some of these pass the first bounds
				cheap(t, text[:len(text)/share])
			}
		})
	}
}

// cheap parses a text, and fails where that takes more than a second or 200 MB.
// The second is one of a processor, so that a busy machine gives the same answer.
func cheap(t *testing.T, text []byte) {
	t.Helper()
	for try := 1; ; try++ {
		spent, allocated := cost(func() { _, _ = Parse("config.yaml", text, Options{Zone: "k8s.io."}) })
		if spent < time.Second && allocated < 200<<20 {
			t.Logf("%v, %d MB", spent.Round(time.Millisecond), allocated>>20)
			return
		}
		if try == 2 {
			t.Fatalf("%d bytes take %v and %d MB", len(text), spent, allocated>>20)
		}
	}
}

// cost measures what a call takes: the process's time of processor, and all that
// it allocates, which is more than it ever holds at once.
func cost(call func()) (time.Duration, uint64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := processor()
	call()
	spent := processor() - start
	runtime.ReadMemStats(&after)
	return spent, after.TotalAlloc - before.TotalAlloc
}

func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// No file makes the loader panic, hang or fill the memory, and no fault is
// without its place.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		cheap(t, text)
		_, err := Parse("config.yaml", text, Options{})
		if err == nil {
			return
		}
		lines := 1
		for _, lineBreak := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
			lines += bytes.Count(text, []byte(lineBreak))
		}
		for _, e := range parts(err) {
			var fault *Fault
			if !errors.As(e, &fault) {
				continue // the line that counts the rest
			}
			if tooLarge := len(text) > maxBytes; !tooLarge && (fault.Line < 1 || fault.Line > lines || fault.Column < 1) {
				t.Errorf("a place that is not in the file: %v", fault)
			}
		}
	})
}

func parts(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
