//go:build cluster

// The tests in this file run a whole cluster, as root, beside any other that runs.
// They fail, and say what is missing, where there is no root or nothing to run.

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"velodrome/local/artifact"
	"velodrome/local/gcp"
)

const (
	testPatience = time.Minute
	probeImage   = "velodrome.local/probe:1"
	space        = "velodrome-test" // the namespace of the tests' pods
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Helper {
		if err := RunHelper(os.Args[2:]); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// harness is the cluster under test.
type harness struct {
	*testing.T
	cfg    Config
	client *kubernetes.Clientset
}

// TestCluster is one cluster's life. The steps build on each other.
func TestCluster(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("TestCluster needs root, for namespaces and mounts: run it with sudo -E")
	}
	h := &harness{T: t, cfg: testConfig(t)}
	mounts := hostMounts(t)
	links := hostLinks(t)
	t.Cleanup(func() {
		if err := Remove(context.Background(), h.cfg, false); err != nil {
			t.Errorf("remove: %v", err)
		}
		h.nothingLeft(mounts, links)
	})
	h.start()
	h.makeSpace()

	for _, step := range []struct {
		name string
		run  func(*harness)
	}{
		{"PodOfAnyUserWritesToItsVolume", testVolume},
		{"NamesAreFound", testNames},
		{"SiteAnswersAtItsAddressOnTheHost", testBalancer},
		{"PodThatMayNotReachAnotherFailsTo", testPolicy},
		{"KilledPartsComeBack", testKilledParts},
		{"SecondStartFindsTheClusterRunning", testStartTwice},
		{"KilledPid1EndsEverythingAndTheNextStartWorks", func(h *harness) { testKilled(h, readDaemon(h.cfg).Init, mounts, links) }},
		{"KilledDaemonEndsEverythingAndTheNextStartWorks", func(h *harness) {
			pid, err := daemonPID(h.cfg)
			if err != nil {
				h.Fatal(err)
			}
			testKilled(h, pid, mounts, links)
		}},
		{"InterruptedStartIsMendedByTheNext", testInterrupted},
		{"StopLeavesNothing", func(h *harness) {
			if err := Stop(context.Background(), h.cfg); err != nil {
				h.Fatal(err)
			}
			h.nothingLeft(mounts, links)
		}},
	} {
		ok := t.Run(step.name, func(t *testing.T) { step.run(&harness{T: t, cfg: h.cfg, client: h.client}) })
		if !ok {
			h.showLogs()
			t.FailNow() // what follows would only fail for the same reason
		}
	}
}

// testConfig is a cluster beside any other: its own state, name and ports.
func testConfig(t *testing.T) Config {
	t.Helper()
	repo, err := artifact.FindRepo(".")
	if err != nil {
		t.Fatal(err)
	}
	builder, err := artifact.New(artifact.Config{Repo: repo, Progress: artifact.NewProgress(os.Stderr, false)})
	if err != nil {
		t.Fatal(err)
	}
	have, err := builder.Cluster(context.Background())
	if err != nil {
		t.Fatalf("TestCluster needs the cluster's programs: %v", err)
	}
	state, err := os.MkdirTemp("", "vt") // short: sockets in it have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(state); err != nil {
			t.Error(err)
		}
	})
	cfg, err := Config{
		State: filepath.Join(state, "cluster"), Name: "velodrome-test-" + strconv.Itoa(os.Getpid()), Bin: have.Bin, Root: have.Root,
		Images: []string{makeProbe(t)}, APIPort: freePort(t), DNSPort: freePort(t), PortOffset: 20000,
		Progress: func(line string) { t.Log(line) },
	}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// freePort is one that nobody has on the loopback address, for both protocols as far
// as one can tell.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// makeProbe makes the image of testdata/probe.
func makeProbe(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "probe"), "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the probe: %v\n%s", err, out)
	}
	content, err := os.ReadFile(filepath.Join(dir, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	image, err := binaryImage("probe", content)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(probeImage)
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(dir, "probe.tar")
	if err := tarball.WriteToFile(archive, tag, image); err != nil {
		t.Fatal(err)
	}
	return archive
}

func (h *harness) start() {
	h.Helper()
	began := time.Now()
	if err := Start(context.Background(), h.cfg); err != nil {
		h.showLogs()
		h.Fatal(err)
	}
	h.Logf("ready after %.1f s", time.Since(began).Seconds())
	rest, err := clientcmd.BuildConfigFromFlags("", h.cfg.Kubeconfig())
	if err != nil {
		h.Fatal(err)
	}
	rest.QPS, rest.Burst = 100, 100
	if h.client, err = kubernetes.NewForConfig(rest); err != nil {
		h.Fatal(err)
	}
}

func (h *harness) showLogs() {
	h.Helper()
	if h.client != nil {
		events, err := h.client.CoreV1().Events(space).List(context.Background(), metav1.ListOptions{})
		if err != nil {
			h.Log(err)
		} else {
			for _, e := range events.Items {
				h.Log(e.LastTimestamp.Format(time.TimeOnly), e.InvolvedObject.Name, e.Type, e.Reason, e.Message)
			}
		}
	}
	for _, part := range append(Parts(), "daemon") {
		h.Logf("end of the log of %s:\n%s", part, strings.Join(tail(h.cfg.Log(part), 15), "\n"))
	}
}

// eventually waits for a condition, which says what is still wrong.
func (h *harness) eventually(what string, check func(context.Context) error) {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	defer cancel()
	var last error
	if !await(ctx, func(ctx context.Context) bool {
		err := check(ctx)
		if err == nil || ctx.Err() == nil { // that the time is up is no news
			last = err
		}
		return err == nil
	}) {
		h.Fatalf("%s: %v", what, last)
	}
}

func (h *harness) makeSpace() {
	h.Helper()
	_, err := h.client.CoreV1().Namespaces().Create(context.Background(), &v1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: space, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	if err != nil {
		h.Fatal(err)
	}
}

// probe runs a pod of the probe and waits until it is Ready.
func (h *harness) probe(pod string, uid int64, volumes ...v1.Volume) {
	h.Helper()
	yes, no := true, false
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: pod, Labels: map[string]string{"app": pod}},
		Spec: v1.PodSpec{
			AutomountServiceAccountToken: &no,
			SecurityContext: &v1.PodSecurityContext{
				RunAsUser: &uid, RunAsGroup: &uid, FSGroup: &uid, RunAsNonRoot: &yes,
				SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []v1.Container{{
				Name: "probe", Image: probeImage, ImagePullPolicy: v1.PullNever,
				Ports: []v1.ContainerPort{{Name: "http", ContainerPort: 8080}},
				SecurityContext: &v1.SecurityContext{
					AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, Capabilities: &v1.Capabilities{Drop: []v1.Capability{"ALL"}},
				},
				Resources: v1.ResourceRequirements{
					Requests: v1.ResourceList{v1.ResourceMemory: resource.MustParse("16Mi"), v1.ResourceCPU: resource.MustParse("10m")},
					Limits:   v1.ResourceList{v1.ResourceMemory: resource.MustParse("64Mi"), v1.ResourceCPU: resource.MustParse("500m")},
				},
				ReadinessProbe: &v1.Probe{PeriodSeconds: 1, ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(8080)}}},
			}},
			Volumes: volumes,
		},
	}
	for _, v := range volumes {
		p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, v1.VolumeMount{Name: v.Name, MountPath: "/" + v.Name})
	}
	// A namespace's service account takes a moment.
	h.eventually("create pod "+pod, func(ctx context.Context) error {
		_, err := h.client.CoreV1().Pods(space).Create(ctx, p, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
	h.ready(pod)
}

func (h *harness) ready(pod string) {
	h.Helper()
	h.eventually("pod "+pod, func(ctx context.Context) error {
		p, err := h.client.CoreV1().Pods(space).Get(ctx, pod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range p.Status.Conditions {
			if c.Type == v1.PodReady && c.Status == v1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("not ready: %+v", p.Status.ContainerStatuses)
	})
}

func (h *harness) service(app string, spec v1.ServiceSpec) *v1.Service {
	h.Helper()
	spec.Selector = map[string]string{"app": app}
	spec.Ports = []v1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}}
	s, err := h.client.CoreV1().Services(space).Create(context.Background(), &v1.Service{ObjectMeta: metav1.ObjectMeta{Name: app}, Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		h.Fatal(err)
	}
	return s
}

// ask has a probe do something. An error of the way there is one of the test.
func (h *harness) ask(pod, what string, args ...string) (string, error) {
	values := url.Values{}
	for i := 0; i+1 < len(args); i += 2 {
		values.Set(args[i], args[i+1])
	}
	req := h.client.CoreV1().RESTClient().Get().Namespace(space).Resource("pods").Name(pod + ":8080").SubResource("proxy").Suffix(what)
	for k := range values {
		req = req.Param(k, values.Get(k))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	b, err := req.DoRaw(ctx)
	if err != nil {
		return "", fmt.Errorf("ask pod %s: %w", pod, err)
	}
	return string(b), nil
}

// says waits until a probe answers just this.
func (h *harness) says(want, pod, what string, args ...string) {
	h.Helper()
	h.eventually(fmt.Sprintf("%s of pod %s with %v", what, pod, args), func(context.Context) error {
		got, err := h.ask(pod, what, args...)
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("got %q, want %q", got, want)
		}
		return nil
	})
}

func testVolume(h *harness) {
	class := "velodrome"
	claim, err := h.client.CoreV1().PersistentVolumeClaims(space).Create(context.Background(), &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: v1.PersistentVolumeClaimSpec{
			AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce}, StorageClassName: &class,
			Resources: v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		h.Fatal(err)
	}
	h.probe("writer", 1500, v1.Volume{Name: "data", VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}})
	h.says("written", "writer", "write", "path", "/data/file", "text", "kept")
	got, err := filepath.Glob(h.cfg.path("volumes", space+"_data_*", "file"))
	if err != nil || len(got) != 1 {
		h.Fatalf("files: %v, %v", got, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Dir(got[0]), &st); err != nil || st.Gid != 1500 {
		h.Errorf("group of the volume is %d (%v), want the pod's fsGroup 1500", st.Gid, err)
	}

	claim.Spec.Resources.Requests[v1.ResourceStorage] = resource.MustParse("2Gi")
	h.eventually("grow the claim", func(ctx context.Context) error {
		now, err := h.client.CoreV1().PersistentVolumeClaims(space).Get(ctx, "data", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if size := now.Status.Capacity[v1.ResourceStorage]; size.String() == "2Gi" {
			return nil
		}
		now.Spec.Resources.Requests[v1.ResourceStorage] = resource.MustParse("2Gi")
		if _, err := h.client.CoreV1().PersistentVolumeClaims(space).Update(ctx, now, metav1.UpdateOptions{}); err != nil {
			return err
		}
		return errors.New("not grown yet")
	})
}

func testNames(h *harness) {
	h.probe("web", 65534)
	s := h.service("web", v1.ServiceSpec{})
	full := "web." + space + ".svc.cluster.local."
	for _, network := range []string{"udp", "tcp"} {
		h.says("["+s.Spec.ClusterIP+"]", "writer", "lookup", "network", network, "kind", "A", "name", full)
		h.says(full+":80", "writer", "lookup", "network", network, "kind", "SRV", "name", "_http._tcp."+full)
		// A Service of IPv4 has no address of IPv6, which is an answer and not a failure to.
		got, err := h.ask("writer", "lookup", "network", network, "kind", "AAAA", "name", full)
		if err != nil || !strings.Contains(got, "no such host") {
			h.Errorf("AAAA over %s: %q, %v", network, got, err)
		}
	}
	h.says("["+s.Spec.ClusterIP+"]", "writer", "lookup", "network", "udp", "kind", "A", "name", "web") // by the pod's search list
	h.says("ok", "writer", "fetch", "url", "http://web/")
}

func testBalancer(h *harness) {
	store := gcp.Open(h.cfg.GCP)
	address, err := store.Reserve(gcp.Address{Project: "p", Region: "us-central1", Name: "site"})
	if err != nil {
		h.Fatal(err)
	}
	h.probe("site", 101)
	h.service("site", v1.ServiceSpec{Type: v1.ServiceTypeLoadBalancer, LoadBalancerIP: address.Address, ExternalTrafficPolicy: v1.ServiceExternalTrafficPolicyLocal})
	loopback, err := gcp.Loopback(address.Address)
	if err != nil {
		h.Fatal(err)
	}
	onHost := "http://" + net.JoinHostPort(loopback, strconv.Itoa(80+h.cfg.PortOffset)) + "/"
	h.eventually("the site at "+onHost, answersOK(onHost))
	h.says("ok", "writer", "fetch", "url", "http://"+address.Address+"/") // from within as well

	if err := h.client.CoreV1().Services(space).Delete(context.Background(), "site", metav1.DeleteOptions{}); err != nil {
		h.Fatal(err)
	}
	h.eventually("the address is released", func(context.Context) error {
		now, err := store.Address("p", "us-central1", "site")
		if err != nil {
			return err
		}
		if now.Status() != "RESERVED" {
			return fmt.Errorf("it is %s", now.Status())
		}
		return nil
	})
}

func answersOK(address string) func(context.Context) error {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(resp.Body)
		if closeErr := resp.Body.Close(); err == nil {
			err = closeErr
		}
		if err == nil && string(b) != "ok" {
			err = fmt.Errorf("answer %q", b)
		}
		return err
	}
}

// testPolicy: writer may reach web, site may not; DNS and the kubelet's probes go on.
func testPolicy(h *harness) {
	h.says("ok", "site", "fetch", "url", "http://web/") // before
	port := intstr.FromInt32(8080)
	_, err := h.client.NetworkingV1().NetworkPolicies(space).Create(context.Background(), &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From:  []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "writer"}}}},
				Ports: []networkingv1.NetworkPolicyPort{{Port: &port}},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		h.Fatal(err)
	}
	h.eventually("the policy keeps site from web", func(context.Context) error {
		got, err := h.ask("site", "fetch", "url", "http://web/")
		if err != nil {
			return err
		}
		if !strings.HasPrefix(got, "error: ") {
			return fmt.Errorf("site reaches web: %q", got)
		}
		return nil
	})
	h.says("ok", "writer", "fetch", "url", "http://web/")
	h.ready("web")
}

// testKilledParts kills each part and sees the cluster work again.
func testKilledParts(h *harness) {
	for name := range readParts(h.cfg) {
		before := readParts(h.cfg)[name]
		pid := h.hostPID(before.PID)
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			h.Fatalf("kill %s: %v", name, err)
		}
		h.eventually(name+" comes back", func(ctx context.Context) error {
			now := readParts(h.cfg)[name]
			if now.PID == 0 || now.Restarts <= before.Restarts {
				return fmt.Errorf("it is %+v", now)
			}
			if now.LastEnd == "" {
				return errors.New("nobody says how it ended")
			}
			_, err := h.client.CoreV1().Namespaces().Get(ctx, space, metav1.GetOptions{})
			return err
		})
	}
	pod := "after"
	h.probe(pod, 101) // scheduled, started, networked and probed after all that
	h.says("ok", "writer", "fetch", "url", "http://web/")
	h.says("kept", "writer", "read", "path", "/data/file")
}

// hostPID finds the process that pid 1 of the cluster knows by another number.
func (h *harness) hostPID(inside int) int {
	h.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		h.Fatal(err)
	}
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", readDaemon(h.cfg).Init))
	if err != nil {
		h.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if own, err := os.Readlink("/proc/" + e.Name() + "/ns/pid"); err != nil || own != ns {
			continue
		}
		status, err := os.ReadFile("/proc/" + e.Name() + "/status")
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "NSpid:" && f[len(f)-1] == strconv.Itoa(inside) {
				return pid
			}
		}
	}
	h.Fatalf("no process %d in the cluster", inside)
	return 0
}

func testStartTwice(h *harness) {
	pid, err := daemonPID(h.cfg)
	if err != nil {
		h.Fatal(err)
	}
	h.start()
	if again, err := daemonPID(h.cfg); err != nil || again != pid {
		h.Errorf("the daemon was process %d and is %d (%v)", pid, again, err)
	}
	var both sync.WaitGroup
	errs := make(chan error, 2)
	for range 2 {
		both.Add(1)
		go func() { defer both.Done(); errs <- Start(context.Background(), h.cfg) }()
	}
	both.Wait()
	close(errs)
	for err := range errs {
		if err != nil && !strings.HasSuffix(err.Error(), "is being started or stopped by another command; wait until that one has ended") {
			h.Errorf("two at once: %v", err)
		}
	}
}

// testKilled kills a process that holds the cluster up.
func testKilled(h *harness, pid int, mounts, links string) {
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		h.Fatal(err)
	}
	h.eventually("everything ends", func(context.Context) error {
		if left := h.processes(); len(left) > 0 {
			return fmt.Errorf("still there: %v", left)
		}
		running, err := daemonRuns(h.cfg)
		if err == nil && running {
			err = errors.New("the daemon still runs")
		}
		return err
	})
	if now := hostMounts(h.T); now != mounts {
		h.Errorf("mounts of the host were\n%s\nand are\n%s", mounts, now)
	}
	if now := hostLinks(h.T); now != links {
		h.Errorf("interfaces of the host were\n%s\nand are\n%s", links, now)
	}
	h.start()
	h.says("kept", "writer", "read", "path", "/data/file")
}

func testInterrupted(h *harness) {
	if err := Stop(context.Background(), h.cfg); err != nil {
		h.Fatal(err)
	}
	cfg := h.cfg
	ctx, cancel := context.WithCancel(context.Background())
	cfg.Progress = func(line string) {
		if line == "waiting for the node" {
			cancel()
		}
	}
	if err := Start(ctx, cfg); err == nil {
		h.Fatal("an interrupted start says nothing")
	}
	cancel()
	h.start()
	h.says("kept", "writer", "read", "path", "/data/file")
}

// nothingLeft fails for whatever of the cluster is still on the host.
func (h *harness) nothingLeft(mounts, links string) {
	h.Helper()
	if left := h.processes(); len(left) > 0 {
		h.Errorf("processes are left: %v", left)
	}
	if left := leftovers(h.cfg.Name); len(left) > 0 {
		h.Errorf("control groups are left: %v", left)
	}
	if now := hostMounts(h.T); now != mounts {
		h.Errorf("mounts of the host were\n%s\nand are\n%s", mounts, now)
	}
	if now := hostLinks(h.T); now != links {
		h.Errorf("interfaces of the host were\n%s\nand are\n%s", links, now)
	}
	if err := checkPorts(h.cfg); err != nil {
		h.Error(err)
	}
}

// processes are all that speak of the cluster's state or run in its control group.
func (h *harness) processes() []string {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil || e.Name() == strconv.Itoa(os.Getpid()) {
			continue
		}
		line, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err != nil {
			continue
		}
		groups, err := os.ReadFile("/proc/" + e.Name() + "/cgroup")
		if err != nil {
			continue
		}
		if bytes.Contains(line, []byte(h.cfg.State)) || bytes.Contains(groups, []byte(h.cfg.Name+"/")) {
			out = append(out, e.Name()+" "+string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return out
}

func hostMounts(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func hostLinks(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range all {
		out = append(out, i.Name)
	}
	return strings.Join(out, " ")
}
