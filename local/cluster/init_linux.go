package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// backoff is how long a part that ended is left alone: the first time this long,
	// then twice as long each time, until it has run for calm.
	backoff    = 500 * time.Millisecond
	backoffMax = 10 * time.Second
	calm       = time.Minute

	// Stopping: how long the pods, and then the parts, have to end by themselves.
	podsPatience  = 6 * time.Second
	partsPatience = 4 * time.Second

	// logLimit is the size at which a log is emptied, in bytes.
	logLimit = 20 << 20

	// rightsMark is made by the daemon when it has applied the system objects.
	rightsMark = "rights"
)

// supervisor is pid 1 of the cluster's namespaces.
type supervisor struct {
	reaper *reaper
	logs   string // folder

	mu     sync.Mutex
	status map[string]PartStatus
}

// runInit is pid 1: it makes the namespaces what the parts expect, runs the parts
// until ctx ends or the parent asks, and then ends all in order.
func runInit(cfg Config) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("this is only for the first process of the cluster's namespaces")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	signal.Ignore(syscall.SIGHUP)
	if err := joinGroups(cfg.Name); err != nil {
		return err
	}
	if err := makeMounts(cfg); err != nil {
		return err
	}
	if err := makeNetwork(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(nodeName)); err != nil {
		return fmt.Errorf("set the host name of the namespace: %w", err)
	}
	for _, entry := range baseEnv() {
		k, v, _ := strings.Cut(entry, "=")
		if err := os.Setenv(k, v); err != nil {
			return fmt.Errorf("set %s: %w", k, err)
		}
	}
	s := &supervisor{reaper: newReaper(), logs: insideState + "/logs", status: map[string]PartStatus{}}
	api, err := apiReady()
	if err != nil {
		return err
	}
	checks := map[need]func(context.Context) bool{needAPI: api, needRuntime: socketAccepts(containerdSocket), needRights: fileExists(insideState + "/" + rightsMark)}

	var running sync.WaitGroup
	base, end := context.WithCancel(context.Background())
	defer end()
	stops := map[string]context.CancelFunc{}
	for _, p := range parts(cfg.Name) {
		partCtx, cancel := context.WithCancel(base)
		stops[p.Name] = cancel
		running.Add(1)
		go func() {
			defer running.Done()
			s.keepRunning(partCtx, p, checks)
		}()
	}
	go s.boundLogs(base)
	<-ctx.Done()

	// In order: nobody starts pods any more; the pods end, with time to write what they
	// have; then everything else.
	stops["kubelet"]()
	s.endPods(podsPatience)
	end()
	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(partsPatience):
	}
	return nil // the kernel ends whatever is left when pid 1 is gone
}

// keepRunning runs a part, again and again, until ctx ends.
func (s *supervisor) keepRunning(ctx context.Context, p part, checks map[need]func(context.Context) bool) {
	wait := backoff
	for restarts := 0; ctx.Err() == nil; restarts++ {
		for _, n := range p.Needs {
			s.update(p.Name, func(st *PartStatus) { st.Waits = string(n) })
			if !await(ctx, checks[n]) {
				return
			}
		}
		began := time.Now()
		end, err := s.runOnce(ctx, p, restarts)
		if err != nil {
			end = err.Error()
		}
		s.update(p.Name, func(st *PartStatus) { st.PID, st.LastEnd = 0, end })
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > calm {
			wait = backoff
		}
		fmt.Printf("%s %s ended (%s), again in %s\n", time.Now().Format(time.TimeOnly), p.Name, end, wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, backoffMax)
	}
}

// runOnce runs a part until it ends, or ctx does: then it is asked to end, and made to.
func (s *supervisor) runOnce(ctx context.Context, p part, restarts int) (string, error) {
	out, err := os.OpenFile(filepath.Join(s.logs, p.Name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return "", fmt.Errorf("open the log: %w", err)
	}
	pid, done, err := s.reaper.start(p.Args[0], p.Args, append(baseEnv(), p.Env...), out)
	if closeErr := out.Close(); err == nil && closeErr != nil {
		return "", fmt.Errorf("hand the log over: %w", closeErr)
	}
	if err != nil {
		return "", err
	}
	s.update(p.Name, func(st *PartStatus) {
		st.PID, st.Since, st.Restarts, st.Waits = pid, time.Now(), restarts, ""
	})
	select {
	case status := <-done:
		return describe(status), nil
	case <-ctx.Done():
	}
	if p.Gentle {
		_ = unix.Kill(pid, unix.SIGTERM) // it may just have ended
		select {
		case status := <-done:
			return describe(status), nil
		case <-time.After(partsPatience):
		}
	}
	_ = unix.Kill(pid, unix.SIGKILL) // it may just have ended
	return describe(<-done), nil
}

// update changes the status of a part and writes the whole for others to read.
func (s *supervisor) update(name string, change func(*PartStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status[name]
	change(&st)
	s.status[name] = st
	b, err := json.MarshalIndent(s.status, "", "  ")
	if err == nil {
		err = writeFile(insideState+"/"+partsFile, b, 0o644)
	}
	if err != nil {
		fmt.Println("write the status of the parts:", err)
	}
}

// endPods asks every process that is not one of the parts to end, and waits a while.
func (s *supervisor) endPods(patience time.Duration) {
	deadline := time.Now().Add(patience)
	pods := podProcesses()
	for _, pid := range pods {
		_ = unix.Kill(pid, unix.SIGTERM) // it may just have ended
	}
	for len(pods) > 0 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond) // no parent of these is here to be told
		pods = podProcesses()
	}
}

// podProcesses are the processes of containers: those outside the parts' own group.
// The containers' shims are in it, since containerd starts them.
func podProcesses() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == 1 {
			continue
		}
		groups, err := os.ReadFile("/proc/" + e.Name() + "/cgroup")
		if err != nil || !strings.Contains(string(groups), "/kubepods") {
			continue
		}
		// A sandbox's pause ends by itself when asked, and with it the pod's network; it goes
		// last, with everything else.
		if comm, err := os.ReadFile("/proc/" + e.Name() + "/comm"); err == nil && strings.TrimSpace(string(comm)) == "pause" {
			continue
		}
		out = append(out, pid)
	}
	return out
}

// boundLogs empties logs that have grown too big. The parts append, so that they
// go on at the new end.
func (s *supervisor) boundLogs(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		found, err := filepath.Glob(filepath.Join(s.logs, "*.log"))
		if err != nil {
			continue // the pattern is constant
		}
		for _, f := range found {
			if st, err := os.Stat(f); err == nil && st.Size() > logLimit {
				if err := os.Truncate(f, 0); err != nil {
					fmt.Println("empty a log:", err)
				}
			}
		}
	}
}

// await asks again and again until the answer is yes; false means that ctx ended.
func await(ctx context.Context, check func(context.Context) bool) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !check(ctx) {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return ctx.Err() == nil
}

func fileExists(path string) func(context.Context) bool {
	return func(context.Context) bool {
		_, err := os.Stat(path)
		return err == nil
	}
}

func socketAccepts(path string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
		if err != nil {
			return false
		}
		return c.Close() == nil
	}
}

// apiReady asks the API server whether it is.
func apiReady() (func(context.Context) bool, error) {
	ca, err := os.ReadFile(insidePKI + "/ca.crt")
	if err != nil {
		return nil, fmt.Errorf("read the authority's certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("the authority's certificate is damaged; remove %s and start again", insidePKI)
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true,
	}}
	return func(ctx context.Context) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://127.0.0.1:"+apiPort+"/readyz", nil)
		if err != nil {
			return false
		}
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if closeErr := resp.Body.Close(); err == nil {
			err = closeErr
		}
		return err == nil && resp.StatusCode == http.StatusOK
	}, nil
}

func notifyChild(c chan<- os.Signal) { signal.Notify(c, syscall.SIGCHLD) }
