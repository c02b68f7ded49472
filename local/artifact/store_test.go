package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newStore(t *testing.T) (*Store, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	return &Store{Dir: t.TempDir(), Progress: NewProgress(&out, false)}, &out
}

// writes is a recipe that writes one file and counts its builds.
func writes(name string, builds *atomic.Int32) Recipe {
	return Recipe{Name: name, Title: name, Key: Hash(name), Build: func(_ context.Context, job *Job) error {
		builds.Add(1)
		return os.WriteFile(filepath.Join(job.Dir, "program"), []byte("content"), 0o755)
	}}
}

func TestSecondRunBuildsNothing(t *testing.T) {
	s, _ := newStore(t)
	var builds atomic.Int32
	r := writes("tool", &builds)
	for range 2 {
		dir, err := s.Ensure(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "program")); err != nil || string(b) != "content" {
			t.Errorf("the artifact holds %q, %v", b, err)
		}
	}
	if builds.Load() != 1 {
		t.Errorf("built %d times", builds.Load())
	}
}

func TestInterruptedBuildLeavesNothingAndTheNextRunMakesIt(t *testing.T) {
	s, _ := newStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	var builds atomic.Int32
	r := writes("tool", &builds)
	whole := r.Build
	r.Build = func(c context.Context, job *Job) error {
		cancel()
		return whole(c, job)
	}
	_, err := s.Ensure(ctx, r)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	want := "building the tool was interrupted; the next run continues from what is built: context canceled"
	if err.Error() != want {
		t.Errorf("message %q, want %q", err, want)
	}
	if got := folders(t, filepath.Join(s.Dir, "tool")); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
	r.Build = whole
	if _, err := s.Ensure(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// A kill -9 runs no clean-up, so that the next run has to do it.
func TestKilledBuildIsClearedAway(t *testing.T) {
	s, _ := newStore(t)
	var builds atomic.Int32
	r := writes("tool", &builds)
	half := filepath.Join(s.Dir, "tool", temporary+r.Key, "out")
	locked := filepath.Join(half, "locked")
	if err := os.MkdirAll(locked, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(locked, "half"), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(locked, 0o555); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ensure(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{r.Key}, folders(t, filepath.Join(s.Dir, "tool"))); diff != "" {
		t.Error(diff)
	}
}

func TestDamagedArtifactIsBuiltAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(dir string) error
		note   string
	}{
		{"a file is shorter", func(dir string) error { return os.Truncate(filepath.Join(dir, "program"), 3) },
			"tool: the kept one is damaged (program has 3 bytes instead of 7), building it again\n"},
		{"a file has another content", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "program"), []byte("CONTENT"), 0o755)
		}, "tool: the kept one is damaged (program has another content), building it again\n"},
		{"a file is gone", func(dir string) error { return os.Remove(filepath.Join(dir, "program")) },
			"tool: the kept one is damaged (program is missing), building it again\n"},
		{"the list is gone", func(dir string) error { return os.Remove(filepath.Join(dir, manifestName)) },
			"tool: the kept one is damaged (its list of files can't be read), building it again\n"},
		{"the list is garbage", func(dir string) error { return os.WriteFile(filepath.Join(dir, manifestName), []byte("[{"), 0o644) },
			"tool: the kept one is damaged (its list of files is damaged), building it again\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, out := newStore(t)
			var builds atomic.Int32
			r := writes("tool", &builds)
			dir, err := s.Ensure(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			if _, ok := s.Ready(r); ok {
				t.Error("the damage is not noticed")
			}
			out.Reset()
			if _, err := s.Ensure(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(filepath.Join(dir, "program")); err != nil || string(b) != "content" {
				t.Errorf("after the second build the file holds %q, %v", b, err)
			}
			if !strings.HasPrefix(out.String(), c.note) {
				t.Errorf("said %q, want %q", out, c.note)
			}
		})
	}
}

func TestFileThatWasOnlyTouchedIsNotDamaged(t *testing.T) {
	s, _ := newStore(t)
	var builds atomic.Int32
	r := writes("tool", &builds)
	dir, err := s.Ensure(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(dir, "program"), time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Ready(r); !ok {
		t.Error("a copied cache would be built again")
	}
}

func TestTwoRunsAtOnceBuildOnce(t *testing.T) {
	s, out := newStore(t)
	var builds atomic.Int32
	r := writes("tool", &builds)
	whole, begun, goOn := r.Build, make(chan struct{}), make(chan struct{})
	r.Build = func(ctx context.Context, job *Job) error {
		close(begun)
		<-goOn
		return whole(ctx, job)
	}
	var wg sync.WaitGroup
	run := func() {
		if _, err := s.Ensure(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
	wg.Go(run)
	<-begun
	wg.Go(run)
	eventually(t, "the second run waits", func() bool {
		s.Progress.mu.Lock()
		defer s.Progress.mu.Unlock()
		return strings.Contains(out.String(), "tool: another run is building it, waiting for that\n")
	})
	close(goOn)
	wg.Wait()
	if builds.Load() != 1 {
		t.Errorf("built %d times", builds.Load())
	}
}

func TestFailedBuildShowsTheEndOfItsLog(t *testing.T) {
	s, _ := newStore(t)
	r := Recipe{Name: "tool", Title: "useful tool", Key: "k", Build: func(_ context.Context, job *Job) error {
		for i := range 20 {
			fmt.Fprintln(job.Log, "line", i)
		}
		return errors.New("go build: exit status 1")
	}}
	_, err := s.Ensure(t.Context(), r)
	var failed *BuildError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v", err)
	}
	log := filepath.Join(s.Dir, "log", "tool.log")
	want := "building the useful tool failed: go build: exit status 1\n"
	for i := 5; i < 20; i++ {
		want += fmt.Sprintf("    line %d\n", i)
	}
	want += "The whole log is in " + log + "; the next run continues from what is built."
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	if b, err := os.ReadFile(log); err != nil || !strings.HasPrefix(string(b), "line 0\n") {
		t.Errorf("the log holds %q, %v", b, err)
	}
	if got := folders(t, filepath.Join(s.Dir, "tool")); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestUnreachableRegistryIsSaidClearly(t *testing.T) {
	s, _ := newStore(t)
	r := Recipe{Name: "tool", Title: "tool", Key: "k", Build: func(_ context.Context, job *Job) error {
		fmt.Fprintln(job.Log, "go: dial tcp: lookup proxy: no such host")
		return errors.New("go build: exit status 1")
	}}
	_, err := s.Ensure(t.Context(), r)
	want := "building the tool failed: no package registry could be reached (no such host); check the network and the proxy settings, then run the same command again\n"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestFullDiskIsSaidClearly(t *testing.T) {
	t.Run("before a build", func(t *testing.T) {
		s, _ := newStore(t)
		var builds atomic.Int32
		r := writes("tool", &builds)
		r.Space = 1 << 60
		_, err := s.Ensure(t.Context(), r)
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free and the tool needs 1073741824 GB: free some or set VELODROME_CACHE to a folder on another disk") {
			t.Errorf("got %v", err)
		}
		if builds.Load() != 0 {
			t.Error("built all the same")
		}
	})
	t.Run("during a build", func(t *testing.T) {
		s, _ := newStore(t)
		r := Recipe{Name: "tool", Title: "tool", Key: "k", Space: 1 << 20, Build: func(_ context.Context, job *Job) error {
			fmt.Fprintln(job.Log, "write x: no space left on device")
			return errors.New("exit status 1")
		}}
		_, err := s.Ensure(t.Context(), r)
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "is full (") ||
			!strings.Contains(err.Error(), "the tool needs 1 MB; free some or set VELODROME_CACHE") {
			t.Errorf("got %v", err)
		}
	})
}

func TestOldKeysAreKeptAWeek(t *testing.T) {
	s, _ := newStore(t)
	var builds atomic.Int32
	r := writes("tool", &builds)
	for key, age := range map[string]time.Duration{"recent": time.Hour, "old": unusedFor + time.Hour} {
		r.Key = key
		dir, err := s.Ensure(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(dir, manifestName), then, then); err != nil {
			t.Fatal(err)
		}
	}
	r.Key = "new"
	if _, err := s.Ensure(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"new", "recent"}, folders(t, filepath.Join(s.Dir, "tool"))); diff != "" {
		t.Error(diff)
	}
}

func TestCleanDeletesOnlyWhatWasBuilt(t *testing.T) {
	s, _ := newStore(t)
	var builds atomic.Int32
	if _, err := s.Ensure(t.Context(), writes("tool", &builds)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, "holiday pictures"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"holiday pictures"}, folders(t, s.Dir)); diff != "" {
		t.Error(diff)
	}
}

// Ctrl-C must not leave compilers running.
func TestInterruptEndsThePrograms(t *testing.T) {
	s, _ := newStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	pidFile := filepath.Join(t.TempDir(), "pid")
	r := Recipe{Name: "tool", Title: "tool", Key: "k", Build: func(ctx context.Context, job *Job) error {
		return job.Run(ctx, Command{Args: []string{"sh", "-c", "sleep 600 & echo $! > " + pidFile + ".new && mv " + pidFile + ".new " + pidFile + "; wait"}})
	}}
	done := make(chan error)
	go func() { _, err := s.Ensure(ctx, r); done <- err }()
	pid := 0
	eventually(t, "the program's child runs", func() bool {
		b, err := os.ReadFile(pidFile)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
		return err == nil
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	eventually(t, "the program's child ends", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(b), ") Z ")
	})
}

func TestAllAreBuiltInOrderOfNeed(t *testing.T) {
	s, _ := newStore(t)
	var mu sync.Mutex
	var order []string
	recipe := func(name string, needs ...Recipe) Recipe {
		return Recipe{Name: name, Title: name, Key: "k", Needs: needs, Build: func(_ context.Context, job *Job) error {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
			return os.WriteFile(filepath.Join(job.Dir, "f"), nil, 0o644)
		}}
	}
	base := recipe("base")
	dirs, err := s.EnsureAll(t.Context(), []Recipe{recipe("image", recipe("server", base), base), recipe("last")}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"base", "server", "image", "last"}, order); diff != "" {
		t.Error(diff)
	}
	if dirs["image"] != filepath.Join(s.Dir, "image", "k") || len(dirs) != 4 {
		t.Errorf("folders %v", dirs)
	}
	// What an artifact was made from may go when it is finished.
	order = nil
	if err := os.RemoveAll(filepath.Join(s.Dir, "base")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.EnsureAll(t.Context(), []Recipe{recipe("image", recipe("server", base), base)}, 1); err != nil {
		t.Fatal(err)
	}
	if len(order) != 0 {
		t.Errorf("built again: %v", order)
	}
}

func TestFirstFailureStopsTheRest(t *testing.T) {
	s, _ := newStore(t)
	var builds atomic.Int32
	begun := make(chan struct{})
	bad := Recipe{Name: "bad", Title: "bad", Key: "k", Build: func(context.Context, *Job) error { <-begun; return errors.New("broken") }}
	slow := Recipe{Name: "slow", Title: "slow", Key: "k", Build: func(ctx context.Context, _ *Job) error { close(begun); <-ctx.Done(); return ctx.Err() }}
	_, err := s.EnsureAll(t.Context(), []Recipe{bad, slow, writes("never", &builds)}, 2)
	if err == nil || !strings.HasPrefix(err.Error(), "building the bad failed: broken") {
		t.Errorf("got %v", err)
	}
	if builds.Load() != 0 {
		t.Error("began another build after the failure")
	}
}

// eventually waits for a condition, with a bound.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited 20 s, but not: %s", what)
		case <-tick.C:
		}
	}
}

func folders(t *testing.T, dir string) []string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range all {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out
}
