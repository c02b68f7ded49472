package dashboard

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the messages of testdata/bad anew")

// all is a project that has every kind of data source.
var all = Sources{
	List: []Source{
		{UID: "prometheus", Name: "Prometheus", Type: Prometheus},
		{UID: "influxdb-github", Type: InfluxDB},
		{UID: "influxdb-monitoring", Type: InfluxDB},
		{UID: "influxdb-_internal", Type: InfluxDB},
	},
	Default: "prometheus",
}

// less returns a project without the sources of the given uids.
func less(s Sources, uids ...string) Sources {
	var list []Source
	for _, source := range s.List {
		if !strings.Contains(" "+strings.Join(uids, " ")+" ", " "+source.UID+" ") {
			list = append(list, source)
		}
	}
	s.List = list
	return s
}

// TestFaultsAreNamedWithTheirPlace compares all messages of each bad file with those in the .txt beside it.
func TestFaultsAreNamedWithTheirPlace(t *testing.T) {
	paths, err := filepath.Glob("testdata/bad/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatal("no cases", err)
	}
	for _, path := range append(paths, "testdata/twice") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			golden := strings.TrimSuffix(path, ".json") + ".txt"
			loaded, err := Load([]string{path}, all)
			if err == nil || loaded != nil {
				t.Fatalf("accepted: %v", loaded)
			}
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
}

func TestWhatGrafanaAcceptsIsAccepted(t *testing.T) {
	got, err := Load([]string{"testdata/good"}, all)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("testdata/good/everything.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].UID != "x" || got[0].Title != "X" || got[0].File != "testdata/good/everything.json" || string(got[0].JSON) != string(raw) {
		t.Errorf("got %+v", got)
	}
}

func TestPathsThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(dir, "pipe.json")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	deep := strings.Repeat(`{"panels":[`, 150)
	for path, want := range map[string]string{
		filepath.Join(dir, "absent.json"): "%s: no such file or directory",
		pipe:                              "%s: not a regular file",
		empty:                             "%s: the folder holds no *.json file",
		write("big.json", strings.Repeat(" ", 2e6)):   "%s: more than 1000000 bytes; dashboards are kept in a ConfigMap, which holds 1 MiB",
		write("deep.json", `{"uid":"x","a":`+deep):    "%s:1:1115: nested more than 200 deep",
		write("binary.json", "\x00\x01"):              "%s:1:1: not JSON: invalid character '\\x00' looking for beginning of value",
		write("utf16.json", "\xff\xfe{\x00}\x00"):     "%s:1:1: not JSON: invalid character 'ÿ' looking for beginning of value",
		write("bom.json", "\xef\xbb\xbf{\"uid\": 1}"): "%[1]s:1:1: no title: give the dashboard one, as a string\n%[1]s:1:9: uid 1: a uid has 1 to 40 letters, digits, - and _",
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, err := Load([]string{path}, all)
			if want := fmt.Sprintf(want, path); err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

func TestAFolderMayHaveAnyName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `a [b]* \d`)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.json"), []byte(`{"uid": "x", "title": "X"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := Load([]string{dir}, all); err != nil || len(got) != 1 {
		t.Errorf("got %d dashboards, %v", len(got), err)
	}
}

func TestAFileReachedTwiceCountsOnce(t *testing.T) {
	got, err := Load([]string{"testdata/good/everything.json", "./testdata/good/"}, all)
	if err != nil || len(got) != 1 {
		t.Errorf("got %d dashboards, %v", len(got), err)
	}
}

// TestALargeFileDoesNotTakeLong has files of nearly the largest size that are made to be slow; each takes some
// hundred milliseconds at most, and the bound is wide.
func TestALargeFileDoesNotTakeLong(t *testing.T) {
	repeat := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < maxSize-200; i++ {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	brackets := strings.Repeat("(", maxSize-300)
	for name, raw := range map[string]string{
		"many keys":            `{"uid": "x", "title": "X", ` + repeat(`"k%d": 1`) + `}`,
		"many variables":       `{"uid": "x", "title": "X", "templating": {"list": [` + repeat(`{"name": "v%[1]d", "type": "query", "query": "up{a=\"$w%[1]d\"}"}`) + `]}}`,
		"many panels":          `{"uid": "x", "title": "X", "panels": [` + repeat(`{"title": "%d", "targets": [{"expr": "sum("}]}`) + `]}`,
		"brackets in PromQL":   `{"uid": "x", "title": "X", "panels": [{"targets": [{"expr": "` + brackets + `"}]}]}`,
		"brackets in InfluxQL": `{"uid": "x", "title": "X", "panels": [{"datasource": "influxdb-github", "targets": [{"query": "SELECT ` + brackets + `"}]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			c := newChecker("x.json", []byte(raw), all, false)
			c.dashboard()
			c.errors()
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

// FuzzLoad looks for a file that makes the checks panic, or that they change into something that is not JSON.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*.json", "../../dashboards/*.json"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			raw, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, sources := range []Sources{all, less(all, "prometheus"), {}} {
			c := newChecker("x.json", raw, sources, true)
			d, ok := c.dashboard()
			if c.errors(); ok && len(c.faults) == 0 && !json.Valid(d.JSON) {
				t.Errorf("not JSON any more: %s", d.JSON)
			}
		}
	})
}
