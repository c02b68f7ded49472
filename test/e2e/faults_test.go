//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What goes wrong is said in one clear line before anything is built or started, and
// what was killed or interrupted is mended by the next up.
func TestFaultsAreSaidAndMended(t *testing.T) {
	l := newLocal(t)
	t.Run("not root", func(t *testing.T) { refusesNotRoot(t, l) })
	t.Run("a port is taken", func(t *testing.T) { refusesTakenPorts(t, l) })
	t.Run("the disk is full", func(t *testing.T) { refusesFullDisk(t, l) })
	t.Run("no registry is reachable", func(t *testing.T) { saysThatNoRegistryAnswers(t, l) })
	t.Run("a second command at the same time", func(t *testing.T) { refusesSecond(t, l) })

	// One small project, since it is brought up several times.
	config := filepath.Join(t.TempDir(), "config.yaml")
	writeFile(t, config, "projects:\n  faults:\n    influxdb: {databases: {monitoring: {}}}\n")
	writeFile(t, filepath.Join(l.state, "Pulumi.local.yaml"), "config:\n  velodrome:configFile: "+config+"\n")
	group := func(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGINT) }
	const interrupted = "velodrome-local: interrupted; run the same command again to go on, or `make down` to take everything away"
	t.Run("interrupted while the cluster starts", func(t *testing.T) { l.disturb(t, "waiting for the node", group, interrupted) })
	t.Run("interrupted while pulumi creates", func(t *testing.T) { l.disturb(t, "Namespace faults created", group, interrupted) })
	t.Run("pulumi is killed while it creates", func(t *testing.T) {
		l.disturb(t, "faults-grafana-config created", func(*os.Process) error { return l.killPulumi() },
			"velodrome-local: pulumi up --yes --skip-preview --stack local: signal: killed")
	})
	l.must(t, "up")
	t.Run("the next up mends it", func(t *testing.T) {
		everyPodIsReady(t, l)
		l.mustByHand(t, "pulumi preview --stack local --expect-no-changes")
	})
	projects, passwords := l.outputs(t)
	base, c := "http://"+site(projects["faults"], 80)+"/influxdb", passwords["faults"]
	pushPoint(t, base, c)
	t.Run("make up from a shell with make env", func(t *testing.T) { l.mustByHand(t, l.binary()+" up") })
	t.Run("the machine restarts", func(t *testing.T) { l.restartMachine(t) })
	t.Run("what was pushed before is there", func(t *testing.T) { findPoint(t, base, c) })
	l.must(t, "down", "--keep")
	t.Run("down --keep and up keep it too", func(t *testing.T) {
		l.must(t, "up")
		findPoint(t, base, c)
	})
	l.must(t, "down")
	hostIsClean(t, l)
}

// refused runs `up` with more in the environment, and wants it to fail with just this
// line, at once, and to leave nothing but the lock.
func (l *local) refused(t *testing.T, want string, env ...string) {
	t.Helper()
	out, err := l.runWith(env, l.binary(), "up")
	if err == nil {
		t.Fatal("it is not refused")
	}
	if got := strings.TrimSpace(out); got != "velodrome-local: "+want {
		t.Errorf("it says\n%s\nwant\n%s", got, want)
	}
	entries, err := os.ReadDir(l.state)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "lock" {
			t.Errorf("it leaves %s", e.Name())
		}
	}
}

// runWith runs a command with more in the environment, and returns all that it says.
func (l *local) runWith(env []string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = l.repo, append(l.environment(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (l *local) environment() []string {
	return append(os.Environ(), "VELODROME_STATE="+l.state, "VELODROME_API_PORT="+apiPort, "VELODROME_DNS_PORT="+dnsPort,
		fmt.Sprintf("VELODROME_PORT_OFFSET=%d", portOffset))
}

func refusesNotRoot(t *testing.T, l *local) {
	// A copy that nobody can read, wherever the repository is.
	dir, err := os.MkdirTemp("", "velodrome-e2e-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for from, to := range map[string]string{
		l.binary(): "velodrome-local", filepath.Join(l.repo, "Pulumi.local.yaml"): "Pulumi.local.yaml",
		filepath.Join(l.repo, "tools/pulumi/go.mod"): "tools/pulumi/go.mod",
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, to)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "velodrome-local"), "up", "--repo", dir)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME=/nonexistent", "VELODROME_STATE=/nonexistent/state", "VELODROME_CACHE=/nonexistent/cache")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	const want = "velodrome-local: the local cluster needs root, for namespaces and mounts: "
	if err == nil || !strings.HasPrefix(string(out), want) || strings.Count(string(out), "\n") != 1 {
		t.Errorf("it says %q (%v), want the line %s…", out, err, want)
	}
}

func refusesTakenPorts(t *testing.T, l *local) {
	for _, c := range []struct{ at, want string }{
		{"127.0.0.1:" + apiPort, "port " + apiPort + " (tcp) of 127.0.0.1, for the API server, is taken by another program: end that one (ss -lp shows it), or set VELODROME_API_PORT to another value"},
		{"127.0.0.1:" + dnsPort, "port " + dnsPort + " (tcp) of 127.0.0.1, for the DNS server, is taken by another program: end that one (ss -lp shows it), or set VELODROME_DNS_PORT to another value"},
		{fmt.Sprintf("0.0.0.0:%d", 80+portOffset), fmt.Sprintf("port %d (tcp) of 127.255.255.254, for the sites' URLs, is taken by another program: end that one (ss -lp shows it), or set VELODROME_PORT_OFFSET to another value", 80+portOffset)},
	} {
		taken, err := net.Listen("tcp4", c.at)
		if err != nil {
			t.Fatal(err)
		}
		l.refused(t, c.want)
		if err := taken.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// refusesFullDisk mounts small disks, in a mount namespace that ends with the command.
func refusesFullDisk(t *testing.T, l *local) {
	for setting, want := range map[string]string{
		"VELODROME_STATE": "MiB left, and the cluster needs 3072: make room, or set VELODROME_STATE to a folder on another disk",
		"VELODROME_CACHE": "free some or set VELODROME_CACHE to a folder on another disk",
	} {
		out, err := l.runWith(nil, "unshare", "--mount", "bash", "-euc",
			`mount -t tmpfs -o size=16m none "$1"; export "$2=$1/small"; exec "$3" up`, "bash", t.TempDir(), setting, l.binary())
		if err == nil || !strings.Contains(out, want) || strings.Count(out, "velodrome-local: ") != 1 {
			t.Errorf("%s: it says %s (%v)", setting, out, err)
		}
	}
}

// saysThatNoRegistryAnswers starts from empty caches.
func saysThatNoRegistryAnswers(t *testing.T, l *local) {
	const closed = "http://127.0.0.1:1"
	dir := t.TempDir()
	apt := filepath.Join(dir, "apt.conf")
	writeFile(t, apt, fmt.Sprintf("Acquire::http::Proxy %q;\nAcquire::https::Proxy %q;\n", closed, closed))
	out, err := l.runWith([]string{"VELODROME_CACHE=" + filepath.Join(dir, "cache"), "GOCACHE=" + filepath.Join(dir, "go"), "GOMODCACHE=" + filepath.Join(dir, "mod"),
		"GOPROXY=" + closed, "HTTP_PROXY=" + closed, "HTTPS_PROXY=" + closed, "APT_CONFIG=" + apt}, l.binary(), "up")
	const want = "failed: no package registry could be reached (connection refused); check the network and the proxy settings, then run the same command again"
	if err == nil || !strings.Contains(out, want) {
		t.Errorf("it says %s (%v), want …%s", out, err, want)
	}
}

func refusesSecond(t *testing.T, l *local) {
	lock, err := os.OpenFile(filepath.Join(l.state, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	l.refused(t, "another command is changing the local stack ("+l.state+"); wait until it ends, then try again")
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
}

// disturb runs `up`, disturbs it when it says something, and wants its last line to be
// this, and no process of pulumi to be left.
func (l *local) disturb(t *testing.T, when string, how func(*os.Process) error, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, l.binary(), "up")
	cmd.Dir, cmd.Env = l.repo, l.environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() {
		exited <- cmd.Wait()
		// A process that it left, such as the daemon, would keep a pipe open.
		_ = read.SetReadDeadline(time.Now().Add(time.Second))
	}()
	var last string
	var all bytes.Buffer
	done := false
	lines := bufio.NewScanner(read)
	for lines.Scan() {
		last = lines.Text()
		fmt.Fprintln(&all, last)
		if !done && strings.Contains(last, when) {
			done = true
			if err := how(cmd.Process); err != nil {
				t.Error(err)
			}
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	if err := <-exited; err == nil || !done || last != want {
		t.Errorf("after %q (seen: %v) it ends with %v and says\n%s\nwant the last line\n%s", when, done, err, all.String(), want)
	}
	eventually(t, 15*time.Second, func() error {
		if left := l.marked(""); len(left) > 0 {
			return fmt.Errorf("left: %v", left)
		}
		return nil
	})
}

// marked are the processes of a name (any, if empty) that runs of pulumi here have.
func (l *local) marked(name string) []int {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		l.t.Fatal(err)
	}
	var out []int
	for _, file := range files {
		// One may end while it is looked at.
		env, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(env, []byte("VELODROME_RUN="+l.state+"\x00")) {
			continue
		}
		comm, err := os.ReadFile(filepath.Join(filepath.Dir(file), "comm"))
		if err != nil || name != "" && strings.TrimSpace(string(comm)) != name {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

func (l *local) killPulumi() error {
	pids := l.marked("pulumi")
	if len(pids) == 0 {
		return errors.New("there is no pulumi to kill")
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	return nil
}

// restartMachine ends everything at once, and leaves a number of a process that is
// another one's now.
func (l *local) restartMachine(t *testing.T) {
	file := filepath.Join(l.state, "cluster", "daemon.pid")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, func() error {
		out, err := l.run(time.Minute, l.binary(), "status")
		if err == nil && out != "The cluster does not run. Start it with: make up\n" {
			err = errors.New(out)
		}
		return err
	})
	writeFile(t, file, fmt.Sprintln(os.Getpid()))
	l.must(t, "up")
}

func pushPoint(t *testing.T, base string, c credentials) {
	t.Helper()
	u := base + "/write?" + url.Values{"db": {"monitoring"}, "u": {"writer"}, "p": {c.InfluxDBWriterPassword}}.Encode()
	resp, err := client.Post(u, "text/plain", strings.NewReader("kept value=42"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		body, err := io.ReadAll(resp.Body)
		t.Fatalf("push: %s %s %v", resp.Status, body, err)
	}
}

func findPoint(t *testing.T, base string, c credentials) {
	t.Helper()
	query := base + "/query?" + url.Values{"db": {"monitoring"}, "u": {"reader"}, "p": {c.InfluxDBReaderPassword}, "q": {"SELECT value FROM kept"}}.Encode()
	if body, code := get(t, query, ""); code != http.StatusOK || !strings.Contains(body, "42") {
		t.Errorf("the point is gone: %d %s", code, body)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
