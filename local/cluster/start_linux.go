package cluster

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	architecture = runtime.GOARCH

	// startPatience bounds a start: ten times what a slow machine takes.
	startPatience = 4 * time.Minute
	// stopPatience bounds an orderly stop, after which the daemon is killed.
	stopPatience = podsPatience + partsPatience + 5*time.Second
	// unstable is how often a part may end during a start before it is the culprit.
	unstable = 4
)

// Start starts the cluster, or finds it running, and returns when its node is
// Ready, cluster DNS answers and the images are there. It changes nothing on the
// host but the state folder, the control group and the ports of its configuration.
func Start(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	if err := check(cfg, os.Geteuid()); err != nil {
		return err
	}
	if err := makeState(cfg); err != nil {
		return err
	}
	unlock, err := lockStart(cfg)
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, fmt.Errorf("it took longer than %s", startPatience))
	defer cancel()

	running, err := daemonRuns(cfg)
	if err != nil {
		return err
	}
	if running && !sameAsRunning(cfg) {
		cfg.Progress("the cluster runs with other settings or an older program: starting it again")
		if err := stop(ctx, cfg); err != nil {
			return err
		}
		running = false
	}
	if !running {
		if err := checkHost(cfg); err != nil {
			return err
		}
		if err := spawnDaemon(cfg); err != nil {
			return err
		}
	}
	return waitUntilReady(ctx, cfg)
}

// selfPath is this program, even when its file has been replaced or removed.
const selfPath = "/proc/self/exe"

// makeState makes the folders that others write to.
func makeState(cfg Config) error {
	for _, d := range []string{"logs", "etcd", "volumes", "pods", "kubelet", "containerd"} {
		perm := fs.FileMode(0o755)
		if d == "etcd" {
			perm = 0o700
		}
		if err := os.MkdirAll(cfg.path(d), perm); err != nil {
			return fmt.Errorf("make the state folder: %w", err)
		}
	}
	return nil
}

// lockStart lets one Start or Stop at a time be under way.
func lockStart(cfg Config) (func(), error) {
	if err := os.MkdirAll(cfg.State, 0o755); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	lock := flock.New(cfg.path(startLock))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", cfg.path(startLock), err)
	}
	if !ok {
		return nil, fmt.Errorf("the cluster in %s is being started or stopped by another command; wait until that one has ended", cfg.State)
	}
	return func() { _ = lock.Unlock() }, nil // the end of the process unlocks as well
}

// daemonRuns tells whether the cluster has a daemon. The lock tells, not the pid
// file: that one outlives its process, and the machine.
func daemonRuns(cfg Config) (bool, error) {
	lock := flock.New(cfg.path(lockFile))
	ok, err := lock.TryLock()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the cluster's daemon: %w", err)
	}
	if !ok {
		return true, nil
	}
	return false, lock.Unlock()
}

func daemonPID(cfg Config) (int, error) {
	b, err := os.ReadFile(cfg.path(pidFile))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// sameAsRunning tells whether the running daemon has these settings and is this
// program. Images are no setting: Start brings them to a cluster that runs.
func sameAsRunning(cfg Config) bool {
	have, err := os.ReadFile(cfg.path(configFile))
	if err != nil {
		return false
	}
	want, err := encodeConfig(cfg)
	return err == nil && bytes.Equal(have, want)
}

func encodeConfig(cfg Config) ([]byte, error) {
	cfg.Images = nil
	id, err := programID()
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(struct {
		Config
		Program string // of the daemon
	}{cfg, id}, "", "  ")
}

// programID tells this program from another build of it: Go's linker writes a hash
// of what it links into the program.
func programID() (string, error) {
	f, err := elf.Open(selfPath)
	if err != nil {
		return "", fmt.Errorf("read this program: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	note := f.Section(".note.go.buildid")
	if note == nil {
		return "", nil // linked without; then all builds look alike
	}
	b, err := note.Data()
	if err != nil {
		return "", fmt.Errorf("read this program: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8]), nil
}

// spawnDaemon starts this same program as the daemon, in a session of its own so
// that it outlives the terminal.
func spawnDaemon(cfg Config) error {
	content, err := encodeConfig(cfg)
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if err := writeFile(cfg.path(configFile), content, 0o644); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	for _, stale := range []string{partsFile, pidFile, rightsMark, forwardsFile} {
		if err := os.Remove(cfg.path(stale)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what the last run left: %w", err)
		}
	}
	old, err := filepath.Glob(cfg.path("logs", "*.log"))
	if err != nil {
		return err
	}
	for _, f := range old {
		if err := os.Rename(f, f+".old"); err != nil {
			return fmt.Errorf("put the last run's logs aside: %w", err)
		}
	}
	log, err := os.OpenFile(cfg.Log("daemon"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the daemon's log: %w", err)
	}
	defer func() { _ = log.Close() }() // the daemon has it
	cmd := exec.Command(selfPath, Helper, "daemon", cfg.path(configFile))
	cmd.Args[0] = "velodrome-local" // for those who list processes
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the cluster's daemon: %w", err)
	}
	return cmd.Process.Release()
}

// waitUntilReady waits for all that Start promises, and says what is missing.
func waitUntilReady(parent context.Context, cfg Config) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	go func() { cancel(watch(ctx, cfg)) }()

	var imports sync.WaitGroup
	var importErr error
	imports.Add(1)
	go func() {
		defer imports.Done()
		importErr = importImages(ctx, cfg, func(done, all int) {
			cfg.Progress(fmt.Sprintf("images: %d of %d imported", done, all))
		})
		if importErr != nil {
			cancel(importErr)
		}
	}()
	err := waitForNode(ctx, cfg)
	imports.Wait()
	if importErr != nil && (err == nil || !errors.Is(importErr, context.Cause(parent))) {
		return fmt.Errorf("start the cluster: %w", importErr)
	}
	return err // says what was waited for when the time was up
}

// waitForNode waits for the API server, the node, and cluster DNS, one after the other.
func waitForNode(ctx context.Context, cfg Config) error {
	step := func(what string, check func(context.Context) bool) error {
		cfg.Progress("waiting for " + what)
		if !await(ctx, check) {
			return fmt.Errorf("start the cluster: wait for %s: %w", what, context.Cause(ctx))
		}
		return nil
	}
	if err := step("its daemon", func(context.Context) bool { return readForwards(cfg) != nil }); err != nil {
		return err
	}
	if err := step("the API server", apiAnswers(cfg)); err != nil {
		return err
	}
	rest, err := clientcmd.BuildConfigFromFlags("", cfg.Kubeconfig())
	if err != nil {
		return fmt.Errorf("read %s: %w", cfg.Kubeconfig(), err)
	}
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if err := step("the node", nodeReady(client, cfg)); err != nil {
		return err
	}
	return step("cluster DNS", dnsAnswers(cfg))
}

func apiAnswers(cfg Config) func(context.Context) bool {
	// Who answers is checked by the client that comes next; this is only whether.
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}
	return func(ctx context.Context) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/readyz", cfg.APIPort), nil)
		if err != nil {
			return false
		}
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}
}

// nodeReady tells whether the node is Ready and has said so in this run: what etcd
// remembers of the last run does not count.
func nodeReady(client kubernetes.Interface, cfg Config) func(context.Context) bool {
	return func(ctx context.Context) bool {
		kubelet := readParts(cfg)["kubelet"]
		if kubelet.PID == 0 {
			return false
		}
		node, err := client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
		if err != nil {
			return false
		}
		return slices.ContainsFunc(node.Status.Conditions, func(c v1.NodeCondition) bool {
			return c.Type == v1.NodeReady && c.Status == v1.ConditionTrue &&
				!c.LastHeartbeatTime.Time.Before(kubelet.Since.Truncate(time.Second))
		})
	}
}

// dnsAnswers asks cluster DNS, at the address that every pod uses, for a name that
// every cluster has.
func dnsAnswers(cfg Config) func(context.Context) bool {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialInside(ctx, cfg, network, net.JoinHostPort(dnsServiceIP, "53"))
	}}
	return func(ctx context.Context) bool {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		got, err := resolver.LookupHost(ctx, "kubernetes.default.svc."+clusterDomain+".")
		return err == nil && slices.Equal(got, []string{apiServiceIP})
	}
}

// watch looks for what keeps the cluster from becoming ready: a daemon that has
// ended, or a part that ends again and again. It returns when it finds one, or ctx ends.
func watch(ctx context.Context, cfg Config) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	grace := time.Now().Add(5 * time.Second) // the daemon needs a moment to take its lock
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		for name, p := range readParts(cfg) {
			if p.Restarts >= unstable && time.Since(p.Since) < calm {
				return &PartError{Part: name, End: p.LastEnd, Log: gist(tail(cfg.Log(name), 200), 8), Path: cfg.Log(name)}
			}
		}
		running, err := daemonRuns(cfg)
		if err != nil {
			return err
		}
		if !running && (time.Now().After(grace) || failed(cfg)) {
			return &PartError{Part: "the cluster's daemon", End: "it has ended", Log: gist(tail(cfg.Log("daemon"), 200), 8), Path: cfg.Log("daemon")}
		}
	}
}

// failed tells whether the daemon has said its last word: its log ends with an error.
func failed(cfg Config) bool {
	last := tail(cfg.Log("daemon"), 1)
	return len(last) == 1 && strings.HasPrefix(last[0], "error: ")
}

// tail is the last lines of a file, as many as there are.
func tail(path string, n int) []string {
	f, err := os.Open(path)
	if err != nil {
		return []string{err.Error()}
	}
	defer func() { _ = f.Close() }() // read only
	if st, err := f.Stat(); err == nil && st.Size() > 64<<10 {
		if _, err := f.Seek(-64<<10, 2); err != nil {
			return []string{err.Error()}
		}
	}
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if len(line) > 400 {
			line = line[:400] + " …"
		}
		if lines = append(lines, line); len(lines) > n {
			lines = lines[1:]
		}
	}
	return lines
}

// Stop ends the cluster: first the pods, with time to write what they have, then
// the rest. What the cluster keeps stays in its state folder. Where nothing runs it
// removes what a crash may have left.
func Stop(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.State); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if os.Geteuid() != 0 {
		return errNotRoot
	}
	unlock, err := lockStart(cfg)
	if err != nil {
		return err
	}
	defer unlock()
	return stop(ctx, cfg)
}

func stop(ctx context.Context, cfg Config) error {
	running, err := daemonRuns(cfg)
	if err != nil {
		return err
	}
	if running {
		cfg.Progress("stopping the cluster")
		if err := endDaemon(ctx, cfg); err != nil {
			return err
		}
	}
	if err := removeGroups(cfg.Name, 5*time.Second); err != nil {
		return fmt.Errorf("clean up after the cluster: %w", err)
	}
	for _, f := range []string{pidFile, partsFile, rightsMark, forwardsFile, "containerd.sock", "containerd.sock.ttrpc"} {
		if err := os.Remove(cfg.path(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clean up after the cluster: %w", err)
		}
	}
	return nil
}

// endDaemon asks the daemon to end, waits, and kills it if it does not.
func endDaemon(ctx context.Context, cfg Config) error {
	pid, err := daemonPID(cfg)
	if err != nil {
		return fmt.Errorf("find the cluster's daemon: %w", err)
	}
	ended := func(context.Context) bool {
		running, err := daemonRuns(cfg)
		return err == nil && !running
	}
	for _, try := range []struct {
		signal   syscall.Signal
		patience time.Duration
	}{{unix.SIGTERM, stopPatience}, {unix.SIGKILL, 5 * time.Second}} {
		if err := unix.Kill(pid, try.signal); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("stop the cluster's daemon (process %d): %w", pid, err)
		}
		tryCtx, cancel := context.WithTimeout(ctx, try.patience)
		ok := await(tryCtx, ended)
		cancel()
		if ok {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("stop the cluster: %w", context.Cause(ctx))
		}
	}
	return fmt.Errorf("the cluster's daemon (process %d) does not end", pid)
}

// Remove stops the cluster and removes all that it kept, but its volumes if they
// are to be kept: a claim of the same namespace and name in a new cluster gets the
// kept volume of a class that retains.
func Remove(ctx context.Context, cfg Config, keepVolumes bool) error {
	if err := Stop(ctx, cfg); err != nil {
		return err
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(cfg.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove the cluster's state: %w", err)
	}
	for _, e := range entries {
		if keepVolumes && e.Name() == "volumes" {
			continue
		}
		if err := os.RemoveAll(cfg.path(e.Name())); err != nil {
			return fmt.Errorf("remove the cluster's state: %w", err)
		}
	}
	if keepVolumes {
		return nil
	}
	return os.Remove(cfg.State)
}

// Get tells how the cluster is, without changing anything.
func Get(cfg Config) (Status, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Status{}, err
	}
	if _, err := os.Stat(cfg.path(lockFile)); errors.Is(err, fs.ErrNotExist) {
		return Status{}, nil
	}
	running, err := daemonRuns(cfg)
	if err != nil || !running {
		return Status{}, err
	}
	st := Status{Running: true, Parts: readParts(cfg), Forwards: readForwards(cfg)}
	if info, err := os.Stat(cfg.path(pidFile)); err == nil {
		st.Since = info.ModTime()
	}
	if st.PID, err = daemonPID(cfg); err != nil {
		return st, fmt.Errorf("read the daemon's pid: %w", err)
	}
	return st, nil
}
