//go:build e2e

// Package e2e proves the local stack on the real thing: the real engine, a real
// cluster with real pods, a real browser. It brings everything up once, looks at it
// from the name in DNS to the page, and shows at the end that nothing is left.
//
// It keeps a state of its own and ports of its own, so that it can run beside a
// `make up` of the same user.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The ports of the tests' own cluster. $VELODROME_E2E_SLOT, a digit, moves them, so that
// several people can run the tests on one machine.
var (
	apiPort    = fmt.Sprintf("165%s3", slot())
	dnsPort    = fmt.Sprintf("101%s3", slot())
	portOffset = 20000 + 1000*int(slot()[0]-'0')
)

func slot() string {
	if s := os.Getenv("VELODROME_E2E_SLOT"); len(s) == 1 && s[0] >= '0' && s[0] <= '9' {
		return s
	}
	return "4"
}

// local is the local stack of this test.
type local struct {
	t     *testing.T
	repo  string
	state string
}

// project is what the stack says of a project.
type project struct {
	URL, Host, IP, Namespace, InfluxDBURL, PrometheusURL string
}

// credentials are a project's passwords.
type credentials struct {
	GrafanaAdminPassword, InfluxDBAdminPassword, InfluxDBWriterPassword, InfluxDBReaderPassword string
}

func newLocal(t *testing.T) *local {
	t.Helper()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	// Not below the test's own folder: the names of sockets have at most 107 bytes.
	state, err := os.MkdirTemp("", "velodrome-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	l := &local{t: t, repo: repo, state: state}
	t.Cleanup(func() {
		l.dumpOnFailure()
		if _, err := l.run(5*time.Minute, l.binary(), "down"); err != nil {
			t.Errorf("take everything away: %v", err)
		}
		if err := os.RemoveAll(state); err != nil {
			t.Error(err)
		}
	})
	return l
}

// binary is the program behind the make commands.
func (l *local) binary() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		l.t.Fatal(err)
	}
	if dir := os.Getenv("VELODROME_CACHE"); dir != "" {
		return filepath.Join(dir, "bin", "velodrome-local")
	}
	return filepath.Join(cache, "velodrome", "bin", "velodrome-local")
}

// run runs a command in the repository and returns what it printed.
func (l *local) run(bound time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	var out, log bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = l.repo
	cmd.Env = append(os.Environ(), "VELODROME_STATE="+l.state, "VELODROME_API_PORT="+apiPort,
		"VELODROME_DNS_PORT="+dnsPort, fmt.Sprintf("VELODROME_PORT_OFFSET=%d", portOffset))
	cmd.Stdout, cmd.Stderr = &out, &log
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, log.String(), out.String())
	}
	return out.String(), nil
}

// must runs one of the stack's commands.
func (l *local) must(t *testing.T, args ...string) string {
	t.Helper()
	// The first time it builds all that the machine lacks.
	out, err := l.run(45*time.Minute, l.binary(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// byHand runs a line of shell in the environment that `make env` gives a user.
func (l *local) byHand(line string) (string, error) {
	return l.run(10*time.Minute, "bash", "-euo", "pipefail", "-c", `eval "$(`+l.binary()+` env 2>/dev/null)"; `+line)
}

func (l *local) mustByHand(t *testing.T, line string) string {
	t.Helper()
	out, err := l.byHand(line)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// readConfigFrom gives the stack a config.yaml of the test's own. The file is read at
// each `up`, so that a test can change it.
func (l *local) readConfigFrom(t *testing.T, path string) {
	t.Helper()
	settings := fmt.Sprintf("config: {velodrome:configFile: %q}\n", path)
	if err := os.WriteFile(filepath.Join(l.state, "Pulumi.local.yaml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
}

// outputs reads the stack's outputs.
func (l *local) outputs(t *testing.T) (map[string]project, map[string]credentials) {
	t.Helper()
	var o struct {
		Projects    map[string]project
		Credentials map[string]credentials
	}
	unmarshal(t, l.mustByHand(t, "pulumi stack output --json --show-secrets"), &o)
	return o.Projects, o.Credentials
}

func unmarshal(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in: %s", err, text)
	}
}

// site is where a project answers on this machine: at the loopback address that
// stands for its public one.
func site(p project, port int) string {
	_, rest, _ := strings.Cut(p.IP, ".")
	return fmt.Sprintf("127.%s:%d", rest, port+portOffset)
}

// artefact is a file that is kept after the test.
func (l *local) artefact(name string, content []byte) {
	l.t.Helper()
	dir := filepath.Join(l.repo, "artefacts")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// dumpOnFailure keeps what explains a failure.
func (l *local) dumpOnFailure() {
	if !l.t.Failed() {
		return
	}
	for name, line := range map[string]string{
		"status.txt": l.binary() + " status", "logs.txt": l.binary() + " logs",
		"events.txt": "kubectl get events -A; kubectl get all -A; kubectl describe pods -A -l app.kubernetes.io/part-of=velodrome",
	} {
		out, err := l.byHand(line)
		if err != nil {
			out = err.Error()
		}
		l.artefact(name, []byte(out))
	}
}
