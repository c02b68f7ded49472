package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
)

// Config says where one cluster lives and what it is made of. Two clusters on one
// machine need two states, two names and two sets of ports; all else of a cluster is
// in namespaces of its own.
type Config struct {
	// State is the folder that holds all that the cluster keeps: etcd's data, keys,
	// images, volumes, logs. It is made if it is absent.
	State string
	// Name names the cluster's control group on the host. Default: velodrome.
	Name string
	// Bin is the folder with the commands kube, coredns, netpol and pause.
	Bin string
	// Root is a tree of unpacked Debian packages: containerd, runc, the CNI plugins,
	// nftables, iptables, ipset.
	Root string
	// Images are archives (docker save, or OCI) that the node shall have.
	Images []string
	// APIPort is where the API server answers on the host's 127.0.0.1. Default: 16443.
	APIPort int
	// PortOffset is added to each port of a LoadBalancer on the host's loopback
	// addresses, for a machine where 80 is taken. Default: 0.
	PortOffset int
	// GCP is the file of the stand-in for GCP, whose addresses the LoadBalancers
	// serve. Default: gcp.json beside the state.
	GCP string
	// DNSPort is where the DNS server of the stand-in for GCP answers on the host's
	// 127.0.0.1, UDP and TCP. Default: 10053; below 0 there is none.
	DNSPort int
	// Progress is told what Start and Stop wait for, a line at a time, without a line
	// end. Default: nobody is told.
	Progress func(line string) `json:"-"`
}

const (
	defaultName    = "velodrome"
	defaultAPIPort = 16443
	defaultDNSPort = 10053
)

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// withDefaults fills what is not set and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = defaultName
	}
	if c.APIPort == 0 {
		c.APIPort = defaultAPIPort
	}
	if c.DNSPort == 0 {
		c.DNSPort = defaultDNSPort
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	var errs []error
	if c.State == "" {
		errs = append(errs, errors.New("no state folder is set"))
	}
	if !nameForm.MatchString(c.Name) {
		errs = append(errs, fmt.Errorf("name %q: want 1 to 32 of a-z, 0-9 and -", c.Name))
	}
	if c.APIPort < 1 || c.APIPort > 65535 {
		errs = append(errs, fmt.Errorf("port of the API server %d: want 1 to 65535", c.APIPort))
	}
	if c.DNSPort > 65535 {
		errs = append(errs, fmt.Errorf("port of the DNS server %d: want 1 to 65535", c.DNSPort))
	}
	if c.PortOffset < 0 || c.PortOffset > 50000 {
		errs = append(errs, fmt.Errorf("port offset %d: want 0 to 50000", c.PortOffset))
	}
	if err := errors.Join(errs...); err != nil {
		return c, fmt.Errorf("configure the cluster: %w", err)
	}
	for _, p := range []*string{&c.State, &c.Bin, &c.Root, &c.GCP} {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return c, fmt.Errorf("configure the cluster: %w", err)
		}
		*p = abs
	}
	if c.GCP == "" {
		c.GCP = filepath.Join(filepath.Dir(c.State), "gcp.json")
	}
	return c, nil
}

// path is a path below the state folder, on the host.
func (c Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.State}, elem...)...)
}

// Kubeconfig is the administrator's, for use on the host; its context is velodrome-local.
func (c Config) Kubeconfig() string { return c.path("kubeconfig") }

// Kubectl is kubectl, of the cluster's own version: a link to the binary of all parts.
func (c Config) Kubectl() string { return c.path("bin", "kubectl") }

// Log is the log of a part (see Parts).
func (c Config) Log(part string) string { return c.path("logs", part+".log") }

// What the cluster sees. All its parts run in a mount namespace where these are the
// same for every cluster and every machine, so that their settings are constants.
const (
	inside      = "/run/velodrome"
	insideState = inside + "/state" // Config.State
	insideBin   = inside + "/bin"   // Config.Bin
	insideRoot  = inside + "/parts" // Config.Root
	insideTools = insideState + "/bin"
	insideEtc   = insideState + "/etc"
	insidePKI   = insideState + "/pki"

	nodeName      = "node1"
	nodeIP        = "172.30.0.1"
	nodeNet       = "172.30.0.0/24"
	nodeInterface = "node0"
	serviceNet    = "10.96.0.0/16"
	apiServiceIP  = "10.96.0.1"
	dnsServiceIP  = "10.96.0.10"
	podNet        = "10.244.0.0/24"
	apiPort       = "6443"
	clusterDomain = "cluster.local"
	contextName   = "velodrome-local"
)
