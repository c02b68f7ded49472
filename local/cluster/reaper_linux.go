package cluster

import (
	"fmt"
	"os"
	"sync"
	"syscall"
)

// reaper starts processes and waits for all children of pid 1, its own as well as
// orphans that the kernel hands to it. Only one place may wait for children, or one
// waiter takes what another waits for; so pid 1 uses this and not os/exec.
type reaper struct {
	mu      sync.Mutex
	running map[int]chan syscall.WaitStatus
}

func newReaper() *reaper {
	r := &reaper{running: map[int]chan syscall.WaitStatus{}}
	go r.reap()
	return r
}

// start starts a program with its output going to a file. The channel gets the
// program's end.
func (r *reaper) start(path string, args, env []string, out *os.File) (int, <-chan syscall.WaitStatus, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, nil, fmt.Errorf("start %s: %w", path, err)
	}
	defer func() { _ = null.Close() }() // read only: nothing can be lost
	r.mu.Lock()                         // a child that ends at once waits here to be known
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, args, &syscall.ProcAttr{
		Dir: "/", Env: env, Files: []uintptr{null.Fd(), out.Fd(), out.Fd()},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, nil, fmt.Errorf("start %s: %w", path, err)
	}
	done := make(chan syscall.WaitStatus, 1)
	r.running[pid] = done
	return pid, done, nil
}

// reap waits for children for ever.
func (r *reaper) reap() {
	chld := make(chan os.Signal, 1)
	notifyChild(chld)
	for range chld {
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
			if err == syscall.EINTR {
				continue
			}
			if pid <= 0 || err != nil {
				break // none left; SIGCHLD tells of the next one
			}
			r.mu.Lock()
			done := r.running[pid]
			delete(r.running, pid)
			r.mu.Unlock()
			if done != nil {
				done <- status
			}
		}
	}
}

// describe says how a process ended.
func describe(s syscall.WaitStatus) string {
	switch {
	case s.Signaled():
		return "killed by " + s.Signal().String()
	default:
		return fmt.Sprintf("exit status %d", s.ExitStatus())
	}
}
