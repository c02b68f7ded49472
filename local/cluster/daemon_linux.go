package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"velodrome/local/cloud"
	"velodrome/local/gcp"
)

// forwardsFile says what the daemon serves on the host.
const forwardsFile = "daemon.json"

// daemonState is the content of forwardsFile.
type daemonState struct {
	Init     int       `json:"init"` // pid 1 of the cluster, as the host numbers it
	Forwards []Forward `json:"forwards"`
}

func readDaemon(cfg Config) *daemonState {
	b, err := os.ReadFile(cfg.path(forwardsFile))
	if err != nil {
		return nil
	}
	var st daemonState
	if json.Unmarshal(b, &st) != nil {
		return nil
	}
	return &st
}

// readForwards is what the daemon forwards; nil before there is a daemon.
func readForwards(cfg Config) []Forward {
	if st := readDaemon(cfg); st != nil {
		return st.Forwards
	}
	return nil
}

// RunHelper is the hidden subcommand Helper: it gets the arguments after that name.
// A program that uses this package must offer it, and must do nothing else then.
func RunHelper(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%s is for the cluster's own use", Helper)
	}
	b, err := os.ReadFile(args[1])
	if err != nil {
		return fmt.Errorf("read the cluster's configuration: %w", err)
	}
	var cfg Config
	if err := json.Unmarshal(b, &cfg); err != nil {
		return fmt.Errorf("read the cluster's configuration: %w", err)
	}
	if cfg, err = cfg.withDefaults(); err != nil {
		return err
	}
	var run func(Config) error
	switch args[0] {
	case "daemon":
		run = runDaemon
	case "init":
		run = runInit
	default:
		return fmt.Errorf("%s is for the cluster's own use", Helper)
	}
	if err := run(cfg); err != nil {
		fmt.Println("error:", err) // the log's last line, which Start looks for
		return err
	}
	return nil
}

// runDaemon holds the cluster until it is asked to end, or pid 1 ends.
func runDaemon(cfg Config) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	signal.Ignore(syscall.SIGHUP)
	lock := flock.New(cfg.path(lockFile))
	ok, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("lock %s: %w", cfg.path(lockFile), err)
	}
	if !ok {
		return fmt.Errorf("the cluster in %s runs already", cfg.State)
	}
	defer func() { _ = lock.Unlock() }() // the end of the process does it too
	if err := writeFile(cfg.path(pidFile), fmt.Appendln(nil, os.Getpid()), 0o644); err != nil {
		return fmt.Errorf("write the pid: %w", err)
	}
	if err := prepare(cfg); err != nil {
		return err
	}
	init, err := startInit(cfg)
	if err != nil {
		return err
	}
	fmt.Printf("%s daemon %d, pid 1 is process %d\n", time.Now().Format(time.DateTime), os.Getpid(), init.pid)

	serveCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- serve(serveCtx, cfg, init.pid) }()
	var result error
	select {
	case <-ctx.Done():
	case end := <-init.done:
		init.done <- end // for init.end
		result = errors.New("pid 1 of the cluster has ended")
		if end != nil {
			result = fmt.Errorf("%w: %w", result, end)
		}
	case err := <-served:
		served <- err // for below
		result = err
	}
	cancel()
	init.end()
	if err := <-served; err != nil && result == nil && !errors.Is(err, context.Canceled) {
		result = err
	}
	return errors.Join(result, removeGroups(cfg.Name, 5*time.Second))
}

// prepare makes everything that pid 1 finds ready: keys, settings, control groups.
func prepare(cfg Config) error {
	if err := removeGroups(cfg.Name, 5*time.Second); err != nil { // of a run that was killed
		return fmt.Errorf("clean up after the last run: %w", err)
	}
	if err := ensurePKI(cfg.path("pki"), identities(), time.Now()); err != nil {
		return fmt.Errorf("make the cluster's keys: %w", err)
	}
	if err := writeSettings(cfg); err != nil {
		return err
	}
	if err := linkTools(cfg); err != nil {
		return err
	}
	return makeGroups(cfg.Name)
}

// initProcess is pid 1 as its parent sees it.
type initProcess struct {
	pid  int
	done chan error // gets its end, once
}

// startInit starts pid 1. The kernel kills it when the thread that started it ends,
// so that one is kept for nothing else.
func startInit(cfg Config) (*initProcess, error) {
	p := &initProcess{done: make(chan error, 1)}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		cmd := exec.Command(selfPath, Helper, "init", cfg.path(configFile))
		cmd.Args[0] = "velodrome-local" // for those who list processes
		cmd.Stdout, cmd.Stderr, cmd.Dir = os.Stdout, os.Stderr, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
			Pdeathsig:  syscall.SIGKILL,
			Setsid:     true,
		}
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("make the cluster's namespaces: %w", err)
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		p.done <- cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// end asks pid 1 to end, and makes it.
func (p *initProcess) end() {
	_ = unix.Kill(p.pid, unix.SIGTERM) // it may just have ended
	select {
	case <-p.done:
	case <-time.After(podsPatience + partsPatience + 2*time.Second):
		_ = unix.Kill(p.pid, unix.SIGKILL)
		<-p.done
	}
}

// serve gives the cluster what is outside of it until ctx ends: the API server's
// port on the host, cluster objects, the cloud, and the names of the stand-in for GCP.
func serve(ctx context.Context, cfg Config, initPID int) error {
	network := clusterNetwork(networkPath(initPID))
	api, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", cfg.APIPort))
	if err != nil {
		return fmt.Errorf("open the API server's port on the host: %w", err)
	}
	defer func() { _ = api.Close() }() // nothing is written through a listener
	go cloud.Serve(api, func(ctx context.Context) (net.Conn, error) { return network.Dial(ctx, "tcp", "127.0.0.1:"+apiPort) })

	changed := func(forwards []cloud.Forward) {
		b, err := json.MarshalIndent(daemonState{Init: initPID, Forwards: forwards}, "", "  ")
		if err == nil {
			err = writeFile(cfg.path(forwardsFile), b, 0o644)
		}
		if err != nil {
			fmt.Println("write what is forwarded:", err)
		}
	}
	changed([]cloud.Forward{})
	store := gcp.Open(cfg.GCP)
	if err := serveNames(ctx, cfg, network, store); err != nil {
		return err
	}
	rest, err := clusterClient(cfg, network)
	if err != nil {
		return err
	}
	if err := applyWhenReady(ctx, cfg, rest); err != nil {
		if ctx.Err() != nil {
			return nil // asked to end
		}
		return err
	}
	return cloud.Run(ctx, cloud.Config{
		REST: rest, Addresses: store, Network: network, PortOffset: cfg.PortOffset,
		Volumes: cfg.path("volumes"), NodeVolumes: insideState + "/volumes", Node: nodeName,
		Changed: changed,
	})
}

// clusterClient is the administrator's client over the cluster's own network, which
// needs no port of the host.
func clusterClient(cfg Config, network clusterNetwork) (*rest.Config, error) {
	c, err := clientcmd.BuildConfigFromFlags("", cfg.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", cfg.Kubeconfig(), err)
	}
	c.Host = "https://127.0.0.1:" + apiPort
	c.Dial = network.Dial
	c.QPS, c.Burst = 50, 100
	return c, nil
}

// applyWhenReady applies the system objects as soon as the API server takes them.
func applyWhenReady(ctx context.Context, cfg Config, c *rest.Config) error {
	client, err := dynamic.NewForConfig(c)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	var last error
	if !await(ctx, func(ctx context.Context) bool {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		last = applySystem(ctx, client)
		return last == nil
	}) {
		return fmt.Errorf("apply the cluster's own objects: %w", last)
	}
	return writeFile(cfg.path(rightsMark), []byte("applied\n"), 0o644)
}
