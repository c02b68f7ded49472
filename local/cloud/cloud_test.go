package cloud

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"velodrome/local/gcp"
)

// patience bounds every wait; what is waited for takes milliseconds.
const patience = 10 * time.Second

// eventually waits for a condition, which says what is still wrong.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-tick.C
	}
}

// testNetwork is a cluster's network whose every address is one server.
type testNetwork struct {
	server string

	mu     sync.Mutex
	routes []string
	dialed []string
}

func (n *testNetwork) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dialed = append(n.dialed, address)
	n.mu.Unlock()
	return (&net.Dialer{}).DialContext(ctx, network, n.server)
}

func (n *testNetwork) Route(ip net.IP) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Contains(n.routes, ip.String()) {
		n.routes = append(n.routes, ip.String())
	}
	return nil
}

func (n *testNetwork) Unroute(ip net.IP) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.routes = slices.DeleteFunc(n.routes, func(r string) bool { return r == ip.String() })
	return nil
}

func (n *testNetwork) routed() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.routes, " ")
}

// testCloud is the load balancers over a cluster that is only its objects.
type testCloud struct {
	t        *testing.T
	client   *fake.Clientset
	store    *gcp.Store
	network  *testNetwork
	forwards *forwarder
}

func newTestCloud(t *testing.T, objects ...runtime.Object) *testCloud {
	t.Helper()
	c := &testCloud{t: t, client: fake.NewClientset(objects...), store: gcp.Open(filepath.Join(t.TempDir(), "gcp.json")), network: &testNetwork{}}
	return c
}

// run runs the controller until the test ends.
func (c *testCloud) run() {
	c.t.Helper()
	c.forwards = newForwarder(c.network, 20000, nil)
	factory := informers.NewSharedInformerFactory(c.client, 0)
	b, err := newBalancers(c.client, factory, c.store, c.network, c.forwards)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	done := make(chan struct{})
	go func() { b.run(ctx); close(done) }()
	c.t.Cleanup(func() {
		cancel()
		<-done
		c.forwards.close()
	})
}

func (c *testCloud) reserve(name, ip string) {
	c.t.Helper()
	if _, err := c.store.Reserve(gcp.Address{Project: "p", Region: "us-central1", Name: name, Address: ip}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *testCloud) create(s *v1.Service) {
	c.t.Helper()
	if _, err := c.client.CoreV1().Services(s.Namespace).Create(context.Background(), s, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *testCloud) get(name string) *v1.Service {
	c.t.Helper()
	s, err := c.client.CoreV1().Services("ns").Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// has waits until a Service has an address; "" is none.
func (c *testCloud) has(name, ip string) {
	c.t.Helper()
	eventually(c.t, func() error {
		s := c.get(name)
		got := ""
		if len(s.Status.LoadBalancer.Ingress) > 0 {
			got = s.Status.LoadBalancer.Ingress[0].IP
		}
		if got != ip {
			return fmt.Errorf("service %s has address %q, want %q; events: %v", name, got, ip, c.events())
		}
		return nil
	})
}

func (c *testCloud) events() []string {
	list, err := c.client.CoreV1().Events("").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, e := range list.Items {
		out = append(out, e.Reason+": "+e.Message)
	}
	return out
}

func (c *testCloud) saw(event string) {
	c.t.Helper()
	eventually(c.t, func() error {
		if got := c.events(); !slices.Contains(got, event) {
			return fmt.Errorf("no event %q among\n%s", event, strings.Join(got, "\n"))
		}
		return nil
	})
}

func (c *testCloud) users(ip string) []string {
	c.t.Helper()
	all, err := c.store.Addresses()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, a := range all {
		if a.Address == ip {
			return a.Users
		}
	}
	c.t.Fatalf("no address %s", ip)
	return nil
}

func balancer(name, ip string) *v1.Service {
	return &v1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Annotations: map[string]string{}},
		Spec: v1.ServiceSpec{Type: v1.ServiceTypeLoadBalancer, LoadBalancerIP: ip, Ports: []v1.ServicePort{
			{Name: "http", Port: 80, Protocol: v1.ProtocolTCP}, {Name: "push", Port: 8181, Protocol: v1.ProtocolTCP}, {Name: "udp", Port: 53, Protocol: v1.ProtocolUDP},
		}},
	}
}

func TestServiceGetsTheReservedAddressThatItAsksFor(t *testing.T) {
	c := newTestCloud(t)
	c.reserve("site", "203.0.113.77")
	c.run()
	c.create(balancer("nginx", "203.0.113.77"))
	c.has("nginx", "203.0.113.77")
	c.saw("EnsuredLoadBalancer: Ensured load balancer")
	if got := c.users("203.0.113.77"); !slices.Equal(got, []string{"ns/nginx"}) {
		t.Errorf("the address is used by %v", got)
	}
	if got := c.get("nginx").Finalizers; !slices.Equal(got, []string{finalizer}) {
		t.Errorf("finalizers %v", got)
	}
	if got := c.network.routed(); got != "203.0.113.77" {
		t.Errorf("routed: %q", got)
	}
}

func TestServiceGetsTheAddressThatItsAnnotationNames(t *testing.T) {
	c := newTestCloud(t)
	c.reserve("site", "203.0.113.78")
	c.run()
	s := balancer("nginx", "")
	s.Annotations[addressAnnotation] = "site"
	c.create(s)
	c.has("nginx", "203.0.113.78")
}

func TestAddressThatMayNotBeUsedIsRefusedInAnEvent(t *testing.T) {
	for _, c := range []struct {
		name, ip, annotation, want string
	}{
		{"not reserved", "198.51.100.9", "", `requested ip "198.51.100.9" is neither static nor assigned to the LB`},
		{"no such name", "", "nosuch", `annotation networking.gke.io/load-balancer-ip-addresses: address "nosuch" not found`},
		{"two that differ", "198.51.100.9", "site", `annotation networking.gke.io/load-balancer-ip-addresses: address "site" is 203.0.113.79, but loadBalancerIP is 198.51.100.9`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := newTestCloud(t)
			cloud.reserve("site", "203.0.113.79")
			cloud.run()
			s := balancer("nginx", c.ip)
			if c.annotation != "" {
				s.Annotations[addressAnnotation] = c.annotation
			}
			cloud.create(s)
			cloud.saw("SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: " + c.want)
			cloud.has("nginx", "")
		})
	}
}

func TestRefusedServiceIsServedOnceItsAddressIsReserved(t *testing.T) {
	c := newTestCloud(t)
	c.run()
	c.create(balancer("nginx", "203.0.113.80"))
	c.saw(`SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: requested ip "203.0.113.80" is neither static nor assigned to the LB`)
	c.reserve("site", "203.0.113.80")
	c.has("nginx", "203.0.113.80")
}

func TestTwoServicesCannotHaveOneAddress(t *testing.T) {
	c := newTestCloud(t)
	c.reserve("site", "203.0.113.81")
	c.run()
	c.create(balancer("first", "203.0.113.81"))
	c.has("first", "203.0.113.81")
	c.create(balancer("second", "203.0.113.81"))
	eventually(t, func() error {
		if got := c.events(); !slices.ContainsFunc(got, func(e string) bool {
			return strings.HasPrefix(e, "SyncLoadBalancerFailed: ") && strings.Contains(e, "already being used by another resource")
		}) {
			return fmt.Errorf("not refused: %s", strings.Join(got, "\n"))
		}
		return nil
	})
	c.has("second", "")
	c.has("first", "203.0.113.81")
}

func TestServiceWithoutAWishGetsAnAddressThatIsFree(t *testing.T) {
	c := newTestCloud(t)
	c.reserve("site", "203.0.113.1")
	c.run()
	c.create(balancer("nginx", ""))
	eventually(t, func() error {
		in := c.get("nginx").Status.LoadBalancer.Ingress
		if len(in) != 1 || in[0].IP == "203.0.113.1" {
			return fmt.Errorf("got %v", in)
		}
		return nil
	})
}

func TestAddressIsReleasedBeforeItsServiceIsGone(t *testing.T) {
	now := metav1.Now()
	s := balancer("nginx", "203.0.113.82")
	s.Finalizers = []string{finalizer, "keep/me"} // the second, so that the object can be looked at after
	s.DeletionTimestamp = &now
	c := newTestCloud(t, s)
	c.reserve("site", "203.0.113.82")
	if err := c.store.Use("203.0.113.82", "ns/nginx"); err != nil {
		t.Fatal(err)
	}
	c.run()
	eventually(t, func() error {
		if got := c.get("nginx").Finalizers; !slices.Equal(got, []string{"keep/me"}) {
			return fmt.Errorf("finalizers %v", got)
		}
		return nil
	})
	if got := c.users("203.0.113.82"); len(got) != 0 {
		t.Errorf("still used by %v", got)
	}
}

func TestServiceThatIsNoLoadBalancerAnyMoreGivesAllBack(t *testing.T) {
	c := newTestCloud(t)
	c.reserve("site", "203.0.113.83")
	c.run()
	c.create(balancer("nginx", "203.0.113.83"))
	c.has("nginx", "203.0.113.83")
	s := c.get("nginx")
	s.Spec.Type = v1.ServiceTypeClusterIP
	if _, err := c.client.CoreV1().Services("ns").Update(context.Background(), s, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.has("nginx", "")
	eventually(t, func() error {
		if got := c.get("nginx").Finalizers; len(got) != 0 {
			return fmt.Errorf("finalizers %v", got)
		}
		return nil
	})
	if got := c.users("203.0.113.83"); len(got) != 0 || c.network.routed() != "" {
		t.Errorf("used by %v, routed %q", got, c.network.routed())
	}
}

func TestAddressesOfAClusterThatIsGoneAreReleased(t *testing.T) {
	c := newTestCloud(t)
	c.reserve("site", "203.0.113.84")
	if err := c.store.Use("203.0.113.84", "old/nginx"); err != nil {
		t.Fatal(err)
	}
	c.run()
	eventually(t, func() error {
		if got := c.users("203.0.113.84"); len(got) != 0 {
			return fmt.Errorf("still used by %v", got)
		}
		return nil
	})
}

func TestSiteAnswersOnTheHostsLoopback(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }() // it may be closed already
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				// Answers only when the whole request is there: half-closed connections work.
				b, err := io.ReadAll(conn)
				if err == nil {
					_, err = conn.Write([]byte("got " + string(b)))
				}
				if closeErr := conn.Close(); err != nil || closeErr != nil {
					t.Error(err, closeErr)
				}
			}()
		}
	}()
	network := &testNetwork{server: server.Addr().String()}
	var told []Forward
	f := newForwarder(network, 20000, func(all []Forward) { told = all })
	defer f.close()
	if err := f.set("ns/nginx", net.ParseIP("203.0.113.85"), []int{80, 8181}); err != nil {
		t.Fatal(err)
	}
	want := []Forward{
		{Service: "ns/nginx", Address: "203.0.113.85:80", Host: "127.0.113.85:20080"},
		{Service: "ns/nginx", Address: "203.0.113.85:8181", Host: "127.0.113.85:28181"},
	}
	if fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("told %v\nwant %v", told, want)
	}
	conn, err := net.DialTimeout("tcp", "127.0.113.85:28181", patience)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(conn); err != nil || string(b) != "got hello" {
		t.Errorf("answer %q, %v", b, err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	network.mu.Lock()
	if !slices.Equal(network.dialed, []string{"203.0.113.85:8181"}) {
		t.Errorf("dialed %v", network.dialed)
	}
	network.mu.Unlock()
	if err := f.set("ns/nginx", nil, nil); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.DialTimeout("tcp", "127.0.113.85:20080", patience); err == nil {
		t.Errorf("still answers after the Service is gone (%v)", conn.Close())
	}
}

func TestTakenPortOfTheHostIsNamedAndTheOthersAreServed(t *testing.T) {
	held, err := net.Listen("tcp", "127.0.113.86:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := held.Close(); err != nil {
			t.Error(err)
		}
	}()
	taken := held.Addr().(*net.TCPAddr).Port
	other := taken + 1
	if other > 65535 {
		other = taken - 1
	}
	f := newForwarder(&testNetwork{server: held.Addr().String()}, 0, nil)
	defer f.close()
	err = f.set("ns/nginx", net.ParseIP("203.0.113.86"), []int{taken, other})
	want := fmt.Sprintf("127.0.113.86:%d on the host is taken by another program: end that one, or set VELODROME_PORT_OFFSET and start again", taken)
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.113.86", strconv.Itoa(other)), patience)
	if err != nil {
		t.Fatalf("the other port does not answer: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

func volumeOptions(claim, class string, reclaim v1.PersistentVolumeReclaimPolicy) controller.ProvisionOptions {
	return controller.ProvisionOptions{
		PVName:       "pvc-1",
		StorageClass: &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: class}, ReclaimPolicy: &reclaim},
		PVC: &v1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: claim},
			Spec: v1.PersistentVolumeClaimSpec{
				AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
				Resources:   v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}},
			},
		},
	}
}

func testVolumes(t *testing.T, objects ...runtime.Object) (*volumes, *fake.Clientset) {
	t.Helper()
	client := fake.NewClientset(objects...)
	factory := informers.NewSharedInformerFactory(client, 0)
	v, err := newVolumes(client, factory, Config{Volumes: t.TempDir(), NodeVolumes: "/node/volumes", Node: "node1"})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	factory.Start(stop)
	factory.WaitForCacheSync(stop)
	t.Cleanup(func() { close(stop) })
	return v, client
}

func TestVolumeIsAFolderThatAnyUserMayWriteTo(t *testing.T) {
	v, _ := testVolumes(t)
	pv, _, err := v.Provision(context.Background(), volumeOptions("data", "standard", v1.PersistentVolumeReclaimDelete))
	if err != nil {
		t.Fatal(err)
	}
	if pv.Spec.Local == nil || pv.Spec.Local.Path != "/node/volumes/ns_data_pvc-1" {
		t.Errorf("source %+v", pv.Spec.PersistentVolumeSource)
	}
	if got := pv.Spec.Capacity[v1.ResourceStorage]; got.String() != "1Gi" || pv.Spec.PersistentVolumeReclaimPolicy != v1.PersistentVolumeReclaimDelete {
		t.Errorf("capacity %s, reclaim policy %s", got.String(), pv.Spec.PersistentVolumeReclaimPolicy)
	}
	info, err := os.Stat(filepath.Join(v.dir, "ns_data_pvc-1"))
	if err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("folder: %v, %v", info, err)
	}
	if err := v.Delete(context.Background(), pv); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(v.dir); err != nil || len(left) != 0 {
		t.Errorf("left after deletion: %v, %v", left, err)
	}
}

func TestDeletionStaysAmongTheVolumes(t *testing.T) {
	v, _ := testVolumes(t)
	precious := filepath.Join(filepath.Dir(v.dir), "precious")
	if err := os.Mkdir(precious, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{precious, "/node/volumes", "/node/volumes/..", "/node/volumes/../precious", "/node/volumes/a/b"} {
		pv := &v1.PersistentVolume{Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: path}}}}
		if err := v.Delete(context.Background(), pv); err == nil {
			t.Errorf("%s was deleted", path)
		}
	}
	for _, dir := range []string{precious, v.dir} {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
}

func TestKeptVolumeComesBackInANewCluster(t *testing.T) {
	v, client := testVolumes(t)
	kept := filepath.Join(v.dir, "ns_data_pvc-old")
	for _, dir := range []string{kept, filepath.Join(v.dir, "ns_data2_pvc-x"), filepath.Join(v.dir, "other_data_pvc-x")} {
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	pv, _, err := v.Provision(context.Background(), volumeOptions("data", "velodrome", v1.PersistentVolumeReclaimRetain))
	if err != nil {
		t.Fatal(err)
	}
	if got := filepath.Base(pv.Spec.Local.Path); got != "ns_data_pvc-old" {
		t.Errorf("the claim got %s, and not what was kept", got)
	}
	// What a volume of this cluster is on is not for a second claim.
	if _, err := client.CoreV1().PersistentVolumes().Create(context.Background(), pv, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	second, _, err := v.Provision(context.Background(), volumeOptions("data", "velodrome", v1.PersistentVolumeReclaimRetain))
	if err != nil {
		t.Fatal(err)
	}
	if got := filepath.Base(second.Spec.Local.Path); got != "ns_data_pvc-1" {
		t.Errorf("the second claim got %s", got)
	}
	// A class that deletes never finds anything.
	deleting, _, err := v.Provision(context.Background(), volumeOptions("data2", "standard", v1.PersistentVolumeReclaimDelete))
	if err != nil {
		t.Fatal(err)
	}
	if got := filepath.Base(deleting.Spec.Local.Path); got != "ns_data2_pvc-1" {
		t.Errorf("a claim of a class that deletes got %s", got)
	}
}

func TestBlockVolumesAreRefused(t *testing.T) {
	v, _ := testVolumes(t)
	o := volumeOptions("data", "standard", v1.PersistentVolumeReclaimDelete)
	block := v1.PersistentVolumeBlock
	o.PVC.Spec.VolumeMode = &block
	if _, _, err := v.Provision(context.Background(), o); err == nil || err.Error() != "a volume here is a folder; volumeMode Block is not to be had" {
		t.Errorf("got %v", err)
	}
}

func TestGrownClaimGetsABiggerVolume(t *testing.T) {
	o := volumeOptions("data", "velodrome", v1.PersistentVolumeReclaimRetain)
	pv := persistentVolume(o, "/node/volumes/ns_data_pvc-1", "node1")
	pv.Annotations = map[string]string{"pv.kubernetes.io/provisioned-by": Provisioner}
	claim := o.PVC
	claim.Spec.VolumeName = pv.Name
	claim.Spec.Resources.Requests[v1.ResourceStorage] = resource.MustParse("5Gi")
	claim.Status = v1.PersistentVolumeClaimStatus{Phase: v1.ClaimBound, Capacity: v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}}
	v, client := testVolumes(t, pv, claim)
	if err := v.grow(context.Background(), "ns/data"); err != nil {
		t.Fatal(err)
	}
	gotPV, err := client.CoreV1().PersistentVolumes().Get(context.Background(), pv.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	gotClaim, err := client.CoreV1().PersistentVolumeClaims("ns").Get(context.Background(), "data", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := gotPV.Spec.Capacity[v1.ResourceStorage], gotClaim.Status.Capacity[v1.ResourceStorage]; a.String() != "5Gi" || b.String() != "5Gi" {
		t.Errorf("volume %s, claim %s; want 5Gi", a.String(), b.String())
	}
}
