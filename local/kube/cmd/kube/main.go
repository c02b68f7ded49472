// Command kube is the whole of Kubernetes in one static binary: etcd, the API
// server, the controller manager, the scheduler, the kubelet, kube-proxy and
// kubectl, all of them upstream's code, unmodified. One binary costs one link and
// 150 MB where seven would cost seven times that, and all parts share the pages
// of it that are in memory.
//
// The first argument says which part to be; called by the name of a part (through
// a symbolic link `kubectl`, say), it is that part.
//
// Build (the -X flags make `kubectl version` and the node's version honest; each
// part's --version, the API server's /version and the node's kubeletVersion read them):
//
//	V=k8s.io/component-base/version
//	CGO_ENABLED=0 go build -trimpath -ldflags \
//	  "-s -w -X $V.gitVersion=v1.35.4 -X $V.gitMajor=1 -X $V.gitMinor=35" ./cmd/...
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // so that --logging-format=json is known
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // so that /metrics speaks of the clients too
	_ "k8s.io/component-base/metrics/prometheus/version"  // so that /metrics names the version
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// parts are the names that the binary answers to, in the order of the usage line.
var parts = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
}

// servers makes the command of each part that is a Kubernetes server.
var servers = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllers.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kube-proxy":              proxy.NewProxyCommand,
}

func main() {
	args, err := partArgs(os.Args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Args = args // every part parses os.Args itself
	switch args[0] {
	case "etcd":
		etcdmain.Main(args)
	case "kubectl":
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlutil.CheckErr(err) // prints it as kubectl does, and exits
		}
	default:
		os.Exit(cli.Run(servers[args[0]]()))
	}
}

// partArgs turns the arguments of this binary into those of one part, whose name
// comes first: it is the name that the binary was called by, or its first argument.
func partArgs(args []string) ([]string, error) {
	usage := errors.New("usage: kube " + strings.Join(parts, "|") + " [flags]")
	if len(args) == 0 {
		return nil, usage
	}
	for _, p := range parts {
		if filepath.Base(args[0]) == p {
			return append([]string{p}, args[1:]...), nil
		}
	}
	if len(args) < 2 {
		return nil, usage
	}
	for _, p := range parts {
		if args[1] == p {
			return args[1:], nil
		}
	}
	return nil, fmt.Errorf("kube: unknown part %q\n%w", args[1], usage)
}
