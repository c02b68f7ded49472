// Command netpol enforces NetworkPolicies on the node: kube-router's network policy
// controller, without kube-router's routing and service proxy (kube-proxy is that).
// It needs iptables, iptables-save, iptables-restore and ipset on its PATH.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"github.com/cloudnativelabs/kube-router/v2/pkg/utils"
	"github.com/coreos/go-iptables/iptables"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

func main() {
	cfg := options.NewKubeRouterConfig()
	cfg.EnableIPv4 = true
	cfg.RunFirewall = true
	klog.InitFlags(nil)
	flag.StringVar(&cfg.Kubeconfig, "kubeconfig", "", "kubeconfig of an account that may list pods, namespaces, nodes and NetworkPolicies")
	flag.StringVar(&cfg.HostnameOverride, "hostname-override", "", "name of this node")
	clusterIPs := flag.String("service-cluster-ip-range", "", "addresses of Services, as the API server has them")
	flag.DurationVar(&cfg.IPTablesSyncPeriod, "sync-period", 5*time.Minute, "time between two full rewrites of the rules; changes are written at once")
	flag.Parse()
	cfg.ClusterIPCIDRs = []string{*clusterIPs}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "netpol:", err)
		stop()
		os.Exit(1)
	}
}

// run enforces policies until ctx ends.
func run(ctx context.Context, cfg *options.KubeRouterConfig) error {
	rest, err := clientcmd.BuildConfigFromFlags("", cfg.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if err := waitForNode(ctx, client, cfg.HostnameOverride); err != nil {
		return err
	}
	tables, err := iptables.NewWithProtocol(iptables.ProtocolIPv4)
	if err != nil {
		return fmt.Errorf("find iptables: %w", err)
	}
	sets, err := utils.NewIPSet(false)
	if err != nil {
		return fmt.Errorf("find ipset: %w", err)
	}

	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	var setsLock sync.Mutex
	controller, err := netpol.NewNetworkPolicyController(client, cfg, pods, policies, namespaces, &setsLock,
		map[v1.IPFamily]utils.IPTablesHandler{v1.IPv4Protocol: tables},
		map[v1.IPFamily]utils.IPSetHandler{v1.IPv4Protocol: sets})
	if err != nil {
		return fmt.Errorf("make the controller: %w", err)
	}
	for _, h := range []struct {
		informer cache.SharedIndexInformer
		handler  cache.ResourceEventHandler
	}{{pods, controller.PodEventHandler}, {namespaces, controller.NamespaceEventHandler}, {policies, controller.NetworkPolicyEventHandler}} {
		if _, err := h.informer.AddEventHandler(h.handler); err != nil {
			return fmt.Errorf("watch: %w", err)
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())

	var running sync.WaitGroup
	running.Add(1)
	go controller.Run(discard(ctx), ctx.Done(), &running)
	running.Wait()
	return nil
}

// waitForNode returns when the node has an address: the controller, made before,
// would give up.
func waitForNode(ctx context.Context, client kubernetes.Interface, name string) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		last = err
		return err == nil && len(node.Status.Addresses) > 0, nil
	})
	if err != nil {
		return fmt.Errorf("wait for node %q to have an address: %w (last answer: %v)", name, err, last)
	}
	return nil
}

// discard returns a channel for the controller's heartbeats, which nobody here
// counts: the process is restarted when it ends.
func discard(ctx context.Context) chan<- *healthcheck.ControllerHeartbeat {
	beats := make(chan *healthcheck.ControllerHeartbeat)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-beats:
			}
		}
	}()
	return beats
}
