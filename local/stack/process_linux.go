package stack

import "syscall"

// attributes are those of a run of pulumi. Should this program be killed, pulumi is
// interrupted: it ends after what is under way, and leaves no lock.
func attributes(own bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: own, Pdeathsig: syscall.SIGINT}
}
