//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// siteConfig are two projects: one that polls the exporter of this test, often, so that
// nobody has to wait; and one that only takes points.
const siteConfig = `
projects:
  kubernetes:
    domain: velodrome.k8s.io
    secrets-generation: %d
    nginx:
      public-ip: 104.197.200.129
    influxdb:
      databases: {github: {}, monitoring: {retention: 3y}}
    prometheus:
      prometheus-config.yml: |
        global:
          scrape_interval: 5s
          scrape_timeout: 5s
          evaluation_interval: 5s
        storage:
          tsdb:
            # The exporter tells of two days at once.
            out_of_order_time_window: 3d
        scrape_configs:
        - job_name: caches
          static_configs:
          - targets: ['exporter.targets']
        - job_name: goes-away
          static_configs:
          - targets: ['goes-away.targets']
        - job_name: pages
          metrics_path: /probe
          params: {module: [http_2xx]}
          static_configs:
          - targets: ['https://exporter.targets/', 'http://goes-away.targets/']
          relabel_configs:
          - {source_labels: [__address__], target_label: __param_target}
          - {source_labels: [__param_target], target_label: instance}
          - {target_label: __address__, replacement: blackbox}
  istio:
    nginx:
      public-ip: 130.211.224.127
    influxdb:
      databases: {github: {}, monitoring: {retention: 3y}}
`

// What the exporter tells: counters by their growth in a minute, and gauges.
var (
	exportedCounters = map[string]int{
		`ghcache_responses{mode="COALESCED"}`: 5, `ghcache_responses{mode="REVALIDATED"}`: 20,
		`ghcache_responses{mode="MISS"}`: 4, `ghcache_responses{mode="CHANGED"}`: 2, `ghcache_responses{mode="NOSTORE"}`: 1,
		`bazel_cache_cas_hits`: 30, `bazel_cache_action_misses`: 10,
		`bazel_cache_action_hits`: 45, `bazel_cache_cas_misses`: 5,
		`merges_sum{org="kubernetes",repo="kubernetes",branch="master"}`: 1,
	}
	exportedGauges = map[string]float64{ // disks in GB
		`ghcache_disk_used`: 40, `ghcache_disk_free`: 60,
		`bazel_cache_disk_used`: 300, `bazel_cache_disk_free`: 200, `bazel_cache_disk_total`: 500,
		`bazel_cache_last_evicted_access_age`:                           36, // hours
		`pooledprs{org="kubernetes",repo="kubernetes",branch="master"}`: 7,
		`boskos_resources{type="gce-project",state="free"}`:             30,
		`boskos_resources{type="gce-project",state="busy"}`:             12,
		`boskos_resources{type="gpu-project",state="free"}`:             4,
		`syncdur`:         21,
		`statusupdatedur`: 9,
	}
)

// certificateDays is how long the exporter's certificate is valid.
const certificateDays = 40

// exposition returns two days of the exporter's metrics, and some minutes to come, with
// their times: so there is a past to draw.
func exposition(now time.Time) []byte {
	var lines []string
	const step = 4 * time.Minute
	now = now.Truncate(time.Minute)
	for at := now.Add(-48 * time.Hour); at.Before(now.Add(9 * time.Minute)); at = at.Add(step) {
		minutes := int(at.Sub(now.Add(-49*time.Hour)) / time.Minute)
		for name, growth := range exportedCounters {
			lines = append(lines, fmt.Sprintf("%s %d %d", name, minutes*growth, at.UnixMilli()))
		}
		for name, v := range exportedGauges {
			lines = append(lines, fmt.Sprintf("%s %g %d", name, v, at.UnixMilli()))
		}
		lines = append(lines, fmt.Sprintf(`updatetime{org="kubernetes",repo="kubernetes",branch="master"} %d %d`, at.Unix(), at.UnixMilli()))
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

// exporterConf serves the metrics, and pages for the prober.
const exporterConf = `daemon off;
worker_processes 1;
pid /tmp/nginx.pid;
events {}
http {
  client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
  default_type text/plain;
  server {
    listen 8080;
    listen 8443 ssl;
    ssl_certificate /etc/exporter/tls.crt;
    ssl_certificate_key /etc/exporter/tls.key;
    server_name exporter.targets;
    location = /metrics { add_header Content-Encoding gzip; alias /etc/exporter/metrics.gz; }
    location / { return 200 "here\n"; }
  }
  server {
    listen 8080;
    server_name goes-away.targets;
    location = /metrics { return 200 ""; }
    location / { return 200 "here\n"; }
  }
}
`

// startExporter runs what the project polls, in a namespace of its own: an exporter, and
// a target that will go away.
func startExporter(t *testing.T, l *local) {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(exposition(time.Now())); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	cert, key := certificate(t)
	image := strings.TrimSpace(l.mustByHand(t, `kubectl -n velodrome-kubernetes get deployment nginx -o jsonpath='{.spec.template.spec.containers[0].image}'`))
	objects := []any{
		object("v1", "Namespace", "", "targets", nil),
		object("v1", "ConfigMap", "targets", "exporter", map[string]any{
			"data":       map[string]any{"nginx.conf": exporterConf, "tls.crt": cert, "tls.key": key},
			"binaryData": map[string]any{"metrics.gz": base64.StdEncoding.EncodeToString(packed.Bytes())},
		}),
	}
	for _, name := range []string{"exporter", "goes-away"} {
		labels := map[string]any{"run": name}
		objects = append(objects,
			object("v1", "Service", "targets", name, map[string]any{"spec": map[string]any{
				"selector": labels,
				"ports":    []any{map[string]any{"name": "http", "port": 80, "targetPort": 8080}, map[string]any{"name": "https", "port": 443, "targetPort": 8443}},
			}}),
			object("apps/v1", "Deployment", "targets", name, map[string]any{"spec": map[string]any{
				"selector": map[string]any{"matchLabels": labels},
				"template": map[string]any{
					"metadata": map[string]any{"labels": labels},
					"spec": map[string]any{
						"terminationGracePeriodSeconds": 1,
						"containers": []any{map[string]any{
							"name": "nginx", "image": image, "command": []string{"nginx", "-c", "/etc/exporter/nginx.conf"},
							"volumeMounts":   []any{map[string]any{"name": "exporter", "mountPath": "/etc/exporter"}},
							"readinessProbe": map[string]any{"httpGet": map[string]any{"path": "/", "port": 8080}, "periodSeconds": 1},
						}},
						"volumes": []any{map[string]any{"name": "exporter", "configMap": map[string]any{"name": "exporter"}}},
					},
				},
			}}))
	}
	list, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": objects})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(l.state, "exporter.json")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		t.Fatal(err)
	}
	l.mustByHand(t, "kubectl create -f "+file+"; rm "+file+"; kubectl -n targets wait --for=condition=Available --timeout=120s deployment --all")
}

func object(version, kind, namespace, name string, rest map[string]any) map[string]any {
	o := map[string]any{"apiVersion": version, "kind": kind, "metadata": map[string]any{"name": name, "namespace": namespace}}
	for k, v := range rest {
		o[k] = v
	}
	return o
}

// certificate returns a certificate of certificateDays with its key, as PEM.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "exporter.targets"}, DNSNames: []string{"exporter.targets"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(certificateDays*24*time.Hour + time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// ciRun is one finished run of a CI job, as docs/dashboards.md describes it.
type ciRun struct {
	job, gate      string
	at             time.Time
	failed, flaked int
	duration       float64 // seconds
}

// ciRuns are the runs of a week, one of each job every two hours.
func ciRuns(now time.Time) []ciRun {
	var runs []ciRun
	for j, job := range []struct {
		name, gate string
		fails      int // each so many-th run
		flakes     int
		duration   float64
	}{
		{"unit", "merge-blocking", 21, 10, 420}, {"e2e", "merge-blocking", 8, 5, 2700}, {"upgrade", "release-blocking", 6, 7, 5400},
	} {
		for i := range 83 {
			r := ciRun{
				job: job.name, gate: job.gate, at: now.Add(-time.Duration(i)*2*time.Hour - time.Duration(5+j)*time.Minute),
				duration: job.duration * (1 + float64(i*7%30)/100),
			}
			switch {
			case i%job.fails == 3:
				r.failed = 1
			case i%job.flakes == 1:
				r.flaked = 1
			}
			runs = append(runs, r)
		}
	}
	return runs
}

// ciExpected is what CI health has to show of runs.
type ciExpected struct {
	runs, jobs               int
	failures, flakes, median float64
	ninth                    float64 // 90 of 100 are not slower
}

func expectCI(runs []ciRun) ciExpected {
	jobs, durations := map[string]bool{}, []float64{}
	var e ciExpected
	for _, r := range runs {
		jobs[r.job] = true
		e.failures += float64(r.failed) / float64(len(runs))
		e.flakes += float64(r.flaked) / float64(len(runs))
		durations = append(durations, r.duration)
	}
	slices.Sort(durations)
	n := len(durations)
	e.runs, e.jobs = n, len(jobs)
	e.median = (durations[(n-1)/2] + durations[n/2]) / 2
	e.ninth = durations[int(float64(n)*0.9+0.5)-1] // as InfluxDB counts
	return e
}

// tokensUsed are the GitHub tokens of an account, hour by hour, the last hour first.
func tokensUsed(login string, hours int) []int {
	used := make([]int, hours)
	for i := range used {
		used[i] = len(login)*200 + i*i%7*130
	}
	return used
}

var logins = []string{"k8s-ci-robot", "fejta-bot"}

const tokenHours = 47

// push sends points as docs/dashboards.md says.
func push(t *testing.T, p project, password, database string, lines []string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+site(p, 80)+"/influxdb/write?precision=s&db="+database,
		strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = p.Host
	req.SetBasicAuth("writer", password)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Fatalf("push to %s: %s %s %v", database, resp.Status, body, err)
	}
}

func pushAll(t *testing.T, p project, password string, runs []ciRun) {
	t.Helper()
	var lines []string
	for i, r := range runs {
		lines = append(lines, fmt.Sprintf(`ci_job,job=%s,branch=main,gate=%s failed=%di,flaked=%di,duration=%g,url="https://ci.example.org/runs/%d" %d`,
			r.job, r.gate, r.failed, r.flaked, r.duration, 1000-i, r.at.Unix()))
	}
	push(t, p, password, "github", lines)
	lines = nil
	hour := time.Now().Truncate(time.Hour)
	for _, login := range logins {
		for i, used := range tokensUsed(login, tokenHours) {
			lines = append(lines, fmt.Sprintf("github_token_count,login=%s value=%d %d", login, used, hour.Add(-time.Duration(i)*time.Hour).Unix()))
		}
	}
	push(t, p, password, "monitoring", lines)
}
