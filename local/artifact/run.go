package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Command is a program that a build runs.
type Command struct {
	Dir  string
	Env  []string // added to this process's environment
	Args []string
}

// politeness is the niceness of builds: a machine stays usable while they run.
const politeness = 5

// Run runs a program, its words going to the job's log. When ctx ends, the program
// and all that it started are asked to stop, and killed five seconds later.
func (j *Job) Run(ctx context.Context, c Command) error {
	cmd := prepare(ctx, c)
	cmd.Stdout, cmd.Stderr = j.Log, j.Log
	return run(cmd)
}

// Output is Run that returns what the program writes to its standard output.
func (j *Job) Output(ctx context.Context, c Command) (string, error) {
	cmd := prepare(ctx, c)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, j.Log
	err := run(cmd)
	return out.String(), err
}

func prepare(ctx context.Context, c Command) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.SysProcAttr = groupOfItsOwn()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

func run(cmd *exec.Cmd) error {
	// The death signal is tied to the thread that started the program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Args[0], err)
	}
	// A refusal only means that the build runs at the usual priority.
	_ = syscall.Setpriority(syscall.PRIO_PGRP, cmd.Process.Pid, politeness)
	err := cmd.Wait()
	if err != nil {
		// What is left of the group, if its first process did not take it along.
		if e := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); e != nil && !errors.Is(e, syscall.ESRCH) {
			err = errors.Join(err, e)
		}
		return fmt.Errorf("%s: %w", strings.Join(short(cmd.Args), " "), err)
	}
	return nil
}

// short keeps the words of a command that tell which one it was.
func short(args []string) []string {
	var out []string
	for _, a := range args {
		if len(out) == 4 {
			return append(out, "…")
		}
		if len(a) > 60 {
			a = a[:60] + "…"
		}
		out = append(out, a)
	}
	return out
}
