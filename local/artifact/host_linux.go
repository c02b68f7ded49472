package artifact

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// memory is what the machine has, in bytes; 0 if unknown.
func memory() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}

// groupOfItsOwn lets a program's children be ended with it, and ends it with this
// process, should that be killed.
func groupOfItsOwn() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
