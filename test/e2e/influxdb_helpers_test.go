//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// account is who asks InfluxDB; one without a name gives no credentials at all.
type account struct{ name, password string }

var nobody account

func (c credentials) influxDB() (admin, writer, reader account) {
	return account{"admin", c.InfluxDBAdminPassword}, account{"writer", c.InfluxDBWriterPassword},
		account{"reader", c.InfluxDBReaderPassword}
}

// influx is an InfluxDB at the URL that its users have.
type influx string

// influxOf are the two ways to a project's InfluxDB: by the site's URL, and by the port
// of the older pushers.
func influxOf(p project) (byURL, byPort influx) {
	return influx("http://" + site(p, 80) + "/influxdb"), influx("http://" + site(p, 8181))
}

// answer is what InfluxDB said.
type answer struct {
	code   int
	body   string
	header http.Header
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.code, strings.TrimSpace(a.body)) }

func (s influx) post(who account, path string, body io.Reader, size int64, header ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, string(s)+path, body)
	if err != nil {
		return answer{}, err
	}
	req.ContentLength = size
	if who != nobody {
		req.SetBasicAuth(who.name, who.password)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(text), resp.Header}, err
}

// write pushes points, in line protocol.
func (s influx) write(t *testing.T, who account, database string, points []byte, header ...string) answer {
	t.Helper()
	a, err := s.post(who, "/write?"+url.Values{"db": {database}}.Encode(), bytes.NewReader(points), int64(len(points)), header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ask sends one statement.
func (s influx) ask(t *testing.T, who account, database, statement string) answer {
	t.Helper()
	form := url.Values{"db": {database}, "q": {statement}}.Encode()
	a, err := s.post(who, "/query", strings.NewReader(form), int64(len(form)), "Content-Type", "application/x-www-form-urlencoded")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// unread are the columns that say nothing here: some, of retention policies, are there
// since InfluxDB 1.12 only.
var unread = []string{"time", "futureWriteLimit", "pastWriteLimit"}

// rows returns the rows of a statement's answer as text.
func (s influx) rows(t *testing.T, who account, database, statement string) []string {
	t.Helper()
	a := s.ask(t, who, database, statement)
	var reply struct {
		Results []struct {
			Error  string
			Series []struct {
				Columns []string
				Values  [][]any
			}
		}
	}
	if a.code != http.StatusOK {
		t.Fatalf("%s asks %s: %s", who.name, statement, a)
	}
	d := json.NewDecoder(strings.NewReader(a.body))
	d.UseNumber()
	if err := d.Decode(&reply); err != nil {
		t.Fatalf("%s asks %s: %v in %s", who.name, statement, err, a)
	}
	rows := []string{}
	for _, r := range reply.Results {
		if r.Error != "" {
			t.Fatalf("%s asks %s: %s", who.name, statement, r.Error)
		}
		for _, series := range r.Series {
			for _, values := range series.Values {
				var row []string
				for i, v := range values {
					if !slices.Contains(unread, series.Columns[i]) {
						row = append(row, fmt.Sprint(v))
					}
				}
				rows = append(rows, strings.Join(row, " "))
			}
		}
	}
	return rows
}

// want asks a statement whose answer is known, in whatever order InfluxDB gives it.
func (s influx) want(t *testing.T, who account, database, statement string, want ...string) {
	t.Helper()
	got := s.rows(t, who, database, statement)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s asks %s: %q, want %q", who.name, statement, got, want)
	}
}

// refuses asks what an account may not, and wants InfluxDB's own words for it.
func (s influx) refuses(t *testing.T, who account, database, statement string, code int, words string) {
	t.Helper()
	if a := s.ask(t, who, database, statement); a.code != code || !strings.Contains(a.body, words) {
		t.Errorf("%q asks %s: %s, want %d and %q", who.name, statement, a, code, words)
	}
}

// accepts pushes points that must be taken.
func (s influx) accepts(t *testing.T, who account, database, points string) {
	t.Helper()
	if a := s.write(t, who, database, []byte(points)); a.code != http.StatusNoContent {
		t.Fatalf("%s pushes to %s: %s", who.name, database, a)
	}
}

// influxDBAnswers waits until a project's one pod of InfluxDB is ready, and is reached
// through nginx.
func (l *local) influxDBAnswers(t *testing.T, p project) {
	t.Helper()
	eventually(t, 2*time.Minute, func() error {
		pods, err := l.byHand("kubectl -n " + p.Namespace + ` get pods -l app=influxdb -o jsonpath='{range .items[*]}{.metadata.deletionTimestamp}{.status.conditions[?(@.type=="Ready")].status} {end}'`)
		if err == nil && strings.TrimSpace(pods) != "True" {
			err = fmt.Errorf("InfluxDB's pods are ready: %q", pods)
		}
		return err
	})
	byURL, byPort := influxOf(p)
	for _, s := range []influx{byURL, byPort} {
		eventually(t, 30*time.Second, func() error {
			resp, err := client.Get(string(s) + "/ping")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusNoContent {
				return fmt.Errorf("%s/ping: %s", s, resp.Status)
			}
			return nil
		})
	}
}

// restartInfluxDB deletes its pod, as a node does that goes away.
func (l *local) restartInfluxDB(t *testing.T, p project) {
	t.Helper()
	l.mustByHand(t, "kubectl -n "+p.Namespace+" delete pod -l app=influxdb")
	l.influxDBAnswers(t, p)
}

// initLog is what the init container of the running pod said.
func (l *local) initLog(t *testing.T, p project) string {
	t.Helper()
	return l.mustByHand(t, "kubectl -n "+p.Namespace+" logs sts/influxdb -c init")
}

// volume is the folder of a claim's volume, as this machine sees it.
type volume string

func (l *local) volume(t *testing.T, p project, claim string) volume {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(l.state, "cluster", "volumes", p.Namespace+"_"+claim+"_*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the volumes of %s in %s: %v, %v", claim, p.Namespace, found, err)
	}
	return volume(found[0])
}

// marker is the file by which the init container knows what the volume has had.
func (v volume) marker() string { return filepath.Join(string(v), ".velodrome-revision") }

// forget makes it a volume that Velodrome does not know.
func (v volume) forget(t *testing.T) {
	t.Helper()
	if err := os.Remove(v.marker()); err != nil {
		t.Fatal(err)
	}
}

// clear makes it a new disk.
func (v volume) clear(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(string(v))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(string(v), e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

// knows tells whether a name stands in what InfluxDB keeps of accounts and databases.
func (v volume) knows(name string) bool {
	text, err := os.ReadFile(filepath.Join(string(v), "meta", "meta.db"))
	return err == nil && bytes.Contains(text, []byte(name))
}

// initProcess finds the first process of the init container that has this volume.
func (v volume) initProcess() (pid int, err error) {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, line := range lines {
		// Those that end meanwhile are not what is looked for.
		text, err := os.ReadFile(line)
		if err != nil || string(text) != "sh\x00/etc/influxdb/init.sh\x00" {
			continue
		}
		dir := filepath.Dir(line)
		mounts, err := os.ReadFile(filepath.Join(dir, "mountinfo"))
		if err != nil || !strings.Contains(string(mounts), filepath.Base(string(v))) {
			continue
		}
		status, err := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil || !isContainersFirst(string(status)) {
			continue
		}
		return strconv.Atoi(filepath.Base(dir))
	}
	return 0, fmt.Errorf("no init container runs on %s", v)
}

// isContainersFirst tells from /proc/PID/status whether a process is the first one of
// its container: when that ends, the kernel ends all others with it.
func isContainersFirst(status string) bool {
	for line := range strings.Lines(status) {
		if pids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(pids)
			return len(f) > 1 && f[len(f)-1] == "1"
		}
	}
	return false
}

// documented returns a command of a page with the reader's own values in place of those
// of the page.
func (l *local) documented(t *testing.T, page, begin string, values ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(l.repo, page))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "    "+begin)
	if !ok {
		t.Fatalf("%s has no line that begins with %q", page, begin)
	}
	end := regexp.MustCompile(`[^\\]\n`).FindStringIndex(rest)
	if end == nil {
		t.Fatalf("%s ends within a command", page)
	}
	return strings.NewReplacer(values...).Replace(begin + rest[:end[1]])
}

// onStandardInput gives a password to a command on its standard input, whatever its
// characters.
func onStandardInput(text, command string) string {
	return "printf %s " + base64.StdEncoding.EncodeToString([]byte(text)) + " | base64 -d | " + command
}
