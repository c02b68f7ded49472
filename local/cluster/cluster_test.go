//go:build cluster && !linux

package cluster

import "testing"

func TestCluster(t *testing.T) {
	t.Fatal("TestCluster needs Linux:", ErrUnsupported)
}
