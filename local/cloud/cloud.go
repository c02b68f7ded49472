// Package cloud gives a cluster on one machine what a cloud would give it: addresses
// for Services of type LoadBalancer, each reachable on the host's loopback, and
// volumes for claims.
package cloud

import (
	"context"
	"fmt"
	"net"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"velodrome/local/gcp"
)

// Addresses are the cloud's external addresses. *gcp.Store is what they are.
type Addresses interface {
	Addresses() ([]gcp.Address, error)
	Use(ip, user string) error
	Release(user string) error
	NextEphemeral(user string) (string, error)
}

// Network is the cluster's network, seen from outside.
type Network interface {
	// Dial connects from the node, as one of its own processes would.
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	// Route makes an address lead to the node, Unroute ends that.
	Route(ip net.IP) error
	Unroute(ip net.IP) error
}

// Config says what the cloud is to serve.
type Config struct {
	REST      *rest.Config
	Addresses Addresses
	Network   Network
	// PortOffset is added to the ports of load balancers on the host.
	PortOffset int
	// Volumes is the folder of the volumes as this process sees it, NodeVolumes the same
	// folder as the node sees it.
	Volumes, NodeVolumes string
	// Node is the node that has the volumes.
	Node string
	// Changed is told all forwards whenever one changes.
	Changed func([]Forward)
}

// Run serves the cluster until ctx ends.
func Run(ctx context.Context, cfg Config) error {
	client, err := kubernetes.NewForConfig(cfg.REST)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	factory := informers.NewSharedInformerFactory(client, 10*time.Minute)
	forwards := newForwarder(cfg.Network, cfg.PortOffset, cfg.Changed)
	defer forwards.close()
	balancers, err := newBalancers(client, factory, cfg.Addresses, cfg.Network, forwards)
	if err != nil {
		return err
	}
	volumes, err := newVolumes(client, factory, cfg)
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	go volumes.run(ctx)
	balancers.run(ctx)
	return nil
}
