package cluster

import (
	"slices"
	"strings"
)

// part is one process of the cluster, as pid 1 runs it.
type part struct {
	Name string   // also the name of its log
	Args []string // the program first
	Env  []string // on top of baseEnv
	// Needs names what must be there before it is started: starting a part that then
	// only polls for another costs the other one the processor.
	Needs []need
	// Gentle parts write files of their own and are asked to end; the others keep all
	// that they know in etcd and are ended at once.
	Gentle bool
}

// need is something that a part waits for before it starts.
type need string

const (
	needAPI     need = "the API server"            // answers at /readyz
	needRuntime need = "containerd"                // its socket accepts
	needRights  need = "the rights of the cluster" // a marker file: the daemon has applied the system objects
)

const (
	containerdSocket = insideState + "/containerd.sock"
	etcdURL          = "http://127.0.0.1:2379"
)

// baseEnv is the environment of every part: the tools of Debian's tree come first,
// so that what the host has installed changes nothing.
func baseEnv() []string {
	return []string{
		"PATH=" + strings.Join([]string{insideTools, insideRoot + "/usr/sbin", insideRoot + "/usr/bin", insideRoot + "/sbin", insideRoot + "/bin",
			"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}, ":"),
		"LD_LIBRARY_PATH=" + insideRoot + "/usr/lib/x86_64-linux-gnu:" + insideRoot + "/lib/x86_64-linux-gnu:" +
			insideRoot + "/usr/lib/aarch64-linux-gnu:" + insideRoot + "/lib/aarch64-linux-gnu",
		"XTABLES_LIBDIR=" + insideTools + "/xtables",
		"HOME=/root",
		"LANG=C.UTF-8",
	}
}

// parts are the cluster's processes in the order in which they are started.
// cgroup is the name of the cluster's control group.
func parts(cgroup string) []part {
	kube := func(name string, memory string, needs []need, args ...string) part {
		return part{
			Name: name, Needs: needs,
			Args: append([]string{insideBin + "/kube", name}, args...),
			// The collector runs a little more often than by default and much more often near
			// the soft limit: all parts together stay under a gigabyte.
			Env: []string{"GOGC=75", "GOMEMLIMIT=" + memory},
		}
	}
	gentle := func(p part) part {
		p.Gentle = true
		return p
	}
	return []part{
		gentle(kube("etcd", "256MiB", nil,
			"--name=default",
			"--data-dir="+insideState+"/etcd",
			"--listen-client-urls="+etcdURL,
			"--advertise-client-urls="+etcdURL,
			"--listen-peer-urls=http://127.0.0.1:2380",
			"--initial-advertise-peer-urls=http://127.0.0.1:2380",
			"--initial-cluster=default=http://127.0.0.1:2380",
			"--snapshot-count=10000",
			// Nobody listens for the heartbeat, but an election, at each start, takes five of them.
			"--heartbeat-interval=200",
			"--election-timeout=1000",
			"--log-level=warn",
		)),
		kube("kube-apiserver", "700MiB", nil,
			"--etcd-servers="+etcdURL,
			"--bind-address=0.0.0.0",
			"--advertise-address="+nodeIP,
			"--secure-port="+apiPort,
			"--service-cluster-ip-range="+serviceNet,
			"--tls-cert-file="+insidePKI+"/apiserver.crt",
			"--tls-private-key-file="+insidePKI+"/apiserver.key",
			"--client-ca-file="+insidePKI+"/ca.crt",
			"--service-account-issuer=https://kubernetes.default.svc."+clusterDomain,
			"--service-account-key-file="+insidePKI+"/sa.pub",
			"--service-account-signing-key-file="+insidePKI+"/sa.key",
			"--authorization-mode=Node,RBAC",
			"--enable-admission-plugins=NodeRestriction",
			"--kubelet-client-certificate="+insidePKI+"/apiserver-kubelet.crt",
			"--kubelet-client-key="+insidePKI+"/apiserver-kubelet.key",
			"--kubelet-certificate-authority="+insidePKI+"/ca.crt",
			"--kubelet-preferred-address-types=InternalIP",
			"--allow-privileged=true",
			"--profiling=false",
		),
		{
			Name:   "containerd",
			Args:   []string{insideRoot + "/usr/bin/containerd", "--config=" + insideEtc + "/containerd.toml"},
			Gentle: true,
		},
		kube("kube-controller-manager", "200MiB", []need{needAPI},
			"--kubeconfig="+insideEtc+"/controller-manager.kubeconfig",
			"--authentication-skip-lookup=true",
			"--bind-address=127.0.0.1",
			"--leader-elect=false",
			"--use-service-account-credentials=true",
			"--service-account-private-key-file="+insidePKI+"/sa.key",
			"--root-ca-file="+insidePKI+"/ca.crt",
			"--cluster-signing-cert-file="+insidePKI+"/ca.crt",
			"--cluster-signing-key-file="+insidePKI+"/ca.key",
			// Folders are not attached to nodes; the one that attaches looks ten times a second.
			"--controllers=*,-persistentvolume-attach-detach-controller",
			"--node-monitor-period=20s",
			"--node-monitor-grace-period=3m",
			// By default it starts its forty controllers at a pace that spares a big cluster's API
			// server, in four seconds.
			"--kube-api-qps=300",
			"--kube-api-burst=600",
			"--profiling=false",
		),
		kube("kube-scheduler", "100MiB", []need{needAPI},
			"--kubeconfig="+insideEtc+"/scheduler.kubeconfig",
			"--authentication-skip-lookup=true",
			"--bind-address=127.0.0.1",
			"--leader-elect=false",
			"--profiling=false",
		),
		kube("kubelet", "200MiB", []need{needAPI, needRuntime},
			"--config="+insideEtc+"/kubelet.yaml",
			"--kubeconfig="+insideEtc+"/kubelet.kubeconfig",
			"--root-dir=/var/lib/kubelet",
			"--cert-dir=/var/lib/kubelet/pki",
			"--hostname-override="+nodeName,
			"--node-ip="+nodeIP,
			// cAdvisor looks at every container this often; evictions on one's own machine can wait.
			"--housekeeping-interval=30s",
		),
		kube("kube-proxy", "100MiB", []need{needAPI},
			"--config="+insideEtc+"/kube-proxy.yaml",
		),
		{
			Name:  "netpol",
			Needs: []need{needAPI, needRights},
			Args: []string{insideBin + "/netpol",
				"--kubeconfig=" + insideEtc + "/netpol.kubeconfig",
				"--hostname-override=" + nodeName,
				"--service-cluster-ip-range=" + serviceNet,
			},
			Env: []string{"GOGC=75", "GOMEMLIMIT=100MiB"},
		},
	}
}

// Parts are the names of the cluster's processes, which are also those of its logs.
func Parts() []string {
	names := make([]string, 0, 8)
	for _, p := range parts("") {
		names = append(names, p.Name)
	}
	return slices.Clip(names)
}
