//go:build !linux

package stack

import "syscall"

// attributes are those of a run of pulumi.
func attributes(own bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: own} }

// endProcesses does nothing: what a killed run of pulumi left cannot be told from
// what another one runs.
func endProcesses(string) error { return nil }

// isMarked cannot tell.
func isMarked(int, string) bool { return false }

// isPulumi tells whether a process is there.
func isPulumi(pid int) bool { return syscall.Kill(pid, 0) == nil }
