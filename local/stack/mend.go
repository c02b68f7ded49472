package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// mark is in the environment of each run of pulumi, and so of its plugins, that
// changes the stack by this program's hand.
const mark = "VELODROME_RUN"

// Mend puts right what a run of pulumi that was killed has left: its plugins, its
// lock, files that it was writing. It is only called while this program holds the lock
// of the local stack, so that the only other run can be one by hand; that is an error.
func (s Stack) Mend() error {
	if err := s.clearLock(); err != nil {
		return err
	}
	if err := endProcesses(mark + "=" + s.State); err != nil {
		return err
	}
	if err := s.mendFiles(); err != nil || !s.Unfinished() {
		return err
	}
	return s.dropPending()
}

// clearLock takes away the lock of a run that has ended.
func (s Stack) clearLock() error {
	locks, err := filepath.Glob(filepath.Join(s.backend(), ".pulumi", "locks", "*", "*", "*", "*.json"))
	if err != nil {
		return err // the pattern is constant
	}
	for _, file := range locks {
		var lock struct{ PID int }
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its run has ended just now
		}
		if err != nil {
			return fmt.Errorf("read the lock of the stack: %w", err)
		}
		// One that was not written to its end holds no number, and its run is gone.
		if json.Unmarshal(text, &lock) == nil && lock.PID > 0 && isPulumi(lock.PID) && !isMarked(lock.PID, mark+"="+s.State) {
			return fmt.Errorf("pulumi is at work on the stack %s by hand (process %d); wait until it has ended, then run this again", Name, lock.PID)
		}
		for _, f := range []string{file, file + ".attrs"} {
			if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("take away the lock of a run of pulumi that has ended: %w", err)
			}
		}
	}
	return nil
}

// mendFiles puts right what was being written. Pulumi writes its state to a file
// beside and renames that, so that it is whole; what it keeps about the file's type is
// written in place, and without it pulumi is content. A machine that lost its power may
// have lost the state's content: what was there before is beside it.
func (s Stack) mendFiles() error {
	root := filepath.Join(s.backend(), ".pulumi")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
			return err
		case strings.HasSuffix(path, ".tmp"):
			return os.Remove(path)
		case strings.HasSuffix(path, ".attrs"):
			if whole, err := isJSON(path); whole || err != nil {
				return err
			}
			return os.Remove(path)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("mend the state of the stack: %w", err)
	}
	if exists, err := s.Exists(); !exists || err != nil {
		return err
	}
	whole, err := isJSON(s.stateFile())
	if whole || err != nil {
		return err
	}
	if before, err := isJSON(s.stateFile() + ".bak"); err != nil || !before {
		return fmt.Errorf("the state of the stack, %s, is damaged, and there is none from before: `make down` takes everything away, and `make up` begins anew", s.stateFile())
	}
	return os.Rename(s.stateFile()+".bak", s.stateFile())
}

// isJSON tells whether a file is whole.
func isJSON(path string) (bool, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return json.Valid(text), err
}

// stateFile is where Pulumi keeps the state of the stack.
func (s Stack) stateFile() string {
	return filepath.Join(s.backend(), ".pulumi", "stacks", "velodrome", Name+".json")
}

// unfinished is a file that is there from the start of an `up` to its success.
func (s Stack) unfinished() string { return filepath.Join(s.State, "pulumi", "unfinished") }

// Unfinished tells whether the last `up` was killed or interrupted: what it was creating
// then may be there without the state knowing of it.
func (s Stack) Unfinished() bool {
	_, err := os.Stat(s.unfinished())
	return err == nil
}

// Up runs `pulumi up`, and notes when it is under way.
func (s Stack) Up(ctx context.Context, args ...string) error {
	again := s.Unfinished()
	if err := os.WriteFile(s.unfinished(), nil, 0o600); err != nil {
		return fmt.Errorf("note that a run begins: %w", err)
	}
	err := s.Run(ctx, append([]string{"up"}, args...)...)
	var exit *exec.ExitError
	// One that failed by itself, and not after one that was killed, has noted all that it made.
	if err == nil || !again && ctx.Err() == nil && errors.As(err, &exit) && exit.Exited() {
		return errors.Join(err, os.Remove(s.unfinished()))
	}
	return err
}

// Known are the resources that the state of the stack has, as type and id.
func (s Stack) Known() (map[[2]string]bool, error) {
	known := map[[2]string]bool{}
	text, err := os.ReadFile(s.stateFile())
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	var file struct {
		Checkpoint struct {
			Latest struct {
				Resources []struct{ Type, ID string }
			}
		}
	}
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of the stack: %w", err)
	}
	for _, r := range file.Checkpoint.Latest.Resources {
		known[[2]string{r.Type, r.ID}] = true
	}
	return known, nil
}

// dropPending takes what a killed run was doing off the list that the state has of that.
// Pulumi itself keeps it, and warns of it at each run, until a person has looked.
func (s Stack) dropPending() error {
	text, err := os.ReadFile(s.stateFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		text, err = withoutPending(text)
	}
	if err == nil {
		err = replaceFile(s.stateFile(), text)
	}
	if err != nil {
		return fmt.Errorf("mend the state of the stack: %w", err)
	}
	return nil
}

// withoutPending returns a state of Pulumi with nothing pending and all else as it was.
func withoutPending(state []byte) ([]byte, error) {
	var file, checkpoint, latest map[string]json.RawMessage
	if err := json.Unmarshal(state, &file); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(file["checkpoint"], &checkpoint); err != nil {
		return nil, err
	}
	if len(checkpoint["latest"]) == 0 {
		return state, nil // nothing was ever made
	}
	if err := json.Unmarshal(checkpoint["latest"], &latest); err != nil {
		return nil, err
	}
	delete(latest, "pending_operations")
	var err error
	if checkpoint["latest"], err = json.Marshal(latest); err != nil {
		return nil, err
	}
	if file["checkpoint"], err = json.Marshal(checkpoint); err != nil {
		return nil, err
	}
	return json.MarshalIndent(file, "", "    ")
}
