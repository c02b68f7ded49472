package components

import (
	"fmt"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const (
	prometheusPort = 9090
	prometheusUID  = 65534 // nobody, as in the official image
)

// PrometheusArgs are the arguments of a Prometheus.
type PrometheusArgs struct {
	Site
	Image string
	// Config is the project's own prometheus.yml; the jobs and the rules of the site
	// are added to it.
	Config string
	// RetentionTime is how long samples are kept, in Prometheus's notation.
	RetentionTime string
	// RetentionSize is how many bytes are kept, in Prometheus's notation.
	RetentionSize string
	// Volume holds the data.
	Volume Volume
	// Resources of the server. Default: 100m and 256Mi at least, 2 and 4Gi at most.
	Resources Resources
}

// Prometheus polls what a team runs, and the site's own parts. It answers below
// /prometheus/, so that its pages work unchanged behind nginx.
type Prometheus struct {
	pulumi.ResourceState

	// Host is the name of the Service, which answers on port 9090.
	Host pulumi.StringOutput
}

// NewPrometheus declares a Prometheus.
func NewPrometheus(ctx *pulumi.Context, name string, args PrometheusArgs, opts ...pulumi.ResourceOption) (*Prometheus, error) {
	c := &Prometheus{}
	if err := register(ctx, "Prometheus", name, c, opts); err != nil {
		return nil, err
	}
	args.Resources = args.Resources.or(Resources{
		CPURequest: "100m", MemoryRequest: "256Mi", CPULimit: "2", MemoryLimit: "4Gi",
	})
	p := part{Site: args.Site, name: "prometheus", labels: labels{args.Project, appPrometheus, args.Image}}
	child := pulumi.Parent(c)

	text, err := prometheusConfig(args.Config)
	if err != nil {
		return nil, fmt.Errorf("prometheus.yml of project %s: %w", args.Project, err)
	}
	claim, err := p.newClaim(ctx, args.Volume, child)
	if err != nil {
		return nil, err
	}
	config, err := p.newConfigMap(ctx, "config", pulumi.StringMap{
		"prometheus.yml": pulumi.String(text),
		"rules.yml":      pulumi.String(prometheusRules),
		"capacity.yml":   pulumi.String(capacityRule(args.Volume)),
	}, child)
	if err != nil {
		return nil, err
	}
	if _, err := p.newPolicy(ctx, traffic{
		port: prometheusPort, from: []string{appNginx, appGrafana},
		// What it polls is the project's own business.
		anywhere: true,
	}, child); err != nil {
		return nil, err
	}
	service, err := p.newService(ctx, prometheusPort, prometheusPort, child)
	if err != nil {
		return nil, err
	}
	if _, err := p.newStatefulSet(ctx, pod{
		uid:       prometheusUID,
		grace:     300, // it writes its head block
		container: prometheusContainer(args),
		volumes:   corev1.VolumeArray{claimVolume("data", claim), configMapVolume("config", config)},
	}, child); err != nil {
		return nil, err
	}
	c.Host = service.Metadata.Name().Elem()
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"host": c.Host})
}

func prometheusContainer(args PrometheusArgs) *corev1.ContainerArgs {
	flags := []string{
		"--config.file=/etc/prometheus/prometheus.yml",
		"--storage.tsdb.path=/prometheus",
		"--storage.tsdb.retention.time=" + args.RetentionTime,
		"--web.external-url=/prometheus/",
	}
	if args.RetentionSize != "" {
		flags = append(flags, "--storage.tsdb.retention.size="+args.RetentionSize)
	}
	c := &corev1.ContainerArgs{
		Name:      pulumi.String("prometheus"),
		Image:     pulumi.String(args.Image),
		Command:   pulumi.ToStringArray([]string{"/bin/prometheus"}),
		Args:      pulumi.ToStringArray(flags),
		Ports:     corev1.ContainerPortArray{port("http", prometheusPort)},
		Resources: args.Resources.args(),
		VolumeMounts: corev1.VolumeMountArray{
			mount("data", "/prometheus"),
			readOnlyMount("config", "/etc/prometheus"),
		},
	}
	// It reads its write-ahead log first.
	guard(c, prometheusPort, "/prometheus/-/ready", "/prometheus/-/healthy", 1800)
	return c
}
