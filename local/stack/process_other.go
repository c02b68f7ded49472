//go:build !linux

package stack

import "syscall"

// attributes are those of a run of pulumi.
func attributes(own bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: own} }
