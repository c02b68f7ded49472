package cluster

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// settings are the files that the parts read, by name below the folder etc of the
// state. cgroup is the name of the cluster's control group.
func settings(cgroup string) map[string]string {
	return map[string]string{
		"containerd.toml":           containerdSettings(),
		"kubelet.yaml":              kubeletSettings(cgroup),
		"kube-proxy.yaml":           proxySettings(),
		"cni/10-velodrome.conflist": networkSettings(),
	}
}

func containerdSettings() string {
	return fmt.Sprintf(`version = 2
root = "%[1]s/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]

[grpc]
  address = "%[2]s"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%[3]s"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE, as in a container, a score cannot be lowered.
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "%[4]s/usr/sbin/runc"
        SystemdCgroup = false

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "%[4]s/usr/lib/cni"
    conf_dir = "%[5]s/cni"
`, insideState, containerdSocket, pauseImage, insideRoot, insideEtc)
}

// networkSettings are those of the pods' network: a pair of interfaces for each pod,
// routed and not bridged, so that every packet between two pods passes the rules of
// the node (a bridge shows them to the rules only with br_netfilter loaded).
func networkSettings() string {
	return fmt.Sprintf(`{
  "cniVersion": "0.4.0",
  "name": "velodrome",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/velodrome/ipam",
        "ranges": [[{"subnet": %q}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    }
  ]
}
`, podNet)
}

func kubeletSettings(cgroup string) string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
healthzBindAddress: 127.0.0.1
tlsCertFile: %[2]s/kubelet.crt
tlsPrivateKeyFile: %[2]s/kubelet.key
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[2]s/ca.crt}
authorization:
  mode: Webhook
cgroupDriver: cgroupfs
cgroupRoot: /%[3]s
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
clusterDNS: [%[4]s]
clusterDomain: %[5]s
resolvConf: ""
containerRuntimeEndpoint: unix://%[6]s
podLogsDir: %[7]s/pods
volumePluginDir: /var/lib/kubelet/plugins/volume
# kube-proxy writes its own rules, in nftables.
makeIPTablesUtilChains: false
# What pods report is watched; these are for what nobody reports.
nodeStatusUpdateFrequency: 20s
nodeStatusReportFrequency: 5m
nodeLeaseDurationSeconds: 80
volumeStatsAggPeriod: 5m
# Images come from archives and cannot be pulled again, so none is ever collected.
imageGCHighThresholdPercent: 100
evictionHard:
  memory.available: 100Mi
  nodefs.available: 1%%
  nodefs.inodesFree: 1%%
  imagefs.available: 1%%
# A program that gives up because another is not there yet is tried again soon.
crashLoopBackOff:
  maxContainerRestartPeriod: 2s
featureGates:
  KubeletCrashLoopBackOffMax: true
`, nodeIP, insidePKI, cgroup, dnsServiceIP, clusterDomain, containerdSocket, insideState)
}

func proxySettings() string {
	return fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: %s/proxy.kubeconfig}
clusterCIDR: %s
hostnameOverride: %s
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
# Limits of connection tracking are the host's, not the cluster's, to set.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
oomScoreAdj: 0
nftables: {minSyncPeriod: 100ms, syncPeriod: 1m}
`, insideEtc, podNet, nodeName)
}

// kubeconfig is that of one user at one server, with the keys in it.
func kubeconfig(server string, ca, cert, key []byte) string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: %[1]s
clusters:
- name: %[1]s
  cluster:
    server: %[2]s
    certificate-authority-data: %[3]s
contexts:
- name: %[1]s
  context: {cluster: %[1]s, user: %[1]s}
users:
- name: %[1]s
  user:
    client-certificate-data: %[4]s
    client-key-data: %[5]s
`, contextName, server, b64(ca), b64(cert), b64(key))
}

// writeSettings writes the settings and kubeconfigs of all parts, and the
// administrator's kubeconfig for use on the host.
func writeSettings(cfg Config) error {
	for name, content := range settings(cfg.Name) {
		if err := writeFile(cfg.path("etc", name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write the cluster's settings: %w", err)
		}
	}
	within := "https://127.0.0.1:" + apiPort
	for _, k := range []struct{ user, server, file string }{
		{"controller-manager", within, cfg.path("etc", "controller-manager.kubeconfig")},
		{"scheduler", within, cfg.path("etc", "scheduler.kubeconfig")},
		{"proxy", within, cfg.path("etc", "proxy.kubeconfig")},
		{"netpol", within, cfg.path("etc", "netpol.kubeconfig")},
		{"kubelet", within, cfg.path("etc", "kubelet.kubeconfig")},
		{"admin", fmt.Sprintf("https://127.0.0.1:%d", cfg.APIPort), cfg.Kubeconfig()},
	} {
		var pem [3][]byte
		for i, f := range []string{"ca.crt", k.user + ".crt", k.user + ".key"} {
			b, err := os.ReadFile(cfg.path("pki", f))
			if err != nil {
				return fmt.Errorf("write the kubeconfig of %s: %w", k.user, err)
			}
			pem[i] = b
		}
		if err := writeFile(k.file, []byte(kubeconfig(k.server, pem[0], pem[1], pem[2])), 0o600); err != nil {
			return fmt.Errorf("write the kubeconfig of %s: %w", k.user, err)
		}
	}
	return nil
}

// linkTools makes the names by which the parts call tools: Debian's packages leave
// the plain names of iptables to a choice made at installation.
func linkTools(cfg Config) error {
	links := map[string]string{
		"kubectl": filepath.Join(cfg.Bin, "kube"), // for the host; the others are for the cluster
		"xtables": insideRoot + "/" + xtablesFolder(cfg.Root),
	}
	for _, n := range []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"} {
		links[n] = insideRoot + "/usr/sbin/xtables-nft-multi"
	}
	if err := os.MkdirAll(cfg.path("bin"), 0o755); err != nil {
		return fmt.Errorf("make the folder of tools: %w", err)
	}
	for name, target := range links {
		at := cfg.path("bin", name)
		if have, err := os.Readlink(at); err == nil && have == target {
			continue
		}
		if err := os.RemoveAll(at); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		if err := os.Symlink(target, at); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
	}
	return nil
}

// xtablesFolder is where the extensions of iptables are, below Debian's tree.
func xtablesFolder(root string) string {
	found, err := filepath.Glob(filepath.Join(root, "usr/lib/*/xtables"))
	if err != nil || len(found) == 0 {
		return "usr/lib/x86_64-linux-gnu/xtables"
	}
	return strings.TrimPrefix(found[0], root+"/")
}
