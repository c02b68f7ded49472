package cloud

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"velodrome/local/gcp"
)

const (
	// finalizer keeps a Service until its address is released, as Kubernetes' own
	// controller does on a cloud.
	finalizer = "service.kubernetes.io/load-balancer-cleanup"
	// addressAnnotation names addresses by the names of their resources.
	addressAnnotation = "networking.gke.io/load-balancer-ip-addresses"
)

// balancers is the controller of Services of type LoadBalancer.
type balancers struct {
	client    kubernetes.Interface
	services  corelisters.ServiceLister
	addresses Addresses
	network   Network
	forwards  *forwarder
	queue     workqueue.TypedRateLimitingInterface[string]
	events    record.EventRecorder
	stop      func()
	// serving is the address of each Service that is served; only the one worker uses it.
	serving map[string]string
}

func newBalancers(client kubernetes.Interface, factory informers.SharedInformerFactory, addresses Addresses, network Network, forwards *forwarder) (*balancers, error) {
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&typedcore.EventSinkImpl{Interface: client.CoreV1().Events("")})
	b := &balancers{
		client: client, addresses: addresses, network: network, forwards: forwards, serving: map[string]string{},
		services: factory.Core().V1().Services().Lister(),
		// An address that is refused may be reserved any moment: it is tried again soon.
		queue:  workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](500*time.Millisecond, 15*time.Second)),
		events: broadcaster.NewRecorder(scheme.Scheme, v1.EventSource{Component: "service-controller"}),
		stop:   broadcaster.Shutdown,
	}
	enqueue := func(o any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(o); err == nil {
			b.queue.Add(key)
		}
	}
	_, err := factory.Core().V1().Services().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, o any) { enqueue(o) }, DeleteFunc: enqueue,
	})
	if err != nil {
		return nil, fmt.Errorf("watch the Services: %w", err)
	}
	return b, nil
}

// run works until ctx ends. One worker suffices, and two never argue for an address.
func (b *balancers) run(ctx context.Context) {
	defer b.stop()
	go func() {
		<-ctx.Done()
		b.queue.ShutDown()
	}()
	b.releaseStale()
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		for {
			key, quit := b.queue.Get()
			if quit {
				return
			}
			if err := b.sync(ctx, key); err != nil {
				b.queue.AddRateLimited(key)
			} else {
				b.queue.Forget(key)
			}
			b.queue.Done(key)
		}
	}, time.Second)
}

// releaseStale releases the addresses of Services that went while nobody looked,
// with their cluster perhaps.
func (b *balancers) releaseStale() {
	all, err := b.addresses.Addresses()
	if err != nil {
		fmt.Println("look for addresses without a Service:", err)
		return
	}
	for _, a := range all {
		for _, user := range a.Users {
			ns, name, _ := strings.Cut(user, "/")
			if s, err := b.services.Services(ns).Get(name); err == nil && s.Spec.Type == v1.ServiceTypeLoadBalancer {
				continue
			}
			if err := b.addresses.Release(user); err != nil {
				fmt.Println("release the address of a Service that is gone:", err)
			}
		}
	}
}

// sync brings one Service to what it should be.
func (b *balancers) sync(ctx context.Context, key string) error {
	ns, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return nil // no such key is ever added
	}
	s, err := b.services.Services(ns).Get(name)
	if apierrors.IsNotFound(err) {
		return b.release(key)
	}
	if err != nil {
		return err
	}
	if s.Spec.Type != v1.ServiceTypeLoadBalancer || s.Spec.LoadBalancerClass != nil || s.DeletionTimestamp != nil {
		return b.cleanUp(ctx, key, s)
	}
	if len(s.Status.LoadBalancer.Ingress) == 0 {
		b.events.Event(s, v1.EventTypeNormal, "EnsuringLoadBalancer", "Ensuring load balancer")
	}
	if err := b.ensure(ctx, key, s); err != nil {
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return err // it has changed, and is looked at again
		}
		b.events.Eventf(s, v1.EventTypeWarning, "SyncLoadBalancerFailed", "Error syncing load balancer: failed to ensure load balancer: %v", err)
		return err
	}
	return nil
}

// ensure gives a Service its address and serves it.
func (b *balancers) ensure(ctx context.Context, key string, s *v1.Service) error {
	s, err := b.setFinalizer(ctx, s, true)
	if err != nil {
		return err
	}
	ip, err := b.address(key, s)
	if err != nil {
		// What it had is not what it asks for: an old address must not look like the new one.
		_, statusErr := b.setStatus(ctx, s, nil)
		return errors.Join(err, b.stopServing(key), statusErr)
	}
	if old := b.serving[key]; old != "" && old != ip.String() {
		if err := b.stopServing(key); err != nil {
			return err
		}
	}
	if err := b.network.Route(ip); err != nil {
		return err
	}
	b.serving[key] = ip.String()
	forwardErr := b.forwards.set(key, ip, tcpPorts(s))
	served := slices.ContainsFunc(s.Status.LoadBalancer.Ingress, func(i v1.LoadBalancerIngress) bool { return i.IP == ip.String() })
	mode := v1.LoadBalancerIPModeVIP
	if _, err := b.setStatus(ctx, s, []v1.LoadBalancerIngress{{IP: ip.String(), IPMode: &mode}}); err != nil {
		return err
	}
	if !served && forwardErr == nil {
		b.events.Event(s, v1.EventTypeNormal, "EnsuredLoadBalancer", "Ensured load balancer")
	}
	return forwardErr
}

// address is the one that the Service asks for, now in use by it, or one that was
// free.
func (b *balancers) address(key string, s *v1.Service) (net.IP, error) {
	want, err := wanted(s, b.addresses.Addresses)
	if err != nil {
		return nil, err
	}
	if want == "" {
		if want, err = b.addresses.NextEphemeral(key); err != nil {
			return nil, err
		}
	} else if err := b.addresses.Use(want, key); err != nil {
		return nil, err
	}
	ip := net.ParseIP(want).To4()
	if ip == nil {
		return nil, fmt.Errorf("requested ip %q is not a valid IPv4 address", want)
	}
	return ip, nil
}

// wanted is the address that a Service asks for: by the name of the address in the
// annotation, which goes before, or by number. Both must agree.
func wanted(s *v1.Service, all func() ([]gcp.Address, error)) (string, error) {
	name := strings.TrimSpace(s.Annotations[addressAnnotation])
	if name == "" {
		return s.Spec.LoadBalancerIP, nil
	}
	known, err := all()
	if err != nil {
		return "", fmt.Errorf("list the addresses: %w", err)
	}
	i := slices.IndexFunc(known, func(a gcp.Address) bool { return a.Name == name })
	if i < 0 {
		return "", fmt.Errorf("annotation %s: address %q not found", addressAnnotation, name)
	}
	if ip := s.Spec.LoadBalancerIP; ip != "" && ip != known[i].Address {
		return "", fmt.Errorf("annotation %s: address %q is %s, but loadBalancerIP is %s", addressAnnotation, name, known[i].Address, ip)
	}
	return known[i].Address, nil
}

func tcpPorts(s *v1.Service) []int {
	var out []int
	for _, p := range s.Spec.Ports {
		if p.Protocol == v1.ProtocolTCP || p.Protocol == "" {
			out = append(out, int(p.Port))
		}
	}
	return out
}

// cleanUp takes from a Service what it has as a load balancer, if it has been one.
func (b *balancers) cleanUp(ctx context.Context, key string, s *v1.Service) error {
	if !slices.Contains(s.Finalizers, finalizer) {
		return b.release(key)
	}
	b.events.Event(s, v1.EventTypeNormal, "DeletingLoadBalancer", "Deleting load balancer")
	if err := b.release(key); err != nil {
		b.events.Eventf(s, v1.EventTypeWarning, "SyncLoadBalancerFailed", "Error syncing load balancer: failed to delete load balancer: %v", err)
		return err
	}
	s, err := b.setStatus(ctx, s, nil)
	if err == nil {
		s, err = b.setFinalizer(ctx, s, false)
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	b.events.Event(s, v1.EventTypeNormal, "DeletedLoadBalancer", "Deleted load balancer")
	return nil
}

// release ends all that a Service has of the cloud.
func (b *balancers) release(key string) error {
	if err := b.stopServing(key); err != nil {
		return err
	}
	return b.addresses.Release(key)
}

func (b *balancers) stopServing(key string) error {
	if err := b.forwards.set(key, nil, nil); err != nil {
		return err
	}
	ip, ok := b.serving[key]
	if !ok {
		return nil
	}
	if err := b.network.Unroute(net.ParseIP(ip)); err != nil {
		return err
	}
	delete(b.serving, key)
	return nil
}

func (b *balancers) setFinalizer(ctx context.Context, s *v1.Service, want bool) (*v1.Service, error) {
	if slices.Contains(s.Finalizers, finalizer) == want {
		return s, nil
	}
	s = s.DeepCopy()
	if want {
		s.Finalizers = append(s.Finalizers, finalizer)
	} else {
		s.Finalizers = slices.DeleteFunc(s.Finalizers, func(f string) bool { return f == finalizer })
	}
	return b.client.CoreV1().Services(s.Namespace).Update(ctx, s, metav1.UpdateOptions{})
}

func (b *balancers) setStatus(ctx context.Context, s *v1.Service, ingress []v1.LoadBalancerIngress) (*v1.Service, error) {
	have := s.Status.LoadBalancer.Ingress
	if len(have) == len(ingress) && (len(have) == 0 || have[0].IP == ingress[0].IP) {
		return s, nil
	}
	s = s.DeepCopy()
	s.Status.LoadBalancer.Ingress = ingress
	return b.client.CoreV1().Services(s.Namespace).UpdateStatus(ctx, s, metav1.UpdateOptions{})
}
