//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	influxdb "github.com/influxdata/influxdb1-client/v2"
)

// pushConfig is the config.yaml of these tests. `one` changes: its generation and its
// databases.
const pushConfig = `projects:
  one:
    secrets-generation: %d
    influxdb:
      databases: %s
    prometheus:
      prometheus-config.yml: |
        global: {scrape_interval: 2s, scrape_timeout: 2s}
        scrape_configs:
        - job_name: pages
          metrics_path: /probe
          params: {module: [http_2xx]}
          static_configs:
          - targets: ['http://nginx/api/health']
          relabel_configs:
          - {source_labels: [__address__], target_label: __param_target}
          - {source_labels: [__param_target], target_label: instance}
          - {target_label: __address__, replacement: blackbox}
  two:
    influxdb:
      databases: {ci: {retention: 90d}}
`

// pushTest is the stack of these tests and what is known of it.
type pushTest struct {
	*local
	file     string // config.yaml
	projects map[string]project
	secrets  map[string]credentials
}

// A team pushes its points and gets them back, and nobody else does; whatever is
// changed in config.yaml, and whatever has happened to the volume, the next `up` or the
// next start brings the server to what is declared, with the points kept.
func TestInfluxDBIsAsDeclaredAndKeepsWhatIsPushed(t *testing.T) {
	p := &pushTest{local: newLocal(t), file: filepath.Join(t.TempDir(), "config.yaml")}
	p.readConfigFrom(t, p.file)
	p.declare(t, 1, "{github: , monitoring: {retention: 3y}}")
	p.must(t, "up")
	p.all(t)
}

func (p *pushTest) declare(t *testing.T, generation int, databases string) {
	t.Helper()
	text := fmt.Sprintf(pushConfig, generation, databases)
	if err := os.WriteFile(p.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *pushTest) up(t *testing.T) {
	t.Helper()
	p.mustByHand(t, "pulumi up --stack local --yes --skip-preview")
	p.projects, p.secrets = p.outputs(t)
	p.influxDBAnswers(t, p.projects["one"])
}

func (p *pushTest) all(t *testing.T) {
	p.projects, p.secrets = p.outputs(t)
	one, two := p.projects["one"], p.projects["two"]
	byURL, byPort := influxOf(one)
	_, writer, reader := p.secrets["one"].influxDB()

	t.Run("databases, retention and accounts are those declared", func(t *testing.T) {
		p.isAsDeclared(t, "one", "github autogen 0s 168h0m0s", "monitoring autogen 26280h0m0s 168h0m0s")
		p.isAsDeclared(t, "two", "ci autogen 2160h0m0s 24h0m0s")
	})
	t.Run("each account has its rights and no more", func(t *testing.T) {
		p.rightsHold(t, "one", "github")
		p.rightsHold(t, "two", "ci")
	})
	t.Run("a ping needs no password", func(t *testing.T) {
		for _, s := range []influx{byURL, byPort} {
			if body, code := get(t, string(s)+"/ping", ""); code != http.StatusNoContent || body != "" {
				t.Errorf("%s: %d %s", s, code, body)
			}
		}
	})
	t.Run("the commands of the pages push a first metric", func(t *testing.T) { p.documentedCommands(t) })
	for name, s := range map[string]influx{"the site's URL": byURL, "port 8181": byPort} {
		t.Run("a client library pushes and reads at "+name, func(t *testing.T) { clientLibrary(t, s, writer, reader) })
		t.Run("what is wrong is answered in InfluxDB's words at "+name, func(t *testing.T) { wrongPushes(t, s, writer, reader) })
		t.Run("a batch of 25 MB is taken, and a larger one refused, at "+name, func(t *testing.T) { largeBatches(t, s, writer, reader) })
	}
	t.Run("many clients push at once", func(t *testing.T) { manyClients(t, []influx{byURL, byPort}, writer, reader) })
	t.Run("Prometheus polls the project's jobs and the site's own parts", func(t *testing.T) { pollsSite(t, one) })

	// What must still be there at the end of all that follows.
	byURL.accepts(t, writer, "github", "kept,by=one value=42")
	ofTwo, _ := influxOf(two)
	_, writerOfTwo, _ := p.secrets["two"].influxDB()
	ofTwo.accepts(t, writerOfTwo, "ci", "kept,by=two value=43")

	t.Run("a restart runs no statement again", func(t *testing.T) { p.restart(t) })
	t.Run("a volume with an unknown admin password comes right", func(t *testing.T) { p.unknownPassword(t) })
	t.Run("a crash of the init container is mended by the next start", func(t *testing.T) { p.crash(t) })
	t.Run("a volume of another server keeps its points", func(t *testing.T) { p.olderVolume(t) })
	t.Run("up brings another database, another retention, other passwords", func(t *testing.T) { p.changes(t) })
	t.Run("up brings a password that is set outright", func(t *testing.T) { p.passwordOutright(t) })
}

// isAsDeclared compares a project's server with what config.yaml says: for each
// database its default policy, how long it keeps points and how long a shard lasts.
func (p *pushTest) isAsDeclared(t *testing.T, name string, declared ...string) {
	t.Helper()
	s, _ := influxOf(p.projects[name])
	admin, _, _ := p.secrets[name].influxDB()
	var databases, writes []string
	reads := []string{"_internal READ"}
	for _, d := range declared {
		database, policy, _ := strings.Cut(d, " ")
		databases = append(databases, database)
		writes = append(writes, database+" WRITE")
		reads = append(reads, database+" READ")
		// The columns: name, duration, duration of a shard, replicas, is it the default?
		s.want(t, admin, "", fmt.Sprintf("SHOW RETENTION POLICIES ON %q", database), policy+" 1 true")
	}
	s.want(t, admin, "", "SHOW RETENTION POLICIES ON _internal", "monitor 168h0m0s 24h0m0s 1 true")
	for statement, want := range map[string][]string{
		"SHOW DATABASES":         append([]string{"_internal"}, databases...),
		"SHOW USERS":             {"admin true", "reader false", "writer false"},
		"SHOW GRANTS FOR admin":  {},
		"SHOW GRANTS FOR writer": writes,
		"SHOW GRANTS FOR reader": reads,
	} {
		s.want(t, admin, "", statement, want...)
	}
}

// rightsHold tries what each account may do and what it may not, on both ways to the
// server.
func (p *pushTest) rightsHold(t *testing.T, name, database string) {
	t.Helper()
	admin, writer, reader := p.secrets[name].influxDB()
	byURL, byPort := influxOf(p.projects[name])
	for _, s := range []influx{byURL, byPort} {
		now := time.Now().UnixNano()
		s.accepts(t, writer, database, fmt.Sprintf("rights value=1 %d", now))
		s.accepts(t, admin, database, fmt.Sprintf("rights value=2 %d", now+1))
		for _, who := range []account{nobody, {"writer", ""}, {"writer", "wrong"}, {"stranger", "wrong"}, {"admin", "admin"}, reader} {
			code := http.StatusUnauthorized
			if who == reader {
				code = http.StatusForbidden
			}
			if a := s.write(t, who, database, []byte("rights value=3")); a.code != code {
				t.Errorf("%s: %q pushes: %s, want %d", s, who.name, a, code)
			}
			if who != reader {
				s.refuses(t, who, database, "SHOW DATABASES", http.StatusUnauthorized, "")
				s.refuses(t, who, database, "CREATE USER me WITH PASSWORD 'mine' WITH ALL PRIVILEGES", http.StatusUnauthorized, "")
			}
		}
		if a := s.write(t, writer, "_internal", []byte("rights value=3")); a.code != http.StatusForbidden {
			t.Errorf("%s: the writer pushes to _internal: %s", s, a)
		}
		s.want(t, reader, database, fmt.Sprintf("SELECT value FROM rights WHERE time >= %d", now), "1", "2")
		s.refuses(t, writer, database, "SELECT value FROM rights", http.StatusForbidden, "not authorized")
		for _, who := range []account{writer, reader} {
			for _, statement := range []string{
				"CREATE DATABASE mine", "DROP DATABASE " + database, "DROP MEASUREMENT rights", "SHOW USERS",
				"CREATE USER me WITH PASSWORD 'mine'", "SET PASSWORD FOR admin = 'mine'",
				"ALTER RETENTION POLICY autogen ON " + database + " DURATION 1h",
				"SELECT value INTO copied FROM rights", "GRANT ALL PRIVILEGES TO " + who.name,
			} {
				s.refuses(t, who, database, statement, http.StatusForbidden, "not authorized")
			}
		}
		for _, statement := range []string{"DELETE FROM rights", "DROP SERIES FROM rights"} {
			s.refuses(t, reader, database, statement, http.StatusForbidden, "not authorized")
		}
	}
}

// documentedCommands runs what README.md and docs/push.md tell a newcomer to type, with
// this machine's address and password in it.
func (p *pushTest) documentedCommands(t *testing.T) {
	one := p.projects["one"]
	s, byPort := influxOf(one)
	_, writer, reader := p.secrets["one"].influxDB()
	values := []string{
		"PASSWORD", writer.password, "http://velodrome.k8s.io:8181", string(byPort),
		"http://velodrome.k8s.io", "http://" + site(one, 80),
	}
	for i, c := range []struct{ page, begin string }{
		{"README.md", "curl -u writer:PASSWORD"},
		{"docs/push.md", "curl -u writer:PASSWORD"},
		{"docs/push.md", "gzip -c points.txt"},
		{"docs/push.md", "curl 'http://velodrome.k8s.io:8181"},
	} {
		command := p.documented(t, c.page, c.begin, values...)
		script := "curl() { command curl -sS --fail-with-body \"$@\"; }; cd \"$(mktemp -d)\"; trap 'rm -r \"$PWD\"' EXIT\n" +
			"printf 'deploys,service=api seconds=7\\n' >points.txt\n" + command
		if out, err := p.byHand(script); err != nil || out != "" {
			t.Errorf("%s: %v%s", c.page, err, out)
		}
		if n := s.rows(t, reader, "monitoring", "SELECT count(seconds) FROM deploys"); !slices.Equal(n, []string{fmt.Sprint(i + 1)}) {
			t.Errorf("%s: after %s there are %v points", c.page, c.begin, n)
		}
	}
}

// clientLibrary uses InfluxDB's own client for Go, plain and with gzip.
func clientLibrary(t *testing.T, s influx, writer, reader account) {
	open := func(who account, encoding influxdb.ContentEncoding) influxdb.Client {
		c, err := influxdb.NewHTTPClient(influxdb.HTTPConfig{
			Addr: string(s), Username: who.name, Password: who.password, WriteEncoding: encoding, Timeout: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
		return c
	}
	if _, version, err := open(writer, "").Ping(time.Minute); err != nil || version == "" {
		t.Errorf("ping: version %q, %v", version, err)
	}
	measurement := fmt.Sprintf("library_%d", len(s))
	for i, encoding := range []influxdb.ContentEncoding{influxdb.DefaultEncoding, influxdb.GzipEncoding} {
		batch := points(t, "github", measurement, fmt.Sprint(i), 1000)
		if err := open(writer, encoding).Write(batch); err != nil {
			t.Errorf("push with encoding %q: %v", encoding, err)
		}
	}
	query := influxdb.NewQuery("SELECT sum(value) FROM "+measurement+" GROUP BY client", "github", "")
	reply, err := open(reader, "").Query(query)
	if err == nil {
		err = reply.Error()
	}
	if err != nil || len(reply.Results) != 1 || len(reply.Results[0].Series) != 2 {
		t.Fatalf("%v in %+v", err, reply)
	}
	for _, series := range reply.Results[0].Series {
		if got := fmt.Sprint(series.Values[0][1]); got != "499500" {
			t.Errorf("client %s: the sum of 0 to 999 is %s", series.Tags["client"], got)
		}
	}
	if err := open(reader, "").Write(points(t, "github", measurement, "reader", 1)); err == nil || !strings.Contains(err.Error(), "not authorized") {
		t.Errorf("the reader pushes: %v", err)
	}
}

// points returns a batch of n points with the values 0 to n-1.
func points(t *testing.T, database, measurement, client string, n int) influxdb.BatchPoints {
	t.Helper()
	batch, err := influxdb.NewBatchPoints(influxdb.BatchPointsConfig{Database: database, Precision: "ns"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i := range n {
		p, err := influxdb.NewPoint(measurement, map[string]string{"client": client},
			map[string]any{"value": i}, now.Add(time.Duration(i)))
		if err != nil {
			t.Fatal(err)
		}
		batch.AddPoint(p)
	}
	return batch
}

// wrongPushes makes every mistake that a pusher makes. InfluxDB's own answer says what
// it was, so nothing on the way may replace it.
func wrongPushes(t *testing.T, s influx, writer, reader account) {
	s.accepts(t, writer, "github", "typed,a=b value=1 1700000000000000000")
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(w, "typed,a=gzip value=3 1700000000000000002"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mistake  string
		who      account
		database string
		points   string
		header   []string
		code     int
		body     string
	}{
		{"none", writer, "github", "typed,a=c value=2 1700000000000000001", nil, 204, ""},
		{"none, with gzip", writer, "github", zipped.String(), []string{"Content-Encoding", "gzip"}, 204, ""},
		{"one point of another type", writer, "github",
			"typed,a=b value=\"text\" 1700000000000000000\ntyped,a=d value=4 1700000000000000003", nil, 400,
			`{"error":"partial write: field type conflict: input field \"value\" on measurement \"typed\" is type string, already exists as type float dropped=1"}`},
		{"one line that is none", writer, "github", "typed,a=e value=5 1700000000000000004\nvalue", nil, 400,
			`{"error":"partial write: unable to parse 'value': missing fields dropped=0"}`},
		{"no line at all", writer, "github", "nonsense", nil, 400, `{"error":"unable to parse 'nonsense': missing fields"}`},
		{"gzip that is none", writer, "github", "typed value=1", []string{"Content-Encoding", "gzip"}, 400, `{"error":"gzip: invalid header"}`},
		{"a wrong password", account{writer.name, "wrong"}, "github", "typed value=1", nil, 401, `{"error":"authorization failed"}`},
		{"no password", nobody, "github", "typed value=1", nil, 401, `{"error":"unable to parse authentication credentials"}`},
		{"another account", reader, "github", "typed value=1", nil, 403, `{"error":"\"reader\" user is not authorized to write to database \"github\""}`},
		{"an unknown database", writer, "gihtub", "typed value=1", nil, 404, `{"error":"database not found: \"gihtub\""}`},
		{"no database", writer, "", "typed value=1", nil, 400, `{"error":"database is required"}`},
	} {
		a := s.write(t, c.who, c.database, []byte(c.points), c.header...)
		// InfluxDB 1.12 goes on with the name of the database, where older ones end.
		same := strings.HasPrefix(a.body, strings.TrimSuffix(c.body, `"}`)) && (c.body != "" || a.body == "")
		if a.code != c.code || !same || a.header.Get("X-Influxdb-Version") == "" {
			t.Errorf("%s: %s, want %d %s", c.mistake, a, c.code, c.body)
		}
	}
	// The good points of a batch are kept.
	s.want(t, reader, "github", "SELECT a, value FROM typed", "b 1", "c 2", "gzip 3", "d 4", "e 5")
}

// largeBatches goes to the limit, which is InfluxDB's own, and beyond it.
func largeBatches(t *testing.T, s influx, writer, reader account) {
	const limit = 25_000_000
	measurement := fmt.Sprintf("large_%d", len(s))
	batch, n := batchOf(limit, measurement)
	if a := s.write(t, writer, "github", batch); a.code != http.StatusNoContent {
		t.Errorf("a batch of %d bytes: %s", len(batch), a)
	}
	s.want(t, reader, "github", "SELECT count(v) FROM "+measurement, fmt.Sprint(n))
	const refusal = `413 {"error":"Request Entity Too Large"}`
	for _, size := range []int64{limit + 1, 100_000_000} {
		for kind, length := range map[string]int64{"of a known size": size, "of an unknown size": -1} {
			// Comments from end to end: what costs InfluxDB least.
			a, err := s.post(writer, "/write?db=github", io.LimitReader(comments{}, size), length)
			if err != nil || a.String() != refusal || a.header.Get("X-Influxdb-Version") == "" {
				t.Errorf("a batch of %d bytes, %s: %s %v", size, kind, a, err)
			}
		}
	}
}

// batchOf returns n points in exactly size bytes, filled up by a comment.
func batchOf(size int, measurement string) (batch []byte, n int) {
	batch = make([]byte, 0, size)
	for {
		line := fmt.Appendf(nil, "%s,host=ci-worker-1 v=%di %d\n", measurement, n, 1_700_000_000_000_000_000+n)
		if len(batch)+len(line)+2 > size {
			break
		}
		batch = append(batch, line...)
		n++
	}
	batch = append(batch, '#')
	return append(batch, bytes.Repeat([]byte("-"), size-len(batch))...), n
}

// comments reads as lines without points.
type comments struct{}

func (comments) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = "#\n"[i%2]
	}
	return len(b), nil
}

// manyClients push at once, each with a connection and a series of its own.
func manyClients(t *testing.T, ways []influx, writer, reader account) {
	const clients, batches, size = 50, 20, 20
	var all sync.WaitGroup
	for i := range clients {
		s := ways[i%len(ways)]
		all.Go(func() {
			c, err := influxdb.NewHTTPClient(influxdb.HTTPConfig{
				Addr: string(s), Username: writer.name, Password: writer.password, Timeout: time.Minute,
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for range batches {
				if err := c.Write(points(t, "github", "many", fmt.Sprint(i), size)); err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
	for _, s := range ways {
		s.want(t, reader, "github", "SELECT count(value) FROM many", fmt.Sprint(clients*batches*size))
	}
}

// pollsSite asks Prometheus what it polls: the project's own job, by way of the prober
// under the name that old files have for it, and the parts of the site.
func pollsSite(t *testing.T, p project) {
	base := "http://" + site(p, 80) + "/prometheus/api/v1"
	want := []string{
		"pages http://nginx/api/health",
		"velodrome-blackbox blackbox:80",
		"velodrome-grafana grafana:3000",
		"velodrome-influxdb influxdb:8086",
		"velodrome-nginx http://nginx/api/health",
		"velodrome-nginx http://nginx/prometheus/api/v1/status/buildinfo",
		"velodrome-nginx http://nginx:8181/ping",
		"velodrome-prometheus localhost:9090",
	}
	eventually(t, time.Minute, func() error {
		var reply struct {
			Data struct {
				ActiveTargets []struct {
					Labels                       map[string]string
					Health, LastError, ScrapeURL string
				}
			}
		}
		body, _ := get(t, base+"/targets?state=active", "")
		if err := json.Unmarshal([]byte(body), &reply); err != nil {
			return fmt.Errorf("%w in %s", err, body)
		}
		var got []string
		for _, target := range reply.Data.ActiveTargets {
			if target.Health != "up" {
				return fmt.Errorf("%v is %s: %s", target.Labels, target.Health, target.LastError)
			}
			if target.Labels["job"] == "pages" && !strings.HasPrefix(target.ScrapeURL, "http://blackbox:80/probe?") {
				return fmt.Errorf("the job pages asks %s", target.ScrapeURL)
			}
			got = append(got, target.Labels["job"]+" "+target.Labels["instance"])
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("Prometheus polls %q, want %q", got, want)
		}
		return nil
	})
	// The prober reached the page, and every part gives numbers of its own.
	for query, want := range map[string]string{
		`probe_success{job="pages"}`:                           "1",
		`count(probe_success{job="velodrome-nginx"} == 1)`:     "3",
		`count({job="velodrome-influxdb",__name__="go_info"})`: "1",
		`count(grafana_build_info{job="velodrome-grafana"})`:   "1",
		`count(prometheus_build_info)`:                         "1",
		`count(blackbox_exporter_build_info)`:                  "1",
	} {
		eventually(t, time.Minute, func() error {
			var reply struct {
				Data struct{ Result []struct{ Value []any } }
			}
			body, _ := get(t, base+"/query?"+url.Values{"query": {query}}.Encode(), "")
			if err := json.Unmarshal([]byte(body), &reply); err != nil {
				return fmt.Errorf("%w in %s", err, body)
			}
			if r := reply.Data.Result; len(r) != 1 || r[0].Value[1] != want {
				return fmt.Errorf("%s: %s, want %s", query, body, want)
			}
			return nil
		})
	}
}

func (p *pushTest) restart(t *testing.T) {
	one := p.projects["one"]
	v := p.volume(t, one, "influxdb")
	before, err := os.ReadFile(v.marker())
	if err != nil {
		t.Fatal(err)
	}
	p.restartInfluxDB(t, one)
	if want := fmt.Sprintf("init: the volume has had %s already\n", before); p.initLog(t, one) != want {
		t.Errorf("the init container says %q, want %q", p.initLog(t, one), want)
	}
	_, _, reader := p.secrets["one"].influxDB()
	s, _ := influxOf(one)
	s.want(t, reader, "github", "SELECT value FROM kept", "42")
}

// unknownPassword is a volume that someone else administered: no password is known,
// and accounts of our names have other rights.
func (p *pushTest) unknownPassword(t *testing.T) {
	two := p.projects["two"]
	admin, _, reader := p.secrets["two"].influxDB()
	s, _ := influxOf(two)
	for _, statement := range []string{
		"GRANT ALL PRIVILEGES TO reader", "SET PASSWORD FOR reader = 'theirs'", "DROP USER writer",
		"CREATE USER writer WITH PASSWORD 'theirs' WITH ALL PRIVILEGES", "REVOKE ALL PRIVILEGES FROM admin",
	} {
		s.want(t, admin, "", statement)
	}
	theirs := account{"writer", "theirs"}
	s.want(t, theirs, "", "SET PASSWORD FOR admin = 'theirs'")
	s.refuses(t, admin, "", "SHOW USERS", http.StatusUnauthorized, "authorization failed")
	p.volume(t, two, "influxdb").forget(t)
	p.restartInfluxDB(t, two)

	p.isAsDeclared(t, "two", "ci autogen 2160h0m0s 24h0m0s")
	p.rightsHold(t, "two", "ci")
	s.want(t, reader, "ci", "SELECT value FROM kept", "43")
	for _, name := range []string{"admin", "writer", "reader"} {
		s.refuses(t, account{name, "theirs"}, "", "SHOW DATABASES", http.StatusUnauthorized, "authorization failed")
	}
}

// crash kills the init container between two statements: the writer is there again, and
// what comes after has not been done.
func (p *pushTest) crash(t *testing.T) {
	two := p.projects["two"]
	admin, _, reader := p.secrets["two"].influxDB()
	s, _ := influxOf(two)
	v := p.volume(t, two, "influxdb")
	for _, statement := range []string{"DROP USER writer", "DROP USER reader"} {
		s.want(t, admin, "", statement)
	}
	if v.knows("writer") {
		t.Fatal("the writer is still in the volume")
	}
	v.forget(t)
	killed := make(chan error, 1)
	go func() { killed <- killInit(v, "writer", 2*time.Minute) }()
	p.mustByHand(t, "kubectl -n "+two.Namespace+" delete pod -l app=influxdb")
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	p.influxDBAnswers(t, two)

	const restarts = `{.items[0].status.initContainerStatuses[0].restartCount}`
	if n := p.mustByHand(t, "kubectl -n "+two.Namespace+" get pod -l app=influxdb -o jsonpath='"+restarts+"'"); n != "1" {
		t.Errorf("the init container was started again %s times, want 1", n)
	}
	p.isAsDeclared(t, "two", "ci autogen 2160h0m0s 24h0m0s")
	p.rightsHold(t, "two", "ci")
	s.want(t, reader, "ci", "SELECT value FROM kept", "43")
}

// killInit kills the init container of a volume as soon as the volume knows a name, and
// says whether that was before its end.
func killInit(v volume, name string, bound time.Duration) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(bound)
	pid := 0
	for {
		select {
		case <-end:
			return fmt.Errorf("after %v no init container (%d) had made %s", bound, pid, name)
		case <-tick.C:
		}
		if pid == 0 {
			pid, _ = v.initProcess() // until there is one
			continue
		}
		if !v.knows(name) {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return fmt.Errorf("kill the init container: %w", err)
		}
		if _, err := os.Stat(v.marker()); err == nil {
			return fmt.Errorf("the init container was done before it was killed")
		}
		return nil
	}
}

// theirServer fills an empty volume as another server of InfluxDB 1.x would have left
// it: the index in memory, a default policy with the name from before 1.0, accounts of
// other people, no trace of Velodrome. It is the stack's own version of InfluxDB: what
// one version makes of the files of another is not shown here.
const theirServer = `
export INFLUXDB_META_DIR=/var/lib/influxdb/meta INFLUXDB_DATA_DIR=/var/lib/influxdb/data
export INFLUXDB_DATA_WAL_DIR=/var/lib/influxdb/wal INFLUXDB_DATA_INDEX_VERSION=inmem
influxd & server=$!
until influx -execute "SHOW DATABASES" >/dev/null 2>&1; do kill -0 $server || exit 1; done
set -eu
run() { influx -database ci -execute "$1"; }
run "CREATE DATABASE ci WITH DURATION INF NAME \"default\""
run "CREATE DATABASE other"
run "CREATE USER root WITH PASSWORD 'theirs' WITH ALL PRIVILEGES"
run "CREATE USER admin WITH PASSWORD 'theirs'"
run "INSERT kept,by=them value=44"
kill $server
wait $server`

func (p *pushTest) olderVolume(t *testing.T) {
	two := p.projects["two"]
	_, writer, reader := p.secrets["two"].influxDB()
	s, _ := influxOf(two)
	v := p.volume(t, two, "influxdb")
	kubectl := "kubectl -n " + two.Namespace + " "
	p.mustByHand(t, kubectl+"scale sts/influxdb --replicas=0 && "+kubectl+"wait --for=delete pod -l app=influxdb --timeout=2m")
	v.clear(t)
	p.mustByHand(t, `image=$(`+kubectl+`get sts influxdb -o jsonpath='{.spec.template.spec.containers[0].image}')
`+kubectl+`run theirs --restart=Never --image="$image" --overrides='{"spec":{
  "automountServiceAccountToken":false,"activeDeadlineSeconds":100,
  "securityContext":{"runAsNonRoot":true,"runAsUser":1500,"runAsGroup":1500,"fsGroup":1500,"seccompProfile":{"type":"RuntimeDefault"}},
  "volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"influxdb"}}],
  "containers":[{"name":"c","image":"'"$image"'","command":["sh","-c",`+jsonInShell(t, theirServer)+`],
    "securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}},
    "volumeMounts":[{"name":"data","mountPath":"/var/lib/influxdb"}],
    "env":[{"name":"HOME","value":"/tmp"}]}]}}' >/dev/null
`+kubectl+`wait --for=jsonpath='{.status.phase}'=Succeeded --timeout=2m pod/theirs >/dev/null || { `+kubectl+`logs theirs >&2; exit 1; }
`+kubectl+`delete pod theirs >/dev/null`)
	if shards, indexes := shardsOf(t, v, "ci/default"); shards != 1 || indexes != 0 {
		t.Fatalf("their volume has %d shards, %d of them with an index on disk", shards, indexes)
	}
	p.mustByHand(t, kubectl+"scale sts/influxdb --replicas=1")
	p.influxDBAnswers(t, two)

	p.rightsHold(t, "two", "ci")
	s.want(t, reader, "ci", "SELECT value FROM kept", "44")
	s.accepts(t, writer, "ci", "kept,by=us value=45")
	s.want(t, reader, "ci", "SELECT value FROM kept", "44", "45")
	admin, _, _ := p.secrets["two"].influxDB()
	s.want(t, admin, "", "SHOW RETENTION POLICIES ON ci", "default 2160h0m0s 24h0m0s 1 true")
	s.want(t, admin, "", "SHOW DATABASES", "ci", "other", "_internal")
	// Theirs stay theirs: who takes a volume over decides on its other accounts.
	s.want(t, admin, "", "SHOW USERS", "root true", "admin true", "writer false", "reader false")
	s.want(t, admin, "", "SHOW GRANTS FOR reader", "_internal READ", "ci READ")
}

// shardsOf counts the shards of a database's policy, and those that have their index on
// disk.
func shardsOf(t *testing.T, v volume, policy string) (shards, indexes int) {
	t.Helper()
	dir := filepath.Join(string(v), "data", policy, "*")
	all, err := filepath.Glob(dir)
	if err != nil {
		t.Fatal(err)
	}
	indexed, err := filepath.Glob(filepath.Join(dir, "index"))
	if err != nil {
		t.Fatal(err)
	}
	return len(all), len(indexed)
}

// jsonInShell makes a JSON text of a script, for a place between single quotes.
func jsonInShell(t *testing.T, script string) string {
	t.Helper()
	text, err := json.Marshal(script)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), `'`, `'"'"'`)
}

// changes: a database more, one that keeps points for a shorter time than its shards
// last, one that now keeps them for ever, and other passwords, all by one `up`.
func (p *pushTest) changes(t *testing.T) {
	old, podOfTwo := p.secrets, p.podUID(t, "two")
	p.declare(t, 2, "{github: {retention: 2d}, monitoring: , builds: {retention: 12h}}")
	p.up(t)

	p.isAsDeclared(t, "one", "builds autogen 12h0m0s 1h0m0s", "github autogen 48h0m0s 24h0m0s", "monitoring autogen 0s 168h0m0s")
	p.rightsHold(t, "one", "monitoring")
	s, _ := influxOf(p.projects["one"])
	admin, writer, reader := p.secrets["one"].influxDB()
	s.want(t, reader, "github", "SELECT value FROM kept", "42")
	s.accepts(t, writer, "builds", "kept value=46")
	s.want(t, reader, "builds", "SELECT value FROM kept", "46")
	oldAdmin, oldWriter, oldReader := old["one"].influxDB()
	for i, who := range []account{oldAdmin, oldWriter, oldReader} {
		s.refuses(t, who, "github", "SHOW DATABASES", http.StatusUnauthorized, "authorization failed")
		if now := []account{admin, writer, reader}[i]; now.password == who.password {
			t.Errorf("%s has the password that it had", who.name)
		}
	}
	if p.secrets["two"] != old["two"] || p.podUID(t, "two") != podOfTwo {
		t.Error("the other project was touched")
	}
}

// passwordOutright sets the admin's password by the documented command: one with every
// character that a shell, a URL or InfluxQL could trip over. A database that is no
// longer declared stays, and is nobody's but the admin's.
func (p *pushTest) passwordOutright(t *testing.T) {
	const password = `it's "q" \ $x & %41 #?=+/:;<>{}~` + "`"
	old := p.secrets["one"]
	p.declare(t, 2, "{github: {retention: 2d}, monitoring: }")
	p.mustByHand(t, onStandardInput(password, "pulumi config set --stack local --secret --path velodrome:passwords.one.influxdbAdmin"))
	p.up(t)

	now := p.secrets["one"]
	if now.InfluxDBAdminPassword != password {
		t.Fatalf("the stack says that it is %q", now.InfluxDBAdminPassword)
	}
	if now.InfluxDBWriterPassword != old.InfluxDBWriterPassword || now.InfluxDBReaderPassword != old.InfluxDBReaderPassword {
		t.Error("the other accounts have other passwords now")
	}
	s, _ := influxOf(p.projects["one"])
	admin, writer, reader := now.influxDB()
	s.refuses(t, account{"admin", old.InfluxDBAdminPassword}, "", "SHOW DATABASES", http.StatusUnauthorized, "authorization failed")
	s.want(t, admin, "builds", "SELECT value FROM kept", "46")
	s.refuses(t, reader, "builds", "SELECT value FROM kept", http.StatusForbidden, "not authorized")
	if a := s.write(t, writer, "builds", []byte("kept value=47")); a.code != http.StatusForbidden {
		t.Errorf("the writer pushes to a database that is not declared: %s", a)
	}
	p.rightsHold(t, "one", "github")
	s.want(t, reader, "github", "SELECT value FROM kept", "42")
}

// podUID tells one pod of a project's InfluxDB from the next.
func (p *pushTest) podUID(t *testing.T, name string) string {
	t.Helper()
	return p.mustByHand(t, "kubectl -n "+p.projects[name].Namespace+" get pod -l app=influxdb -o jsonpath='{.items[*].metadata.uid}'")
}
