//go:build !linux

package artifact

import "syscall"

// memory is what the machine has, in bytes; 0 if unknown.
func memory() uint64 { return 0 }

// groupOfItsOwn lets a program's children be ended with it.
func groupOfItsOwn() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
