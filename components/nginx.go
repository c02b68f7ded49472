package components

import (
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	policyv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/policy/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const (
	nginxPort       = 8080 // the site
	nginxPushPort   = 8181 // InfluxDB, for pushers that know no path
	nginxHealthPort = 8082 // for the kubelet only
	nginxUID        = 101  // of the unprivileged image
	nginxReplicas   = 2
)

// NginxArgs are the arguments of an Nginx.
type NginxArgs struct {
	Site
	Image string
	// AddressName and IP are the static IP: its name in GCP, and itself.
	AddressName, IP pulumi.StringInput
	// InfluxDB, Grafana and Prometheus are the hosts behind. nginx looks them up when
	// it starts, so as outputs of the Services they make it wait for these.
	InfluxDB, Grafana pulumi.StringInput
	// Prometheus is nil where the project has none.
	Prometheus pulumi.StringInput
}

// Nginx is the front door of a site: / is Grafana, /influxdb/ InfluxDB, /prometheus/
// Prometheus; and port 8181 InfluxDB again, for older pushers. It holds nothing, so
// there are two of it, replaced one by one.
type Nginx struct {
	pulumi.ResourceState
}

// NewNginx declares an Nginx.
func NewNginx(ctx *pulumi.Context, name string, args NginxArgs, opts ...pulumi.ResourceOption) (*Nginx, error) {
	c := &Nginx{}
	if err := register(ctx, "Nginx", name, c, opts); err != nil {
		return nil, err
	}
	p := part{Site: args.Site, name: "nginx", labels: labels{args.Project, appNginx, args.Image}}
	child := pulumi.Parent(c)

	config, err := p.newConfigMap(ctx, "config", pulumi.StringMap{"nginx.conf": args.conf()}, child)
	if err != nil {
		return nil, err
	}
	if _, err := p.newPolicy(ctx, args.traffic(), child); err != nil {
		return nil, err
	}
	if _, err := policyv1.NewPodDisruptionBudget(ctx, p.resource(), &policyv1.PodDisruptionBudgetArgs{
		Metadata: p.meta(),
		Spec: &policyv1.PodDisruptionBudgetSpecArgs{
			MaxUnavailable: pulumi.Int(1),
			Selector:       &metav1.LabelSelectorArgs{MatchLabels: p.labels.selector()},
		},
	}, child); err != nil {
		return nil, err
	}
	if _, err := p.newDeployment(ctx, pod{
		uid:       nginxUID,
		replicas:  nginxReplicas,
		grace:     60,
		container: nginxContainer(args.Image),
		volumes:   corev1.VolumeArray{configMapVolume("config", config)},
		spread:    true,
	}, child); err != nil {
		return nil, err
	}
	// Beside the pods, not after them: until they are ready it has no endpoints, and
	// Pulumi waits for these, and for them to settle, anyway.
	if _, err := p.newLoadBalancer(ctx, args, child); err != nil {
		return nil, err
	}
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{})
}

func (args NginxArgs) conf() pulumi.StringOutput {
	hosts := pulumi.StringMap{"influxdb": args.InfluxDB, "grafana": args.Grafana}
	if args.Prometheus != nil {
		hosts["prometheus"] = args.Prometheus
	}
	return hosts.ToStringMapOutput().ApplyT(nginxConf).(pulumi.StringOutput)
}

func (args NginxArgs) traffic() traffic {
	t := traffic{
		public: []int{nginxPort, nginxPushPort},
		to:     map[string]int{appInfluxDB: influxDBPort, appGrafana: grafanaPort},
	}
	if args.Prometheus != nil {
		t.to[appPrometheus] = prometheusPort
	}
	return t
}

func nginxContainer(image string) *corev1.ContainerArgs {
	c := &corev1.ContainerArgs{
		Name:    pulumi.String("nginx"),
		Image:   pulumi.String(image),
		Command: pulumi.ToStringArray([]string{"nginx", "-c", "/etc/nginx/velodrome/nginx.conf", "-g", "daemon off;"}),
		Ports:   corev1.ContainerPortArray{port("http", nginxPort), port("push", nginxPushPort)},
		Resources: Resources{
			CPURequest: "50m", MemoryRequest: "32Mi", CPULimit: "1", MemoryLimit: "256Mi",
		}.args(),
		// It goes on answering until the load balancer has heard that it leaves. Then the
		// image's stop signal, SIGQUIT, lets it end the requests under way.
		Lifecycle: &corev1.LifecycleArgs{PreStop: &corev1.LifecycleHandlerArgs{
			Sleep: &corev1.SleepActionArgs{Seconds: pulumi.Int(10)},
		}},
		VolumeMounts: corev1.VolumeMountArray{readOnlyMount("config", "/etc/nginx/velodrome")},
	}
	guard(c, nginxHealthPort, "/healthz", "/healthz", 60)
	return c
}

// newLoadBalancer declares the Service that the world reaches.
func (p part) newLoadBalancer(ctx *pulumi.Context, args NginxArgs, opts ...pulumi.ResourceOption) (*corev1.Service, error) {
	meta := p.meta()
	// GKE reads the annotation (with the address's name) where it gives the Service a
	// load balancer of the newer kind, and the field elsewhere.
	meta.Annotations = pulumi.StringMap{
		"networking.gke.io/load-balancer-ip-addresses": args.AddressName,
	}
	return corev1.NewService(ctx, p.resource(), &corev1.ServiceArgs{
		Metadata: meta,
		Spec: &corev1.ServiceSpecArgs{
			Type:           pulumi.String("LoadBalancer"),
			LoadBalancerIP: args.IP.ToStringOutput(),
			// Packets go to a node that has an nginx and keep the client's address.
			ExternalTrafficPolicy: pulumi.String("Local"),
			Selector:              p.labels.selector(),
			Ports: corev1.ServicePortArray{
				servicePort("http", 80, nginxPort), servicePort("push", nginxPushPort, nginxPushPort),
			},
		},
	}, opts...)
}

func servicePort(name string, port, target int) *corev1.ServicePortArgs {
	return &corev1.ServicePortArgs{
		Name: pulumi.String(name), Port: pulumi.Int(port), TargetPort: pulumi.Int(target),
	}
}
