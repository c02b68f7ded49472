package stack

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestPowerCutDuringAWriteLosesNoState(t *testing.T) {
	const whole = `{"version":3,"checkpoint":{"stack":"local"}}`
	for name, c := range map[string]struct{ state, before, want, fault string }{
		"whole":                {state: whole, before: `{}`, want: whole},
		"empty, one before":    {state: "", before: whole, want: whole},
		"cut off, one before":  {state: whole[:20], before: whole, want: whole},
		"empty, none before":   {state: "", before: "", fault: "is damaged, and there is none from before: `make down` takes everything away, and `make up` begins anew"},
		"attributes, cut off":  {state: whole, before: "{", want: whole},
		"nothing is there yet": {state: "none"},
	} {
		t.Run(name, func(t *testing.T) {
			s := Stack{State: t.TempDir()}
			if c.state != "none" {
				write(t, s.stateFile(), c.state)
				write(t, s.stateFile()+".attrs", "")
				write(t, s.stateFile()+".1234.tmp", "{")
				write(t, s.stateFile()+".bak", c.before)
			}
			err := s.Mend()
			if c.fault != "" {
				if err == nil || !strings.HasSuffix(err.Error(), c.fault) {
					t.Errorf("got %v, want … %s", err, c.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(s.stateFile()); c.want != "" && (err != nil || string(got) != c.want) {
				t.Errorf("the state is %s (%v)", got, err)
			}
			for _, left := range []string{".attrs", ".1234.tmp"} {
				if _, err := os.Stat(s.stateFile() + left); err == nil {
					t.Errorf("%s is left", left)
				}
			}
		})
	}
}

func TestLockOfAKilledRunIsTakenAwayAndThatOfALiveOneIsNot(t *testing.T) {
	s := Stack{State: t.TempDir()}
	lock := filepath.Join(s.backend(), ".pulumi", "locks", "organization", "velodrome", "local", "1.json")
	for _, gone := range []string{`{"pid":0}`, `{"pid":4194305}`, "", `{"pi`} {
		write(t, lock, gone)
		if err := s.Mend(); err != nil {
			t.Errorf("%s: %v", gone, err)
		}
		if _, err := os.Stat(lock); err == nil {
			t.Errorf("the lock %s is still there", gone)
		}
	}
}

func TestWhatAKilledRunWasDoingIsNoLongerPending(t *testing.T) {
	got, err := withoutPending([]byte(`{"version":3,"checkpoint":{"stack":"s","latest":{"resources":[{"id":"<a>"}],"pending_operations":[{"type":"creating"}]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(got); strings.Contains(text, "pending") || !strings.Contains(text, "resources") || !strings.Contains(text, `"stack": "s"`) {
		t.Errorf("got %s", text)
	}
}

func TestPluginsOfAKilledRunEnd(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // there they cannot be told from others
	}
	s := Stack{State: t.TempDir()}
	ours, other := exec.Command("sleep", "60"), exec.Command("sleep", "60")
	ours.Env = append(os.Environ(), mark+"="+s.State)
	other.Env = append(os.Environ(), mark+"="+s.State+"2")
	for _, c := range []*exec.Cmd{ours, other} {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Mend(); err != nil {
		t.Error(err)
	}
	if err := ours.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("ours: %v", err)
	}
	if err := other.Process.Kill(); err != nil {
		t.Errorf("another stack's plugin was ended too: %v", err)
	}
	_ = other.Wait() // killed
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
