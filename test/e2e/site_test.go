//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// What people do with a site, and what they must not be able to do: they look at what
// was pushed and polled, at one URL, and find again what they made by hand.
func TestPeopleSeeWhatWasPushedAndPolled(t *testing.T) {
	l := newLocal(t)
	l.writeSiteConfig(t, 1)
	l.must(t, "up")
	started := time.Now()
	projects, passwords := l.outputs(t)
	v := &visit{l: l, project: projects["kubernetes"], credentials: passwords["kubernetes"]}
	v.base = "http://" + site(v.project, 80)

	t.Run("data sources work from the first second", v.dataSourcesWork)
	t.Run("a dashboard without data says what to send", v.emptyDashboards)
	t.Run("another project without data or Prometheus has its pages too", func(t *testing.T) {
		(&visit{l: l, project: projects["istio"], base: "http://" + site(projects["istio"], 80)}).pagesOfPusher(t)
	})
	runs := ciRuns(time.Now())
	startExporter(t, l)
	pushAll(t, v.project, v.credentials.InfluxDBWriterPassword, runs)
	t.Run("dashboards show what was pushed and polled", func(t *testing.T) { v.dashboardsShow(t, runs) })
	t.Run("anonymous people can look and nothing else", v.anonymousOnlyLooks)
	t.Run("dashboards are edited in the repository", v.dashboardsStay)
	t.Run("links, redirects and assets are right by name and by address", v.linksAreRight)
	t.Run("live updates come through nginx", v.liveThroughNginx)
	t.Run("what is not for visitors is refused", v.refused)
	t.Run("nginx logs the client's own address", v.logsClients)
	t.Run("alert rules are there, and fire", v.alertsFire)
	t.Run("a rollout of nginx loses no request", v.rolloutLosesNothing)
	t.Run("a rotation refuses the old password and keeps what people made", v.rotation)
	t.Run("a backend that is down is named, and the rest goes on", v.backendDown)
	t.Logf("all of this took %s after up", time.Since(started).Round(time.Second))
}

// writeSiteConfig makes siteConfig the stack's config.yaml, with the passwords of a
// generation.
func (l *local) writeSiteConfig(t *testing.T, generation int) {
	t.Helper()
	file := filepath.Join(l.state, "site.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, siteConfig, generation), 0o600); err != nil {
		t.Fatal(err)
	}
	if generation == 1 {
		l.readConfigFrom(t, file)
	}
}

// visit is one site with those who use it.
type visit struct {
	l           *local
	project     project
	credentials credentials
	base        string // of the URL on this machine
}

// ask sends a request by the project's own name, as user (empty: nobody).
func (v *visit) ask(t *testing.T, method, path, password, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, v.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = v.project.Host
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if password != "" {
		req.SetBasicAuth("admin", password)
	}
	resp, err := stay.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// stay follows no redirect.
var stay = &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
	return http.ErrUseLastResponse
}}

// admin asks Grafana as its administrator, and reads the answer.
func (v *visit) admin(t *testing.T, method, path, body string, into any) {
	t.Helper()
	code, text := v.ask(t, method, path, v.credentials.GrafanaAdminPassword, body)
	if code != http.StatusOK {
		t.Fatalf("%s %s by the administrator: %d %s", method, path, code, text)
	}
	if into != nil {
		unmarshal(t, text, into)
	}
}

// eventually waits for a condition, which says what is still wrong.
func eventually(t *testing.T, bound time.Duration, condition func() error) {
	t.Helper()
	deadline := time.After(bound)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("after %s: %v", bound, err)
		case <-tick.C:
		}
	}
}

func (v *visit) dataSourcesWork(t *testing.T) {
	for _, uid := range []string{"prometheus", "influxdb-github", "influxdb-monitoring", "influxdb-_internal"} {
		var health struct{ Status, Message string }
		v.admin(t, http.MethodGet, "/api/datasources/uid/"+uid+"/health", "", &health)
		if health.Status != "OK" {
			t.Errorf("the data source %s: %+v", uid, health)
		}
	}
}

// look opens a dashboard by the project's own URL as somebody who is not logged in,
// and returns its panels once they are drawn.
func (v *visit) look(t *testing.T, b *browser, uid, query, picture string, shown func([]panel) bool) []panel {
	t.Helper()
	d := readDashboard(t, v.l, uid)
	pg := b.open(t, v.project.URL+"d/"+uid+query, 1400, d.height())
	defer pg.cancel()
	panels := pg.panelsWhen(t, d.visible(), shown)
	pg.picture(t, v.l, picture)
	pg.complain(t)
	for _, e := range panels {
		if e.Error {
			t.Errorf("the panel %q of %s has an error mark: %s", e.Title, uid, e.Text)
		}
	}
	return panels
}

func anything([]panel) bool { return true }

func (v *visit) emptyDashboards(t *testing.T) {
	b := newBrowser(t, v.project)
	for uid, want := range map[string][]string{
		"caches":     {"No GitHub cache is polled", "No Bazel cache is polled", "no cache polled", "push github_token_count points"},
		"ci-health":  {"push ci_job points to the database github", "none yet"},
		"home":       {"curl -u writer:PASSWORD", "Nothing pushed yet"},
		"monitoring": {"push github_token_count points to the database monitoring"},
	} {
		text := ""
		for _, e := range v.look(t, b, uid, "", "empty-"+uid, anything) {
			text += e.Text + "\n"
			if strings.HasSuffix(strings.TrimSpace(e.Text), "No data") {
				t.Errorf("the panel %q of %s does not say what to send: %s", e.Title, uid, e.Text)
			}
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s without data does not say %q, but:\n%s", uid, w, text)
			}
		}
	}
}

// pagesOfPusher looks at a project that has no Prometheus.
func (v *visit) pagesOfPusher(t *testing.T) {
	pg := newBrowser(t, v.project).open(t, v.project.URL, 1400, 1400)
	defer pg.cancel()
	eventually(t, time.Minute, func() error {
		panels, err := chromedp.Run(pg.ctx, chromedp.Evaluate[[]panel](panelsScript))
		if err != nil || len(panels) == 0 || !pg.quiet() || slices.ContainsFunc(panels, func(e panel) bool { return e.Loading }) {
			return fmt.Errorf("the home dashboard is not drawn: %d panels, %v", len(panels), err)
		}
		for _, e := range panels {
			if e.Error {
				return fmt.Errorf("the panel %q has an error mark: %s", e.Title, e.Text)
			}
		}
		return nil
	})
	pg.picture(t, v.l, "empty-home-without-prometheus")
	pg.complain(t)
	if code, text := v.ask(t, http.MethodGet, "/prometheus/", "", ""); code != http.StatusNotFound || !strings.Contains(text, "no Prometheus") {
		t.Errorf("/prometheus/ of a project without: %d %s", code, text)
	}
}

// figure is a number as Grafana writes it.
var figure = regexp.MustCompile(`(-?[0-9]+(?:\.[0-9]+)?)\s*(%|K|Mil|ms|s|min|hours?|days?|[KMG]iB|B)?$`)

var units = map[string]float64{
	"": 1, "%": 0.01, "K": 1e3, "Mil": 1e6, "ms": 1e-3, "s": 1, "min": 60, "hour": 3600, "hours": 3600, "day": 86400, "days": 86400,
	"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
}

// number reads what is written after a label of a panel; without a label, its last line.
func (e panel) number(label string) (float64, error) {
	lines := slices.DeleteFunc(strings.FieldsFunc(e.Text, func(r rune) bool { return r == '\n' || r == '\t' }),
		func(s string) bool { return strings.TrimSpace(s) == "" })
	at := len(lines) - 1
	if label != "" {
		at = slices.Index(lines, label) + 1
		if at == 0 || at == len(lines) {
			return 0, fmt.Errorf("the panel %q does not show %q: %q", e.Title, label, e.Text)
		}
	}
	if at < 0 {
		return 0, fmt.Errorf("the panel %q shows nothing", e.Title)
	}
	m := figure.FindStringSubmatch(strings.TrimSpace(lines[at]))
	if m == nil {
		return 0, fmt.Errorf("the panel %q shows no number: %q", e.Title, e.Text)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	return n * units[m[2]], err
}

// shows is what a panel has to show: the n-th of that title.
type shows struct {
	title string
	n     int
	label string
	want  float64
}

// check compares with three digits, which is what Grafana writes.
func (s shows) check(panels []panel) error {
	n := s.n
	for _, e := range panels {
		if e.Title != s.title {
			continue
		}
		if n--; n >= 0 {
			continue
		}
		got, err := e.number(s.label)
		if err == nil && math.Abs(got-s.want) > 0.006*math.Abs(s.want) {
			err = fmt.Errorf("the panel %q (%d, %q) shows %g, want %g", s.title, s.n, s.label, got, s.want)
		}
		return err
	}
	return fmt.Errorf("there is no panel %q (%d)", s.title, s.n)
}

func checkAll(panels []panel, want []shows) error {
	var faults []error
	for _, w := range want {
		faults = append(faults, w.check(panels))
	}
	return errors.Join(faults...)
}

// targets are those that answer in siteConfig: four parts of the site, three ways
// through nginx, two jobs and two pages of the project.
const targets = 11

func (v *visit) dashboardsShow(t *testing.T, runs []ciRun) {
	eventually(t, time.Minute, func() error {
		return v.promQL(t, `sum(up) == 11 and sum(probe_success) == 5 and count(ghcache_disk_used) == 1`)
	})
	b := newBrowser(t, v.project)
	ci := expectCI(runs)
	most := func(login string) float64 { return float64(slices.Max(tokensUsed(login, tokenHours))) }
	last := func(login string) float64 { return float64(tokensUsed(login, tokenHours)[0]) }
	series := float64(len(logins) + ci.jobs)

	for _, d := range []struct {
		uid, query string
		want       []shows
	}{
		{"caches", "", []shows{
			{"Efficiency", 0, "", 25.0 / 31}, {"Tokens saved in an hour", 0, "", 25 * 60}, {"Tokens saved", 0, "", 25 * 60 * 48},
			{"Disk", 0, "", 0.4}, {"Requests an hour, by mode", 0, "REVALIDATED", 1200}, {"Requests an hour, by mode", 0, "MISS", 240},
			{"Tokens used an hour, by login", 0, logins[0], last(logins[0])}, {"Tokens used an hour, by login", 0, logins[1], last(logins[1])},
			{"Action cache: hits", 0, "", 0.75}, {"Content store: hits", 0, "", 0.9}, {"Disk", 1, "", 0.6},
			{"Age of the last evicted entry", 0, "", 1.5 * 86400},
			{"Action cache: hits and misses an hour", 0, "hits", 1800}, {"Action cache: hits and misses an hour", 0, "misses", 600},
		}},
		{"ci-health", "", []shows{
			{"Runs", 0, "", float64(ci.runs)}, {"Jobs", 0, "", float64(ci.jobs)}, {"Failure rate", 0, "", ci.failures},
			{"Flake rate", 0, "", ci.flakes}, {"Duration, median", 0, "", ci.median}, {"Duration, 90 %", 0, "", ci.ninth},
			{"Jobs", 1, "unit", 83}, {"Jobs", 1, "e2e", 83}, {"Jobs", 1, "upgrade", 83},
		}},
		{"monitoring", "", []shows{
			{"Most used in an hour, by login", 0, logins[0], most(logins[0])}, {"Most used in an hour, by login", 0, logins[1], most(logins[1])},
			{"Probes", 0, "succeed", 5}, {"Probes", 0, "fail", 0}, {"First certificate to end", 0, "", certificateDays * 86400},
		}},
		{"home", "?from=now-10m&to=now", []shows{
			{"Targets", 0, "up", targets}, {"Targets", 0, "down", 0}, {"Probes", 0, "succeed", 5}, {"Probes", 0, "fail", 0},
			{"Alerts firing", 0, "", 0}, {"Restarts", 0, "", 0}, {"Points refused", 0, "", 0},
			{"Points written", 0, "", float64(len(runs) + tokenHours*len(logins))}, {"Series in InfluxDB", 0, "", series},
		}},
		{"monitoring", "?from=now-10m&to=now", []shows{
			{"Days left of certificates", 0, "https://exporter.targets/", certificateDays},
		}},
	} {
		// What InfluxDB says of itself is ten seconds old, what is polled five, and the
		// steps of a graph are a minute long.
		var err error
		began := time.Now()
		for deadline := began.Add(75 * time.Second); ; {
			picture := d.uid + strings.TrimSuffix(strings.TrimPrefix(d.query, "?from=now"), "&to=now")
			if err = checkAll(v.look(t, b, d.uid, d.query, picture, anything), d.want); err == nil || time.Now().After(deadline) {
				break
			}
			t.Logf("%s, %s after it was first opened: %v", d.uid, time.Since(began).Round(time.Second), err)
		}
		if err != nil {
			t.Errorf("%s: %v", d.uid, err)
		}
	}
	v.rowsOpen(t, b)
}

// rowsOpen looks into the rows of CI health that are shut at first.
func (v *visit) rowsOpen(t *testing.T, b *browser) {
	d := readDashboard(t, v.l, "ci-health")
	pg := b.open(t, v.project.URL+"d/ci-health?from=now-1d&to=now", 1400, d.height()+400)
	defer pg.cancel()
	pg.panels(t, d.visible())
	for _, row := range []string{"Resource pool (Boskos)", "Merge queue (Tide)"} {
		if _, err := chromedp.Run(pg.ctx, chromedp.Click(fmt.Sprintf(`[data-testid="data-testid dashboard-row-title-%s"]`, row))); err != nil {
			t.Fatalf("open the row %s: %v", row, err)
		}
	}
	panels := pg.panels(t, d.visible()+5)
	pg.picture(t, v.l, "ci-health-rows")
	pg.complain(t)
	if err := checkAll(panels, []shows{
		{"Pull requests in the pools", 0, "kubernetes/kubernetes:master", 7}, {"Merges a day", 0, "kubernetes/kubernetes:master", 24 * 60},
		{"Processing time of Tide", 0, "pools", 21}, {"Processing time of Tide", 0, "status", 9},
		{"Resources, by state", 0, "busy", 12}, {"Resources, by state", 0, "free", 34},
		{"Free resources, by type", 0, "gce-project", 30}, {"Free resources, by type", 0, "gpu-project", 4},
	}); err != nil {
		t.Error(err)
	}
	for _, e := range panels {
		if e.Error {
			t.Errorf("the panel %q has an error mark: %s", e.Title, e.Text)
		}
	}
}

// promQL is satisfied when a query through nginx has a result.
func (v *visit) promQL(t *testing.T, query string) error {
	t.Helper()
	code, text := v.ask(t, http.MethodGet, "/prometheus/api/v1/query?query="+url.QueryEscape(query), "", "")
	var answer struct {
		Data struct{ Result []any }
	}
	if code == http.StatusOK {
		unmarshal(t, text, &answer)
	}
	if len(answer.Data.Result) == 0 {
		return fmt.Errorf("%s has no result: %d %s", query, code, text)
	}
	return nil
}

func (v *visit) anonymousOnlyLooks(t *testing.T) {
	for _, c := range []struct {
		request string
		want    []int
	}{
		{"GET /api/dashboards/home", []int{200}},
		{"GET /api/dashboards/uid/caches", []int{200}},
		{"GET /api/search", []int{200}},
		{"POST /api/dashboards/db", []int{401, 403}},
		{"DELETE /api/dashboards/uid/caches", []int{401, 403}},
		{"POST /api/folders", []int{401, 403}},
		{"POST /api/snapshots", []int{401, 403}},
		{"POST /api/annotations", []int{401, 403}},
		{"POST /api/playlists", []int{401, 403}},
		{"POST /api/user/stars/dashboard/uid/home", []int{401, 403}},
		{"PUT /api/user/preferences", []int{401, 403}},
		{"PUT /api/org/preferences", []int{401, 403}},
		{"POST /api/orgs", []int{401, 403}},
		{"GET /api/users", []int{401, 403}},
		{"GET /api/org/users", []int{401, 403}},
		{"POST /api/admin/users", []int{401, 403}},
		{"GET /api/admin/settings", []int{401, 403}},
		{"POST /api/datasources", []int{401, 403}},
		{"DELETE /api/datasources/uid/prometheus", []int{401, 403}},
		{"GET /api/v1/provisioning/alert-rules", []int{401, 403}},
		{"POST /api/ruler/grafana/api/v1/rules/Velodrome", []int{401, 403}},
		// Explore and the administration lead back to the front page.
		{"GET /explore", []int{302}},
		{"GET /admin", []int{302}},
		{"GET /admin/users", []int{302}},
		// Nobody signs up.
		{"POST /api/user/signup", []int{400, 401, 403, 404}},
		{"POST /api/user/signup/step2", []int{400, 401, 403, 404}},
		// The data sources take queries, and nothing that changes data.
		{"POST /api/datasources/proxy/uid/influxdb-github/write?db=github", []int{401, 403}},
		{"POST /api/datasources/proxy/uid/influxdb-github/query?db=github&q=DROP+DATABASE+github", []int{401, 403}},
		{"GET /api/datasources/proxy/uid/influxdb-github/debug/vars", []int{403}},
		{"GET /api/datasources/proxy/uid/influxdb-github/metrics", []int{403}},
		{"POST /api/datasources/proxy/uid/prometheus/-/quit", []int{403}},
		{"POST /api/datasources/proxy/uid/prometheus/api/v1/admin/tsdb/snapshot", []int{403}},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		body := ""
		if method != http.MethodGet {
			body = "{}"
		}
		if code, text := v.ask(t, method, path, "", body); !slices.Contains(c.want, code) {
			t.Errorf("%s by nobody: %d, want %v: %.300s", c.request, code, c.want, text)
		}
	}

	if _, text := v.ask(t, http.MethodGet, "/", "", ""); strings.Contains(text, `"url":"/explore"`) || strings.Contains(text, `"url":"/admin`) {
		t.Error("the menu leads people who are not logged in to Explore or to the administration")
	}

	// With a whole form, nobody becomes a user either.
	v.ask(t, http.MethodPost, "/api/user/signup", "", `{"email":"somebody@example.org"}`)
	v.ask(t, http.MethodPost, "/api/user/signup/step2", "", `{"email":"somebody@example.org","username":"somebody","password":"a-long-password","name":"Somebody"}`)
	var users []struct{ Login string }
	v.admin(t, http.MethodGet, "/api/users", "", &users)
	if len(users) != 1 || users[0].Login != "admin" {
		t.Errorf("these are users: %+v", users)
	}

	// The front page is the project's, for those who are logged in too.
	for _, password := range []string{"", v.credentials.GrafanaAdminPassword} {
		var home struct {
			RedirectURI string
			Dashboard   struct{ UID, Title string }
		}
		_, text := v.ask(t, http.MethodGet, "/api/dashboards/home", password, "")
		unmarshal(t, text, &home)
		if home.Dashboard.Title != "Home" {
			t.Errorf("the front page (logged in: %v) is %+v", password != "", home)
		}
	}
}

func (v *visit) dashboardsStay(t *testing.T) {
	for _, uid := range []string{"home", "monitoring", "ci-health", "caches"} {
		var have struct {
			Meta      struct{ Provisioned bool }
			Dashboard map[string]any
		}
		v.admin(t, http.MethodGet, "/api/dashboards/uid/"+uid, "", &have)
		have.Dashboard["title"] = "Mine"
		body, err := json.Marshal(map[string]any{"dashboard": have.Dashboard, "overwrite": true})
		if err != nil {
			t.Fatal(err)
		}
		code, text := v.ask(t, http.MethodPost, "/api/dashboards/db", v.credentials.GrafanaAdminPassword, string(body))
		if code != http.StatusBadRequest || !strings.Contains(text, "provisioned") || !have.Meta.Provisioned {
			t.Errorf("the administrator saves over %s: %d %s", uid, code, text)
		}
		if code, text := v.ask(t, http.MethodDelete, "/api/dashboards/uid/"+uid, v.credentials.GrafanaAdminPassword, ""); code != http.StatusBadRequest {
			t.Errorf("the administrator deletes %s: %d %s", uid, code, text)
		}
	}
}

// hosts are the names by which the site is asked for: the project's own, and the
// address that answers on this machine, with its port.
func (v *visit) hosts() []string {
	return []string{v.project.Host, v.project.IP, site(v.project, 80)}
}

var asset = regexp.MustCompile(`(?:src|href)="([^"]+\.(?:js|css|svg|png|woff2))"`)

func (v *visit) linksAreRight(t *testing.T) {
	for _, host := range v.hosts() {
		request := func(path string) *http.Response {
			t.Helper()
			req, err := http.NewRequest(http.MethodGet, v.base+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			resp, err := stay.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		// Redirects: each leads to a page of the same host.
		for path, want := range map[string]string{
			"/prometheus":  "/prometheus/",
			"/influxdb":    "/influxdb/",
			"/profile":     "/login",
			"/explore":     "/",
			"/logout":      "/login",
			"/prometheus/": "",
			"/d/caches":    "",
			"/d/caches/caches?from=now-1h&to=now&var-login=All": "",
			"/alerting/list": "",
			"/dashboards":    "",
		} {
			resp := request(path)
			resp.Body.Close()
			to := resp.Header.Get("Location")
			for hops := 0; hops < 5 && want == "" && to != ""; hops++ { // Prometheus moves its pages from version to version
				if u, err := url.Parse(to); err != nil || u.Host != "" {
					t.Errorf("%s at %s leads to %s", path, host, to)
					break
				}
				resp = request(to)
				resp.Body.Close()
				to = resp.Header.Get("Location")
			}
			if want != to || want == "" && resp.StatusCode != http.StatusOK {
				t.Errorf("%s at %s: %d, leads to %q, want %q", path, host, resp.StatusCode, to, want)
			}
		}
		// Assets of a deep link.
		resp := request("/d/caches/caches")
		page, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		found := asset.FindAllSubmatch(page, -1)
		if len(found) < 5 {
			t.Errorf("the page at %s names %d assets:\n%s", host, len(found), page)
		}
		for _, f := range found {
			name := string(f[1])
			if !strings.HasPrefix(name, "/") {
				name = "/" + name // below <base href="/">
			}
			resp := request(name)
			resp.Body.Close()
			if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || strings.HasPrefix(kind, "text/html") {
				t.Errorf("the asset %s at %s: %d %s", name, host, resp.StatusCode, kind)
			}
		}
		if strings.Contains(string(page), ":3000") || !bytes.Contains(page, []byte(`<base href="/"`)) {
			t.Errorf("the page at %s has a wrong base", host)
		}
		// A form can be sent: Grafana compares the origin of a page with the host that it hears of.
		v.logInFrom(t, host)
	}
}

// logInFrom logs in as a browser does, and stays logged in.
func (v *visit) logInFrom(t *testing.T, host string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Timeout: 30 * time.Second, Jar: jar}
	send := func(method, path, body string) (int, string) {
		req, err := http.NewRequest(method, v.base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("Origin", "http://"+host)
		req.Header.Set("Content-Type", "application/json")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	form, err := json.Marshal(map[string]string{"user": "admin", "password": v.credentials.GrafanaAdminPassword})
	if err != nil {
		t.Fatal(err)
	}
	if code, text := send(http.MethodPost, "/login", string(form)); code != http.StatusOK {
		t.Errorf("log in at %s: %d %s", host, code, text)
	}
	if code, text := send(http.MethodGet, "/api/user", ""); code != http.StatusOK || !strings.Contains(text, `"login":"admin"`) {
		t.Errorf("after a login at %s: %d %s", host, code, text)
	}
}

// liveThroughNginx shakes hands with Grafana's live server, and hears from it.
func (v *visit) liveThroughNginx(t *testing.T) {
	for _, host := range v.hosts() {
		conn, err := net.Dial("tcp", site(v.project, 80))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		// A frame with a greeting, masked with zeros (RFC 6455, 5.2).
		greeting := `{"id":1,"connect":{}}`
		frame := append([]byte{0x81, 0x80 | byte(len(greeting)), 0, 0, 0, 0}, greeting...)
		if _, err := fmt.Fprintf(conn, "GET /api/live/ws HTTP/1.1\r\nHost: %[1]s\r\nOrigin: http://%[1]s\r\nUpgrade: websocket\r\n"+
			"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", host); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Errorf("the handshake at %s: %s %v", host, resp.Status, resp.Header)
			continue
		}
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 2)
		if _, err := io.ReadFull(r, head); err != nil {
			t.Fatalf("the live server at %s says nothing: %v", host, err)
		}
		if head[0] != 0x81 {
			t.Errorf("the live server at %s sends %x", host, head)
		}
	}
}

func (v *visit) refused(t *testing.T) {
	for _, path := range []string{
		"/metrics", "//metrics", "/%6detrics", "/./metrics",
		"/influxdb/debug/vars", "/influxdb/debug/pprof/", "/influxdb/metrics", "/influxdb//debug/vars", "/influxdb/%64ebug/vars", "/x/../influxdb/debug/vars",
		"/prometheus/-/quit", "/prometheus/-/reload", "//prometheus//-/quit", "/prometheus/%2d/quit",
		"/prometheus/api/v1/admin/tsdb/snapshot", "/prometheus/api/v1/write", "/prometheus/api/v1/otlp/v1/metrics", "/prometheus/debug/pprof/heap",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
			// By hand: a client would tidy the path.
			conn, err := net.Dial("tcp", site(v.project, 80))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", method, path, v.project.Host); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s is not refused: %s", method, path, resp.Status)
			}
			conn.Close()
		}
	}
}

// logsClients compares nginx's log with the address of a client of its own: the prober.
// That a client says it is somebody else counts for nothing.
func (v *visit) logsClients(t *testing.T) {
	req, err := http.NewRequest(http.MethodGet, v.base+"/api/health?marked", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", "203.0.113.9")
	req.Header.Set("X-Real-IP", "203.0.113.9")
	req.Header.Set("User-Agent", "marked")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	ip := strings.TrimSpace(v.l.mustByHand(t, `kubectl -n `+v.project.Namespace+` get pods -l app=blackbox-prober -o jsonpath='{.items[0].status.podIP}'`))
	eventually(t, 20*time.Second, func() error {
		log := v.l.mustByHand(t, `kubectl -n `+v.project.Namespace+` logs -l app=nginx --tail=200`)
		prober := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(ip) + ` - .*"Blackbox Exporter`)
		marked := regexp.MustCompile(`(?m)^(\S+) - .*"marked"`).FindStringSubmatch(log)
		if !prober.MatchString(log) || marked == nil {
			return fmt.Errorf("nginx's log does not have the prober's address %s, or not the marked request:\n%s", ip, log)
		}
		if net.ParseIP(marked[1]) == nil || marked[1] == "203.0.113.9" {
			t.Errorf("the marked request is logged as from %s", marked[1])
		}
		return nil
	})
}

func (v *visit) alertsFire(t *testing.T) {
	// Both servers have read their rules, and can evaluate them.
	eventually(t, time.Minute, func() error {
		health := map[string]string{}
		for source, path := range map[string]string{"Prometheus": "/prometheus/api/v1/rules", "Grafana": "/api/prometheus/grafana/api/v1/rules"} {
			var rules struct {
				Data struct {
					Groups []struct {
						Rules []struct{ Name, Health, LastError string }
					}
				}
			}
			_, text := v.ask(t, http.MethodGet, path, "", "")
			unmarshal(t, text, &rules)
			for _, g := range rules.Data.Groups {
				for _, r := range g.Rules {
					health[source+" "+r.Name] = r.Health + r.LastError
				}
			}
		}
		for _, rule := range []string{
			"Prometheus TargetDown", "Prometheus ProbeFailing", "Prometheus DiskFillingWithinFourDays", "Prometheus ContainerRestarting",
			"Grafana NoPointsWrittenForADay", "Grafana DiskFillingWithinFourDays",
		} {
			if health[rule] != "ok" {
				return fmt.Errorf("the rule %s is %q; there are %v", rule, health[rule], slices.Sorted(maps.Keys(health)))
			}
		}
		return nil
	})

	// A target that goes away, and a part that does not stay up.
	v.l.mustByHand(t, "kubectl -n targets scale deployment goes-away --replicas=0")
	var restarts float64
	for restarts < 3 {
		v.l.mustByHand(t, "kubectl -n "+v.project.Namespace+" delete pods -l app=blackbox-prober --wait=false; kubectl -n "+v.project.Namespace+" rollout status deployment blackbox --timeout=60s")
		restarts++
		eventually(t, time.Minute, func() error {
			return v.promQL(t, fmt.Sprintf(`changes(process_start_time_seconds{job="velodrome-blackbox"}[1h]) >= %g`, restarts))
		})
	}
	eventually(t, 90*time.Second, func() error {
		return errors.Join(
			v.promQL(t, `ALERTS{alertname="ContainerRestarting",alertstate="firing",job="velodrome-blackbox"}`),
			v.promQL(t, `ALERTS{alertname="TargetDown",alertstate=~"pending|firing",job="goes-away"}`),
			v.promQL(t, `ALERTS{alertname="ProbeFailing",alertstate=~"pending|firing",instance="http://goes-away.targets/"}`))
	})
	// And it shows.
	panels := v.look(t, newBrowser(t, v.project), "home", "?from=now-10m&to=now", "home-alerts", func(panels []panel) bool {
		return slices.ContainsFunc(panels, func(e panel) bool {
			return e.Title == "Alerts" && strings.Contains(e.Text, "ContainerRestarting") && strings.Contains(e.Text, "TargetDown")
		})
	})
	if err := checkAll(panels, []shows{{"Alerts firing", 0, "", 1}, {"Targets", 0, "down", 1}}); err != nil {
		t.Error(err)
	}
}

// rolloutLosesNothing asks without a pause while nginx is replaced, over connections
// that are kept and over new ones.
func (v *visit) rolloutLosesNothing(t *testing.T) {
	stop := make(chan struct{})
	var all sync.WaitGroup
	var mu sync.Mutex
	asked, lost := map[string]int{}, map[string]error{}
	for kind, transport := range map[string]*http.Transport{
		"kept": {MaxIdleConnsPerHost: 1}, "new": {DisableKeepAlives: true},
	} {
		for _, path := range []string{"/api/health", "/influxdb/ping", "/public/img/grafana_icon.svg"} {
			all.Go(func() {
				c := &http.Client{Timeout: 20 * time.Second, Transport: transport}
				for {
					select {
					case <-stop:
						return
					case <-time.After(10 * time.Millisecond):
					}
					resp, err := c.Get(v.base + path)
					if err == nil {
						_, err = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
						if resp.StatusCode >= 300 {
							err = errors.New(resp.Status)
						}
					}
					mu.Lock()
					asked[kind]++
					if err != nil {
						lost[kind+" "+path] = err
					}
					mu.Unlock()
				}
			})
		}
	}
	ns := v.project.Namespace
	_, err := v.l.byHand("kubectl -n " + ns + " rollout restart deployment nginx; kubectl -n " + ns + " rollout status deployment nginx --timeout=120s; " +
		// Until the old ones are gone.
		"kubectl -n " + ns + " wait pods -l app=nginx --for=condition=Ready --timeout=60s")
	if err == nil {
		eventually(t, time.Minute, func() error {
			pods := strings.Fields(v.l.mustByHand(t, "kubectl -n "+ns+" get pods -l app=nginx -o name"))
			if len(pods) != 2 {
				return fmt.Errorf("there are %v", pods)
			}
			return nil
		})
	}
	close(stop)
	all.Wait()
	if err != nil {
		t.Error(err)
	}
	for what, err := range lost {
		t.Errorf("a request was lost (%s): %v", what, err)
	}
	t.Logf("asked during the rollout: %v", asked)
	for _, kind := range []string{"kept", "new"} {
		if asked[kind] < 50 {
			t.Errorf("only %d requests over %s connections", asked[kind], kind)
		}
	}
}

func (v *visit) rotation(t *testing.T) {
	v.admin(t, http.MethodPost, "/api/user/stars/dashboard/uid/caches", "", nil)
	v.admin(t, http.MethodPost, "/api/dashboards/db", `{"dashboard":{"uid":"by-hand","title":"Made by hand","panels":[]}}`, nil)
	v.admin(t, http.MethodPut, "/api/user/preferences", `{"theme":"light","timezone":"utc"}`, nil)
	v.admin(t, http.MethodPost, "/api/annotations", `{"text":"noted by hand","tags":["by-hand"]}`, nil)

	old := v.credentials
	v.l.writeSiteConfig(t, 2)
	v.l.mustByHand(t, "pulumi up --stack local --yes --skip-preview")
	_, passwords := v.l.outputs(t)
	v.credentials = passwords["kubernetes"]
	if old.GrafanaAdminPassword == v.credentials.GrafanaAdminPassword {
		t.Fatal("the password stayed the same")
	}
	if code, text := v.ask(t, http.MethodGet, "/api/user", old.GrafanaAdminPassword, ""); code != http.StatusUnauthorized {
		t.Errorf("the old password: %d %s", code, text)
	}
	v.dataSourcesWork(t)

	var starred []struct{ UID string }
	v.admin(t, http.MethodGet, "/api/search?starred=true", "", &starred)
	if len(starred) != 1 || starred[0].UID != "caches" {
		t.Errorf("starred: %v", starred)
	}
	var preferences struct{ Theme, Timezone string }
	v.admin(t, http.MethodGet, "/api/user/preferences", "", &preferences)
	if preferences.Theme != "light" || preferences.Timezone != "utc" {
		t.Errorf("preferences: %+v", preferences)
	}
	var mine struct{ Dashboard struct{ Title string } }
	v.admin(t, http.MethodGet, "/api/dashboards/uid/by-hand", "", &mine)
	if mine.Dashboard.Title != "Made by hand" {
		t.Errorf("the dashboard made by hand: %+v", mine)
	}
	var notes []struct{ Text string }
	v.admin(t, http.MethodGet, "/api/annotations?tags=by-hand", "", &notes)
	if len(notes) != 1 || notes[0].Text != "noted by hand" {
		t.Errorf("annotations: %+v", notes)
	}
}

func (v *visit) backendDown(t *testing.T) {
	ns := v.project.Namespace
	v.l.mustByHand(t, "kubectl -n "+ns+" scale statefulset grafana --replicas=0; kubectl -n "+ns+" wait --for=delete pod -l app=grafana --timeout=60s")
	eventually(t, 30*time.Second, func() error {
		code, text := v.ask(t, http.MethodGet, "/", "", "")
		if code != http.StatusServiceUnavailable || !strings.Contains(text, "grafana of this site does not answer") || len(text) > 1000 {
			return fmt.Errorf("the front page without Grafana: %d %s", code, text)
		}
		return nil
	})
	if code, _ := v.ask(t, http.MethodGet, "/influxdb/ping", "", ""); code != http.StatusNoContent {
		t.Errorf("InfluxDB without Grafana: %d", code)
	}
	if err := v.promQL(t, "up"); err != nil {
		t.Error(err)
	}
	v.l.mustByHand(t, "kubectl -n "+ns+" scale statefulset influxdb prometheus --replicas=0")
	for path, name := range map[string]string{"/influxdb/ping": "influxdb", "/prometheus/graph": "prometheus"} {
		eventually(t, time.Minute, func() error {
			if code, text := v.ask(t, http.MethodGet, path, "", ""); code != http.StatusServiceUnavailable || !strings.HasPrefix(text, name+" of this site does not answer") {
				return fmt.Errorf("%s without %s: %d %s", path, name, code, text)
			}
			return nil
		})
	}
	v.l.mustByHand(t, "kubectl -n "+ns+" scale statefulset influxdb prometheus grafana --replicas=1; kubectl -n "+ns+" rollout status statefulset grafana --timeout=120s")
	eventually(t, 30*time.Second, func() error {
		if code, text := v.ask(t, http.MethodGet, "/api/health", "", ""); code != http.StatusOK {
			return fmt.Errorf("Grafana does not come back: %d %s", code, text)
		}
		return nil
	})
}
