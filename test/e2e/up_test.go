//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A newcomer's first command ends with sites that answer; and what it brought up goes
// away again without a trace.
func TestSitesComeUpAnswerAndGo(t *testing.T) {
	l := newLocal(t)
	shown := l.must(t, "up")
	projects, passwords := l.outputs(t)
	if len(projects) < 2 {
		t.Fatalf("config.yaml has %d projects", len(projects))
	}

	t.Run("every URL that is shown answers", func(t *testing.T) {
		urls := regexp.MustCompile(`http://127\S+/`).FindAllString(shown, -1)
		if len(urls) < 2*len(projects) {
			t.Fatalf("these URLs are shown: %v", urls)
		}
		for _, u := range urls {
			// InfluxDB says 404 at its own root.
			if _, code := get(t, u, ""); code != http.StatusOK && !strings.HasSuffix(u, "/influxdb/") {
				t.Errorf("%s answers %d", u, code)
			}
		}
	})
	t.Run("every pod is ready", func(t *testing.T) { everyPodIsReady(t, l) })
	for name, p := range projects {
		t.Run(name, func(t *testing.T) { siteAnswers(t, l, p, passwords[name]) })
	}
	t.Run("a stranger's pod does not reach InfluxDB", func(t *testing.T) { strangerIsKeptOut(t, l) })
	t.Run("passwords are in no process list and no log", func(t *testing.T) { passwordsAreHidden(t, l, passwords) })
	t.Run("a second up changes nothing", func(t *testing.T) {
		l.mustByHand(t, "pulumi up --stack local --yes --skip-preview --expect-no-changes")
	})
	t.Run("a refresh finds no drift", func(t *testing.T) {
		l.mustByHand(t, "pulumi refresh --stack local --yes --skip-preview --expect-no-changes")
	})
	t.Run("a project goes by itself", func(t *testing.T) { projectGoesByItself(t, l) })
	t.Run("destroy leaves nothing", func(t *testing.T) { destroyLeavesNothing(t, l) })
	l.must(t, "down")
	t.Run("down leaves nothing on the host", func(t *testing.T) { hostIsClean(t, l) })
}

func everyPodIsReady(t *testing.T, l *local) {
	var pods struct {
		Items []struct {
			Metadata struct{ Name, Namespace string }
			Status   struct {
				Conditions []struct{ Type, Status string }
			}
		}
	}
	unmarshal(t, l.mustByHand(t, "kubectl get pods -A -l app.kubernetes.io/part-of=velodrome -o json"), &pods)
	for _, p := range pods.Items {
		ready := slices.ContainsFunc(p.Status.Conditions, func(c struct{ Type, Status string }) bool {
			return c.Type == "Ready" && c.Status == "True"
		})
		if !ready {
			t.Errorf("%s/%s is not ready", p.Metadata.Namespace, p.Metadata.Name)
		}
	}
	if len(pods.Items) == 0 {
		t.Error("there are no pods")
	}
}

// siteAnswers goes the way of a visitor: from the name to the address, over nginx to
// every part behind it.
func siteAnswers(t *testing.T, l *local, p project, c credentials) {
	if p.Host != p.IP {
		if ip := lookUp(t, p.Host); ip != p.IP {
			t.Fatalf("%s is %q in DNS, and the project's address is %s", p.Host, ip, p.IP)
		}
	}
	base := "http://" + site(p, 80)

	var health struct{ Database string }
	body, code := get(t, base+"/api/health", p.Host)
	unmarshal(t, body, &health)
	if code != http.StatusOK || health.Database != "ok" {
		t.Errorf("Grafana's health: %d %s", code, body)
	}
	if body, code := get(t, base+"/login", p.Host); code != http.StatusOK || !strings.Contains(body, "Grafana") {
		t.Errorf("the login page: %d", code)
	}
	logIn(t, base, c.GrafanaAdminPassword, http.StatusOK)
	logIn(t, base, "admin", http.StatusUnauthorized)

	pushAndQuery(t, base+"/influxdb", c)
	pushAndQuery(t, "http://"+site(p, 8181), c)

	refused := []string{"/metrics", "/influxdb/debug/vars", "/influxdb/metrics"}
	if p.PrometheusURL != "" {
		if body, code := get(t, base+"/prometheus/api/v1/query?query=up", p.Host); code != http.StatusOK || !strings.Contains(body, "success") {
			t.Errorf("Prometheus: %d %s", code, body)
		}
		refused = append(refused, "/prometheus/-/quit", "/prometheus/api/v1/admin/tsdb/snapshot")
	}
	for _, path := range refused {
		if _, code := get(t, base+path, p.Host); code != http.StatusForbidden {
			t.Errorf("%s is not refused to visitors: %d", path, code)
		}
	}
	looksLikeGrafana(t, l, p, base)
}

// lookUp asks the DNS server of the stand-in for GCP.
func lookUp(t *testing.T, host string) string {
	t.Helper()
	var m dns.Msg
	m.SetQuestion(dns.Fqdn(host), dns.TypeA)
	answer, err := dns.Exchange(&m, "127.0.0.1:"+dnsPort)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range answer.Answer {
		if a, ok := r.(*dns.A); ok {
			return a.A.String()
		}
	}
	return ""
}

func logIn(t *testing.T, base, password string, want int) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"user": "admin", "password": password})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Post(base+"/login", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		t.Errorf("log in: %s, want %d", resp.Status, want)
	}
}

// pushAndQuery shows that each account has its rights and no more.
func pushAndQuery(t *testing.T, base string, c credentials) {
	t.Helper()
	write := func(user, password string) int {
		u := base + "/write?" + url.Values{"db": {"monitoring"}, "u": {user}, "p": {password}}.Encode()
		resp, err := client.Post(u, "text/plain", strings.NewReader("e2e,site=one value=42"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	query := func(user, password string) (string, int) {
		return get(t, base+"/query?"+url.Values{
			"db": {"monitoring"}, "u": {user}, "p": {password}, "q": {"SELECT value FROM e2e"},
		}.Encode(), "")
	}
	for account, want := range map[[2]string]int{
		{"writer", c.InfluxDBWriterPassword}: http.StatusNoContent,
		{"admin", c.InfluxDBAdminPassword}:   http.StatusNoContent,
		{"reader", c.InfluxDBReaderPassword}: http.StatusForbidden,
		{"writer", "wrong"}:                  http.StatusUnauthorized,
		{"", ""}:                             http.StatusUnauthorized,
	} {
		if code := write(account[0], account[1]); code != want {
			t.Errorf("%s: a write by %q answers %d, want %d", base, account[0], code, want)
		}
	}
	if body, code := query("reader", c.InfluxDBReaderPassword); code != http.StatusOK || !strings.Contains(body, "42") {
		t.Errorf("%s: the reader's query: %d %s", base, code, body)
	}
	if body, _ := query("writer", c.InfluxDBWriterPassword); strings.Contains(body, "42") {
		t.Errorf("%s: the writer can read: %s", base, body)
	}
	if body, code := query("", ""); code != http.StatusUnauthorized {
		t.Errorf("%s: a query by nobody: %d %s", base, code, body)
	}
}

// strangerIsKeptOut shows that the policies are enforced: the same question is
// answered to Grafana's pod and not to another one in the same namespace.
func strangerIsKeptOut(t *testing.T, l *local) {
	const ask = `influx -host influxdb.velodrome-kubernetes.svc.cluster.local -execute "SHOW DATABASES"`
	pod := func(app string) string {
		return fmt.Sprintf(`image=$(kubectl -n velodrome-kubernetes get sts influxdb -o jsonpath='{.spec.template.spec.containers[0].image}')
kubectl -n velodrome-kubernetes run ask-as-%[1]s --restart=Never --image="$image" -l app=%[1]s,project=kubernetes --overrides='{"spec":{
  "automountServiceAccountToken":false,
  "securityContext":{"runAsNonRoot":true,"runAsUser":1500,"seccompProfile":{"type":"RuntimeDefault"}},
  "containers":[{"name":"c","image":"'"$image"'","command":["sh","-c","for i in 1 2 3; do timeout 5 %[2]s 2>&1; sleep 1; done"],
    "securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}},
    "env":[{"name":"HOME","value":"/tmp"}]}]}}' >/dev/null
kubectl -n velodrome-kubernetes wait --for=jsonpath='{.status.phase}'=Succeeded --timeout=60s pod/ask-as-%[1]s >/dev/null ||
kubectl -n velodrome-kubernetes wait --for=jsonpath='{.status.phase}'=Failed --timeout=1s pod/ask-as-%[1]s >/dev/null
kubectl -n velodrome-kubernetes logs ask-as-%[1]s
kubectl -n velodrome-kubernetes delete pod ask-as-%[1]s --grace-period=0 >/dev/null`,
			app, strings.ReplaceAll(ask, `"`, `\"`))
	}
	// InfluxDB's own refusal means that the packets got there.
	const there = "unable to parse authentication credentials"
	if out := l.mustByHand(t, pod("grafana")); !strings.Contains(out, there) {
		t.Errorf("Grafana's pod does not reach InfluxDB: %s", out)
	}
	if out := l.mustByHand(t, pod("stranger")); strings.Contains(out, there) {
		t.Errorf("a stranger's pod reaches InfluxDB: %s", out)
	}
}

// passwordsAreHidden looks where passwords have been found before.
func passwordsAreHidden(t *testing.T, l *local, all map[string]credentials) {
	places := map[string]string{
		"the pods' specifications": l.mustByHand(t, "kubectl get pods,deployments,statefulsets,configmaps,services,events -A -o yaml"),
		"the logs":                 l.mustByHand(t, l.binary()+" logs --lines 100000"),
		"the state":                l.mustByHand(t, "pulumi stack export --stack local"),
		"the preview":              l.mustByHand(t, "pulumi preview --stack local --diff"),
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range lines {
		// A process may have ended meanwhile.
		if text, err := os.ReadFile(file); err == nil && !strings.Contains(string(text), "e2e.test") {
			places["the process list"] += string(text)
		}
	}
	for project, c := range all {
		for _, p := range []string{c.GrafanaAdminPassword, c.InfluxDBAdminPassword, c.InfluxDBWriterPassword, c.InfluxDBReaderPassword} {
			if len(p) < 20 {
				t.Fatalf("a password of %s has %d characters", project, len(p))
			}
			for place, text := range places {
				if strings.Contains(text, p) {
					t.Errorf("a password of %s stands in %s", project, place)
				}
			}
		}
	}
}

// projectGoesByItself takes one project away as docs/operations.md says.
func projectGoesByItself(t *testing.T, l *local) {
	const others = "kubectl get pods,pvc,services -n velodrome-kubernetes -o jsonpath='{.items[*].metadata.uid}'"
	before := l.mustByHand(t, others)
	l.mustByHand(t, `pulumi destroy --stack local --yes --skip-preview --target-dependents \
  --target 'urn:pulumi:local::velodrome::velodrome:index:Project::istio'`)
	if out, err := l.byHand("kubectl get namespace velodrome-istio"); err == nil {
		t.Errorf("it is still there: %s", out)
	}
	if after := l.mustByHand(t, others); after != before {
		t.Errorf("the other project's objects were %s and are %s", before, after)
	}
}

func destroyLeavesNothing(t *testing.T, l *local) {
	l.mustByHand(t, "pulumi destroy --stack local --yes --skip-preview")
	left := l.mustByHand(t, "kubectl get namespaces,persistentvolumes,services,networkpolicies -A -o name -l app.kubernetes.io/part-of=velodrome; kubectl get pv -o name")
	if strings.TrimSpace(left) != "" {
		t.Errorf("in the cluster: %s", left)
	}
	var gcp struct {
		Addresses []any
		Ephemeral []any
		Zones     []struct{ Records []any }
	}
	text, err := os.ReadFile(filepath.Join(l.state, "gcp.json"))
	if err != nil {
		t.Fatal(err)
	}
	unmarshal(t, string(text), &gcp)
	if len(gcp.Addresses)+len(gcp.Ephemeral) > 0 || len(gcp.Zones) != 1 || len(gcp.Zones[0].Records) > 0 {
		t.Errorf("in the stand-in for GCP: %s", text)
	}
}

// hostIsClean looks for what a cluster leaves behind.
func hostIsClean(t *testing.T, l *local) {
	var left []string
	for _, pattern := range []string{"/proc/[0-9]*/cmdline", "/proc/[0-9]*/environ"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if filepath.Dir(file) == fmt.Sprintf("/proc/%d", os.Getpid()) {
				continue
			}
			if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), l.state) {
				left = append(left, "the process "+strings.ReplaceAll(string(text), "\x00", " "))
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, l.state) {
			left = append(left, "the mount "+line)
		}
	}
	// The name that the local stack gives to the groups of a state folder; others may be at work.
	name := fmt.Sprintf("velodrome-%x", sha256.Sum256([]byte(l.state)))[:len("velodrome-")+8]
	for _, pattern := range []string{"/sys/fs/cgroup/" + name, "/sys/fs/cgroup/*/" + name} {
		groups, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, groups...)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if strings.HasPrefix(i.Name, "node0") || strings.HasPrefix(i.Name, "cni0") || strings.HasPrefix(i.Name, "veth") {
			left = append(left, "the interface "+i.Name)
		}
	}
	if entries, err := os.ReadDir(l.state); err != nil {
		t.Error(err)
	} else {
		for _, e := range entries {
			if e.Name() != "lock" {
				left = append(left, "the file "+e.Name())
			}
		}
	}
	for _, what := range left {
		t.Errorf("left on the host: %s", what)
	}
}

var client = &http.Client{Timeout: 30 * time.Second}

// get asks with the host name that a visitor would use.
func get(t *testing.T, url, host string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), resp.StatusCode
}
