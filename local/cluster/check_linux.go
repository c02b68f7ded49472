package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// minSpace is the free disk space, in bytes, below which a start is refused: images
// are unpacked, and a kubelet that finds the disk full evicts what runs.
const minSpace = 3 << 30

var errNotRoot = errors.New("the local cluster needs root, for namespaces and mounts: run the command with sudo (sudo -E keeps your settings), or as root")

// check finds, without changing anything, what a start cannot do without.
func check(cfg Config, uid int) error {
	if uid != 0 {
		return errNotRoot
	}
	for _, need := range []struct{ path, from string }{
		{filepath.Join(cfg.Bin, "kube"), "the Kubernetes programs"},
		{filepath.Join(cfg.Bin, "coredns"), "the Kubernetes programs"},
		{filepath.Join(cfg.Bin, "netpol"), "the Kubernetes programs"},
		{filepath.Join(cfg.Bin, "pause"), "the Kubernetes programs"},
		{filepath.Join(cfg.Root, "usr/bin/containerd"), "containerd and its tools"},
		{filepath.Join(cfg.Root, "usr/bin/ctr"), "containerd and its tools"},
		{filepath.Join(cfg.Root, "usr/sbin/runc"), "containerd and its tools"},
		{filepath.Join(cfg.Root, "usr/lib/cni/ptp"), "containerd and its tools"},
		{filepath.Join(cfg.Root, "usr/sbin/nft"), "containerd and its tools"},
		{filepath.Join(cfg.Root, "usr/sbin/ipset"), "containerd and its tools"},
		{filepath.Join(cfg.Root, "usr/sbin/xtables-nft-multi"), "containerd and its tools"},
	} {
		if _, err := os.Stat(need.path); err != nil {
			return fmt.Errorf("%s are not there: %w", need.from, err)
		}
	}
	return nil
}

// checkHost finds what keeps a cluster that does not run from starting.
func checkHost(cfg Config) error {
	if err := checkSpace(cfg.State); err != nil {
		return err
	}
	if err := checkKernel(cfg); err != nil {
		return err
	}
	if _, err := hostHierarchies(); err != nil {
		return err
	}
	return checkPorts(cfg)
}

func checkSpace(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	return enough(dir, st.Bavail*uint64(st.Bsize))
}

func enough(dir string, free uint64) error {
	if free < minSpace {
		return fmt.Errorf("the disk of %s has %d MiB left, and the cluster needs %d: make room, or set VELODROME_STATE to a folder on another disk", dir, free>>20, minSpace>>20)
	}
	return nil
}

// checkKernel finds what the kernel lacks. A module that is there and not loaded
// yet is loaded by its first use.
func checkKernel(cfg Config) error {
	if err := checkOverlay(cfg.State); err != nil {
		return err
	}
	done := make(chan error)
	// In a namespace of its own, on a thread that ends with it, so that nothing is left.
	go func() { done <- tryNetwork(cfg.Root) }()
	return <-done
}

// checkOverlay looks for overlayfs, and for a folder that it can be used on.
func checkOverlay(dir string) error {
	b, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return fmt.Errorf("look for overlayfs: %w", err)
	}
	if !slices.Contains(strings.Fields(string(b)), "overlay") {
		// This loads the module if there is one, and mounts nothing since it says no layers.
		if err := unix.Mount("overlay", dir, "overlay", 0, ""); errors.Is(err, unix.ENODEV) {
			return errors.New("the kernel has no overlayfs, which containers need: load it (modprobe overlay), or use a kernel that has it")
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	if st.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return fmt.Errorf("%s is itself on overlayfs (a container's own disk), which cannot hold containers: set VELODROME_STATE to a folder on a real disk or volume", dir)
	}
	return nil
}

// checkPorts tries the ports of the host that the cluster will want.
func checkPorts(cfg Config) error {
	if err := tryPort("tcp", "127.0.0.1", cfg.APIPort, "the API server", "VELODROME_API_PORT"); err != nil {
		return err
	}
	if cfg.DNSPort > 0 {
		for _, network := range []string{"tcp", "udp"} {
			if err := tryPort(network, "127.0.0.1", cfg.DNSPort, "the DNS server", "VELODROME_DNS_PORT"); err != nil {
				return err
			}
		}
	}
	// Any loopback address does: who holds a port of all addresses holds it there too.
	return tryPort("tcp", "127.255.255.254", 80+cfg.PortOffset, "the sites' URLs", "VELODROME_PORT_OFFSET")
}

// tryPort fails where a port is taken, with the setting that chooses another.
func tryPort(network, ip string, port int, what, setting string) error {
	at := net.JoinHostPort(ip, fmt.Sprint(port))
	var closer interface{ Close() error }
	var err error
	if network == "udp" {
		closer, err = net.ListenPacket(network, at)
	} else {
		closer, err = (&net.ListenConfig{}).Listen(context.Background(), network, at)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d (%s) of %s, for %s, is taken by another program: end that one (ss -lp shows it), or set %s to another value", port, network, ip, what, setting)
	}
	if err != nil {
		return fmt.Errorf("try port %d (%s) for %s: %w", port, network, what, err)
	}
	return closer.Close()
}
