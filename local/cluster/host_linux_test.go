package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Lines of /proc/self/mountinfo of machines with each version of control groups.
const (
	mountsV1 = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 23 0:25 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 30 0:27 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
33 30 0:28 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
34 30 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	mountsV2 = `24 30 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw
35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate
36 24 0:30 /x /mnt/view rw - cgroup2 cgroup2 rw
37 24 0:31 / /sys/fs/cgroup/net\040cls rw - cgroup cgroup rw,net_cls
`
)

func TestBothVersionsOfControlGroupsAreFound(t *testing.T) {
	got := hierarchies(mountsV1)
	want := []hierarchy{
		{Mount: "/sys/fs/cgroup/cpu,cpuacct", Version: 1, Control: []string{"rw", "cpu", "cpuacct"}},
		{Mount: "/sys/fs/cgroup/cpuset", Version: 1, Control: []string{"rw", "cpuset"}},
		{Mount: "/sys/fs/cgroup/systemd", Version: 1, Control: []string{"rw", "name=systemd"}},
		{Mount: "/sys/fs/cgroup/unified", Version: 2},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("version 1:\n got %v\nwant %v", got, want)
	}
	got = hierarchies(mountsV2)
	want = []hierarchy{{Mount: "/sys/fs/cgroup", Version: 2}, {Mount: "/sys/fs/cgroup/net cls", Version: 1, Control: []string{"rw", "net_cls"}}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("version 2:\n got %v\nwant %v", got, want)
	}
	if !got[0].unified() || got[1].unified() || hierarchies(mountsV1)[3].unified() {
		t.Error("the controllers of version 2 are looked for in the wrong place")
	}
}

func TestStaleControlGroupsGo(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "velodrome", "kubepods", "burstable", "pod1")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := removeGroup(filepath.Join(root, "velodrome")); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("left: %v (%v)", left, err)
	}
	if err := removeGroup(filepath.Join(root, "velodrome")); err != nil {
		t.Errorf("nothing to remove: %v", err)
	}
}

func TestWhatAMachineLacksIsToldWithTheWayOut(t *testing.T) {
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := held.Close(); err != nil {
			t.Error(err)
		}
	}()
	port := held.Addr().(*net.TCPAddr).Port
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"not root", check(Config{}, 1000), "the local cluster needs root, for namespaces and mounts: run the command with sudo (sudo -E keeps your settings), or as root"},
		{"no programs", check(Config{Bin: "/nonexistent", Root: "/nonexistent"}, 0), "the Kubernetes programs are not there: stat /nonexistent/kube: no such file or directory"},
		{"port", tryPort("tcp", "127.0.0.1", port, "the API server", "VELODROME_API_PORT"), fmt.Sprintf("port %d (tcp) of 127.0.0.1, for the API server, is taken by another program: end that one (ss -lp shows it), or set VELODROME_API_PORT to another value", port)},
		{"disk", enough("/state", 100<<20), "the disk of /state has 100 MiB left, and the cluster needs 3072: make room, or set VELODROME_STATE to a folder on another disk"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.err == nil || c.err.Error() != c.want {
				t.Errorf("got %v\nwant %s", c.err, c.want)
			}
		})
	}
}

func TestSecondStartAtTheSameTimeIsToldToWait(t *testing.T) {
	cfg := Config{State: t.TempDir()}
	unlock, err := lockStart(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockStart(cfg)
	if want := "the cluster in " + cfg.State + " is being started or stopped by another command; wait until that one has ended"; err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	unlock()
	again, err := lockStart(cfg)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	again()
}

func TestClusterThatNeverRanIsNotRunning(t *testing.T) {
	cfg := Config{State: filepath.Join(t.TempDir(), "cluster")}
	st, err := Get(cfg)
	if err != nil || st.Running {
		t.Errorf("got %+v, %v", st, err)
	}
	if err := Stop(context.Background(), cfg); err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := os.Stat(cfg.State); !os.IsNotExist(err) {
		t.Errorf("a state folder was made: %v", err)
	}
}

func TestFailedPartIsNamedWithTheEndOfItsLog(t *testing.T) {
	cfg, err := Config{State: t.TempDir()}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if err := writeFile(cfg.Log("etcd"), []byte(strings.Repeat("early\n", 20)+"disk quota exceeded\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(cfg.path(partsFile), fmt.Appendf(nil, `{"etcd": {"restarts": %d, "since": %q, "lastEnd": "exit status 1"}}`, unstable, time.Now().Format(time.RFC3339)), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	want := "etcd does not stay up (exit status 1); the end of " + cfg.Log("etcd") + ":" + strings.Repeat("\n    early", 7) + "\n    disk quota exceeded" +
		"\nIf its data is damaged, as by a power cut: `make down` removes it, and `make up` begins anew."
	if got := watch(ctx, cfg); got == nil || got.Error() != want {
		t.Errorf("got %v\nwant %s", got, want)
	}
}

func TestLastWordsOfAProgramAreShownAndNotItsStack(t *testing.T) {
	log := []string{"started", "panic: freelist is broken", "", "goroutine 1 [running]:", "main.main()", "	/x.go:1"}
	if got, want := strings.Join(gist(log, 6), "|"), "panic: freelist is broken||goroutine 1 [running]:"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := strings.Join(gist([]string{"a", "b", "c"}, 2), "|"); got != "b|c" {
		t.Errorf("without last words: %s", got)
	}
}

func TestImagesOfOneProgramHoldJustThat(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{State: filepath.Join(dir, "state"), Bin: dir}
	for _, n := range []string{"pause", "coredns"} {
		if err := os.WriteFile(filepath.Join(dir, n), []byte("program "+n), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	first, err := systemImages(cfg)
	if err != nil {
		t.Fatal(err)
	}
	again, err := systemImages(cfg)
	if err != nil || !slices.Equal(first, again) || len(first) != 2 {
		t.Errorf("made anew without a change: %v, %v (%v)", first, again, err)
	}
	// Another program is another archive, and the old one goes.
	if err := os.WriteFile(filepath.Join(dir, "coredns"), []byte("newer program"), 0o755); err != nil {
		t.Fatal(err)
	}
	newer, err := systemImages(cfg)
	if err != nil || newer[1] == first[1] {
		t.Errorf("the archive of a changed program stays %v (%v)", newer, err)
	}
	if left, err := filepath.Glob(cfg.path("images", "*")); err != nil || len(left) != 2 {
		t.Errorf("archives: %v (%v)", left, err)
	}
}
