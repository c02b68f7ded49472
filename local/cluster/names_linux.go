package cluster

import (
	"context"
	"fmt"
	"net"

	"velodrome/local/gcp"
)

// serveNames answers for the zones of the stand-in for GCP until ctx ends: on the
// host's loopback, and within the cluster, where cluster DNS passes on to it what is
// not the cluster's own. So a pod reaches a site by its name, as others do.
func serveNames(ctx context.Context, cfg Config, network clusterNetwork, store *gcp.Store) error {
	var servers []*gcp.DNS
	within := func() error {
		d, err := gcp.ListenDNS(net.JoinHostPort(nodeIP, upstreamDNSPort), store)
		if err == nil {
			servers = append(servers, d)
		}
		return err
	}
	if !await(ctx, addressThere(network)) {
		return context.Cause(ctx)
	}
	if err := inNetwork(string(network), within); err != nil {
		return err
	}
	if cfg.DNSPort > 0 {
		d, err := gcp.ListenDNS(net.JoinHostPort("127.0.0.1", fmt.Sprint(cfg.DNSPort)), store)
		if err != nil {
			return err
		}
		servers = append(servers, d)
	}
	for _, d := range servers {
		go func() {
			if err := d.Serve(ctx); err != nil {
				fmt.Println("serve the names of the stand-in for GCP:", err)
			}
		}()
	}
	return nil
}

// addressThere tells whether pid 1 has given the node its address yet.
func addressThere(network clusterNetwork) func(context.Context) bool {
	return func(context.Context) bool {
		c, err := network.ListenPacket("udp", net.JoinHostPort(nodeIP, "0"))
		return err == nil && c.Close() == nil
	}
}
