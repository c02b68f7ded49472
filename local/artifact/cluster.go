package artifact

import (
	"context"
	"path/filepath"
	"time"
)

// Cluster is what the one-node cluster runs.
type Cluster struct {
	Bin  string // folder with kube, netpol, coredns and pause
	Root string // unpacked Debian packages: containerd, runc, CNI plugins, nftables, iptables, ipset, conntrack
}

const (
	kubeName          = "kube"
	systemName        = "system"
	kubernetesRelease = "v1.35.4"
)

// systemPackages are the parts of the cluster that are not Go modules of ours. What
// they need comes with them, but not the C library: its loader is the host's, and
// has to match it.
var systemPackages = packages{
	Want:    []string{"containerd", "runc", "containernetworking-plugins", "nftables", "iptables", "ipset", "conntrack"},
	Without: []string{"libc6", "libgcc-s1", "gcc-*-base", "netbase"},
	// The usual names are alternatives that an installation sets up.
	Links: map[string]string{
		"usr/sbin/iptables": "xtables-nft-multi", "usr/sbin/iptables-save": "xtables-nft-multi", "usr/sbin/iptables-restore": "xtables-nft-multi",
		"usr/sbin/ip6tables": "xtables-nft-multi", "usr/sbin/ip6tables-save": "xtables-nft-multi", "usr/sbin/ip6tables-restore": "xtables-nft-multi",
	},
}

func (b *Builder) clusterRecipes() ([]Recipe, error) {
	kube, err := b.kube()
	if err != nil {
		return nil, err
	}
	return []Recipe{b.debian(systemName, "cluster's Debian packages", systemPackages), kube}, nil
}

// kube is every command of local/kube, static, so that they run in any image too.
func (b *Builder) kube() (Recipe, error) {
	module := filepath.Join(b.cfg.Repo, "local", "kube")
	src, err := Sources(module)
	if err != nil {
		return Recipe{}, err
	}
	return Recipe{
		Name: kubeName, Title: "Kubernetes", Key: Hash(src, kubernetesRelease, "1"), Cost: 5*time.Minute + 15*time.Second, Space: 4 << 30,
		Build: func(ctx context.Context, job *Job) error {
			// The version is what each part's --version and the API server's /version tell.
			const v = "k8s.io/component-base/version"
			return job.Run(ctx, Command{
				Dir: module,
				Env: append([]string{"CGO_ENABLED=0"}, goEnv...),
				Args: []string{"go", "build", "-buildvcs=false", "-trimpath",
					"-ldflags", "-s -w -X " + v + ".gitVersion=" + kubernetesRelease + " -X " + v + ".gitMajor=1 -X " + v + ".gitMinor=35",
					"-o", job.Dir + "/", "./cmd/..."},
			})
		},
	}, nil
}
