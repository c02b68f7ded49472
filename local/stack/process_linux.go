package stack

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// attributes are those of a run of pulumi. Should this program be killed, pulumi is
// interrupted: it ends after what is under way, and leaves no lock.
func attributes(own bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: own, Pdeathsig: syscall.SIGINT}
}

// endProcesses kills every process that has an entry in its environment, except this one.
func endProcesses(entry string) error {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return err // the pattern is constant
	}
	var errs []error
	for _, file := range files {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if isMarked(pid, entry) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				errs = append(errs, fmt.Errorf("end process %d, which a run of pulumi that was killed left: %w", pid, err))
			}
		}
	}
	return errors.Join(errs...)
}

// isMarked tells whether a process has an entry in its environment. One that has ended
// just now, or is another user's, has not.
func isMarked(pid int, entry string) bool {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(append([]byte{0}, env...), []byte("\x00"+entry+"\x00"))
}

// isPulumi tells whether a process is there and is pulumi: after a restart of the
// machine another one may have its number.
func isPulumi(pid int) bool {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return err == nil && strings.TrimSpace(string(name)) == "pulumi"
}
