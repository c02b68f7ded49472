package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// inNetwork runs f on a thread that is in another network namespace. What f opens
// stays there; goroutines that f starts do not.
func inNetwork(path string, f func() error) error {
	target, err := netns.GetFromPath(path)
	if err != nil {
		return fmt.Errorf("find the cluster's network: %w", err)
	}
	defer func() { _ = target.Close() }() // a handle only
	runtime.LockOSThread()
	own, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("find this process's network: %w", err)
	}
	defer func() { _ = own.Close() }() // a handle only
	if err := netns.Set(target); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter the cluster's network: %w", err)
	}
	result := f()
	if err := netns.Set(own); err != nil {
		// The thread stays locked, and so ends with its goroutine instead of being used again
		// in the wrong network.
		return errors.Join(result, fmt.Errorf("leave the cluster's network: %w", err))
	}
	runtime.UnlockOSThread()
	return result
}

// networkPath is where the network namespace of pid 1 of the cluster is found.
func networkPath(initPID int) string { return fmt.Sprintf("/proc/%d/ns/net", initPID) }

// dialInside connects from within the network of the cluster that runs.
func dialInside(ctx context.Context, cfg Config, network, address string) (net.Conn, error) {
	st := readDaemon(cfg)
	if st == nil {
		return nil, errors.New("the cluster does not run")
	}
	return clusterNetwork(networkPath(st.Init)).Dial(ctx, network, address)
}

// clusterNetwork is the path of the cluster's network namespace. It implements
// cloud.Network.
type clusterNetwork string

func (n clusterNetwork) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	done := make(chan error, 1)
	go func() {
		done <- inNetwork(string(n), func() (err error) {
			// With one address and no name the socket is made on this very thread.
			conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
			return err
		})
	}()
	err := <-done
	return conn, err
}

// Listen listens within the network.
func (n clusterNetwork) Listen(network, address string) (net.Listener, error) {
	var l net.Listener
	err := inNetwork(string(n), func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// ListenPacket listens for datagrams within the network.
func (n clusterNetwork) ListenPacket(network, address string) (net.PacketConn, error) {
	var c net.PacketConn
	err := inNetwork(string(n), func() (err error) {
		c, err = net.ListenPacket(network, address)
		return err
	})
	return c, err
}

func (n clusterNetwork) Route(ip net.IP) error {
	return n.route(ip, func(r *netlink.Route) error { return netlink.RouteReplace(r) })
}

func (n clusterNetwork) Unroute(ip net.IP) error {
	return n.route(ip, func(r *netlink.Route) error {
		if err := netlink.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		return nil
	})
}

func (n clusterNetwork) route(ip net.IP, change func(*netlink.Route) error) error {
	return inNetwork(string(n), func() error {
		link, err := netlink.LinkByName(nodeInterface)
		if err != nil {
			return fmt.Errorf("find interface %s: %w", nodeInterface, err)
		}
		err = change(&netlink.Route{
			LinkIndex: link.Attrs().Index,
			Dst:       &net.IPNet{IP: ip, Mask: net.CIDRMask(32, 32)},
			Src:       net.ParseIP(nodeIP),
		})
		if err != nil {
			return fmt.Errorf("change the route of %s: %w", ip, err)
		}
		return nil
	})
}

// trials are rules like those that kube-proxy and the NetworkPolicy controller will
// write, each with what must be in the kernel for it.
var trials = []struct{ args, modules []string }{
	{[]string{"nft", "add table ip try; add chain ip try nat { type nat hook postrouting priority 100; }; add rule ip try nat numgen random mod 2 0 masquerade fully-random;" +
		" add chain ip try in { type filter hook input priority 0; }; add rule ip try in fib daddr type local ct state new reject"},
		[]string{"nf_tables", "nft_chain_nat", "nft_masq", "nft_numgen", "nft_fib_ipv4", "nft_ct", "nft_reject_ipv4"}},
	{[]string{"ipset", "create", "try", "hash:ip"}, []string{"ip_set", "ip_set_hash_ip"}},
	{[]string{"iptables-nft", "-A", "INPUT", "-m", "comment", "--comment", "try", "-m", "set", "--match-set", "try", "src", "-j", "ACCEPT"},
		[]string{"nft_compat", "xt_comment", "xt_set"}},
}

// tryNetwork makes, in a network namespace that nobody else sees and that ends with
// the calling goroutine, what the cluster will need: it finds out what the kernel lacks.
func tryNetwork(root string) error {
	runtime.LockOSThread() // for good: the thread ends, and the namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w (a container needs --privileged)", err)
	}
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "try0"}, PeerName: "try1"}); err != nil {
		return lacks([]string{"veth"}, err.Error())
	}
	libraries, err := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu"))
	if err != nil {
		return fmt.Errorf("find the libraries in %s: %w", root, err)
	}
	for _, try := range trials {
		cmd := exec.Command(filepath.Join(root, "usr/sbin", try.args[0]), try.args[1:]...)
		cmd.Env = []string{
			"LD_LIBRARY_PATH=" + strings.Join(append(libraries, strings.ReplaceAll(strings.Join(libraries, ":"), "/usr/lib/", "/lib/")), ":"),
			"XTABLES_LIBDIR=" + filepath.Join(root, xtablesFolder(root)), "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return lacks(try.modules, fmt.Sprintf("%s: %v: %s", try.args[0], err, strings.Join(strings.Fields(string(out)), " ")))
		}
	}
	return nil
}

func lacks(modules []string, why string) error {
	return fmt.Errorf("the kernel lacks something that the cluster's network needs (%s): load the modules (modprobe -a %s), or use a kernel that has them",
		why, strings.Join(modules, " "))
}
