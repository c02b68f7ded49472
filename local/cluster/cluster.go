// Package cluster is a Kubernetes cluster of one node on this machine: etcd, the
// API server, the controller manager, the scheduler, containerd, the kubelet,
// kube-proxy and a NetworkPolicy controller, all of them upstream's programs.
//
// A daemon in the host's namespaces holds it: it starts pid 1 of new pid, mount,
// network and UTS namespaces, in which everything else runs, and gives the cluster
// what a cloud would (package cloud). If the daemon dies the kernel ends pid 1, and
// with pid 1 all that runs in the namespaces, their mounts and their interfaces.
// What is left then are empty control groups, which the next Start or Stop removes,
// and the state folder, from which the next Start goes on.
package cluster

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"velodrome/local/cloud"
)

// The images that the cluster itself needs. They are made from the binaries that it
// runs, and are in no registry.
const (
	pauseImage = "velodrome.local/pause:1"
	dnsImage   = "velodrome.local/coredns:1"
)

// upstreamDNSPort is where, inside the cluster's network, the DNS server of the
// stand-in for GCP answers.
const upstreamDNSPort = "10053"

// Files below the state folder.
const (
	lockFile   = "daemon.lock" // held by the daemon
	startLock  = "start.lock"  // held by Start and Stop
	pidFile    = "daemon.pid"
	configFile = "config.json" // of the cluster that runs
	partsFile  = "parts.json"
)

// Helper is the name of the hidden subcommand by which a program that uses this
// package becomes the daemon, or pid 1: see RunHelper.
const Helper = "cluster-helper"

// ErrUnsupported is what every function says where there is no Linux.
var ErrUnsupported = errors.New("the local cluster needs Linux: namespaces, control groups and containers are the kernel's (in a virtual machine, run it there; or point the stack `local` at a cluster that you have)")

// Status tells how a cluster is.
type Status struct {
	Running bool                  `json:"running"` // its daemon runs
	PID     int                   `json:"pid,omitempty"`
	Since   time.Time             `json:"since,omitzero"`
	Parts   map[string]PartStatus `json:"parts,omitempty"`
	// Forwards are the host's loopback addresses that lead to LoadBalancers.
	Forwards []Forward `json:"forwards,omitempty"`
}

// Forward is one port of a LoadBalancer on the host.
type Forward = cloud.Forward

// PartStatus is how a part of the cluster is.
type PartStatus struct {
	PID      int       `json:"pid,omitempty"` // in the cluster's own pid namespace; 0: does not run
	Since    time.Time `json:"since,omitzero"`
	Restarts int       `json:"restarts,omitempty"`
	Waits    string    `json:"waits,omitempty"`   // what it waits for before it starts
	LastEnd  string    `json:"lastEnd,omitempty"` // how it ended the last time
}

// PartError is a part that keeps the cluster from starting.
type PartError struct {
	Part string
	End  string   // how it ended
	Log  []string // its last lines
	Path string   // of its log
}

func (e *PartError) Error() string {
	s := fmt.Sprintf("%s does not stay up (%s); the end of %s:", e.Part, e.End, e.Path)
	for _, l := range e.Log {
		s += "\n    " + l
	}
	if e.Part == "etcd" {
		s += "\nIf its data is damaged, as by a power cut: `make down` removes it, and `make up` begins anew."
	}
	return s
}

// gist is what tells most of the end of a log: from the last line in which a
// program gave up, or else the last lines.
func gist(lines []string, n int) []string {
	for i, l := range slices.Backward(lines) {
		if gaveUp.MatchString(l) {
			return lines[i:min(i+n/2, len(lines))]
		}
	}
	return lines[max(0, len(lines)-n):]
}

// gaveUp matches the last words of Go programs, of klog, of etcd and of cobra.
var gaveUp = regexp.MustCompile(`^panic: |^fatal error: |^F\d{4} |"level":"(fatal|panic)"|^Error: |^error: |level=fatal`)
