package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// makeNetwork gives the new network namespace its loopback, the node's address on
// an interface of its own, and a route for the addresses of Services: a packet to a
// Service must be on its way out before kube-proxy's rules can turn it to a pod.
// Nothing leads out of the namespace.
func makeNetwork() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring the loopback interface up: %w", err)
	}
	// One end of a pair is enough, and pairs are what the pods need anyway.
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: nodeInterface}, PeerName: nodeInterface + "-peer"}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("make a pair of interfaces (does the kernel have veth?): %w", err)
	}
	for _, name := range []string{nodeInterface, nodeInterface + "-peer"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find interface %s: %w", name, err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("bring interface %s up: %w", name, err)
		}
	}
	link, err := netlink.LinkByName(nodeInterface)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", nodeInterface, err)
	}
	_, subnet, err := net.ParseCIDR(nodeNet)
	if err != nil {
		return err
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(nodeIP), Mask: subnet.Mask}}
	if err := netlink.AddrAdd(link, address); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("set the node's address: %w", err)
	}
	_, services, err := net.ParseCIDR(serviceNet)
	if err != nil {
		return err
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: services, Src: net.ParseIP(nodeIP)}); err != nil {
		return fmt.Errorf("route the addresses of Services: %w", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("allow forwarding: %w", err)
	}
	return nil
}
