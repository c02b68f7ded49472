package cluster

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// makeMounts turns the private copy of the host's mounts into what the cluster sees
// (see inside): its own /proc and /run, its folders below /run/velodrome, and over
// the host's folders that Kubernetes writes to, a layer in memory that takes the
// writes. None of it is seen outside, and all of it ends with pid 1.
func makeMounts(cfg Config) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	// From now on what the kubelet mounts is seen by the containers' mount namespaces.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share the mounts with the pods: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	// The folders are opened first, since /run may hide them.
	binds := []struct {
		from, to string
		flags    uintptr
	}{{cfg.State, insideState, 0}, {cfg.Bin, insideBin, unix.MS_RDONLY}, {cfg.Root, insideRoot, unix.MS_RDONLY}}
	fds := make([]int, len(binds))
	for i, b := range binds {
		fd, err := unix.Open(b.from, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", b.from, err)
		}
		defer func() { _ = unix.Close(fd) }() // a path only
		fds[i] = fd
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=25%"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for i, b := range binds {
		if err := os.MkdirAll(b.to, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", b.to, err)
		}
		if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fds[i]), b.to, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s at %s: %w", b.from, b.to, err)
		}
		if b.flags != 0 {
			if err := unix.Mount("", b.to, "", unix.MS_REMOUNT|unix.MS_BIND|b.flags, ""); err != nil {
				return fmt.Errorf("mount %s at %s: %w", b.from, b.to, err)
			}
		}
	}
	for _, dir := range []string{"/var/lib", "/var/log", "/usr/libexec"} {
		if err := mountLayer(dir); err != nil {
			return err
		}
	}
	if err := bindFolder(insideState+"/kubelet", "/var/lib/kubelet"); err != nil {
		return err
	}
	return hideKernelSettings()
}

// mountLayer lays a layer in memory over a folder of the host.
func mountLayer(dir string) error {
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return nil // what is not there is not written to: the kubelet's folders are set elsewhere
	}
	base := filepath.Join(inside, "layers", dir)
	upper, work := filepath.Join(base, "upper"), filepath.Join(base, "work")
	for _, d := range []string{upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", d, err)
		}
	}
	if err := unix.Mount("overlay", dir, "overlay", 0, "lowerdir="+dir+",upperdir="+upper+",workdir="+work); err != nil {
		return fmt.Errorf("lay a layer over %s: %w", dir, err)
	}
	return nil
}

// bindFolder makes a folder of the state appear at another place.
func bindFolder(from, to string) error {
	for _, d := range []string{from, to} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", d, err)
		}
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s at %s: %w", from, to, err)
	}
	return nil
}

// kernelSettings are what a kubelet sets for the whole kernel when it does not find
// them so. Here they are the host's business.
var kernelSettings = map[string]string{
	"/proc/sys/vm/overcommit_memory":      "1",
	"/proc/sys/vm/panic_on_oom":           "0",
	"/proc/sys/kernel/panic":              "10",
	"/proc/sys/kernel/panic_on_oops":      "1",
	"/proc/sys/kernel/keys/root_maxkeys":  "1000000",
	"/proc/sys/kernel/keys/root_maxbytes": "25000000",
}

// hideKernelSettings shows the kubelet files with the values that it wants in the
// place of the kernel's.
func hideKernelSettings() error {
	dir := filepath.Join(inside, "kernel")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	for at, value := range kernelSettings {
		if _, err := os.Stat(at); err != nil {
			continue // a kernel without it; the kubelet passes over it too
		}
		from := filepath.Join(dir, filepath.Base(at))
		if err := os.WriteFile(from, []byte(value+"\n"), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", from, err)
		}
		if err := unix.Mount(from, at, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("cover %s: %w", at, err)
		}
	}
	return nil
}
