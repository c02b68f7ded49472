package components

import (
	_ "embed"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const (
	proberPort = 9115
	proberUID  = 65534 // nobody, as in the official image
)

// proberConfig has the modules that scrape jobs name.
//
//go:embed prober.yml
var proberConfig string

// ProberArgs are the arguments of a Prober.
type ProberArgs struct {
	Site
	Image string
}

// Prober is Prometheus's blackbox exporter: it asks a URL on behalf of Prometheus and
// says whether, and how fast, it answered. It is reached as blackbox on port 80, which
// is the address that scrape jobs are relabelled to.
type Prober struct {
	pulumi.ResourceState
}

// NewProber declares a Prober.
func NewProber(ctx *pulumi.Context, name string, args ProberArgs, opts ...pulumi.ResourceOption) (*Prober, error) {
	c := &Prober{}
	if err := register(ctx, "Prober", name, c, opts); err != nil {
		return nil, err
	}
	p := part{Site: args.Site, name: "blackbox", labels: labels{args.Project, appProber, args.Image}}
	child := pulumi.Parent(c)

	config, err := p.newConfigMap(ctx, "config", pulumi.StringMap{
		"blackbox.yml": pulumi.String(proberConfig),
	}, child)
	if err != nil {
		return nil, err
	}
	if _, err := p.newPolicy(ctx, traffic{
		port: proberPort, from: []string{appPrometheus},
		anywhere: true, // what it asks is the project's own business
	}, child); err != nil {
		return nil, err
	}
	if _, err := p.newService(ctx, 80, proberPort, child); err != nil {
		return nil, err
	}
	container := &corev1.ContainerArgs{
		Name:    pulumi.String("blackbox"),
		Image:   pulumi.String(args.Image),
		Command: pulumi.ToStringArray([]string{"/bin/blackbox_exporter"}),
		Args:    pulumi.ToStringArray([]string{"--config.file=/etc/blackbox/blackbox.yml"}),
		Ports:   corev1.ContainerPortArray{port("http", proberPort)},
		Resources: Resources{
			CPURequest: "10m", MemoryRequest: "32Mi", CPULimit: "500m", MemoryLimit: "128Mi",
		}.args(),
		VolumeMounts: corev1.VolumeMountArray{readOnlyMount("config", "/etc/blackbox")},
	}
	guard(container, proberPort, "/-/healthy", "/-/healthy", 60)
	if _, err := p.newDeployment(ctx, pod{
		uid:       proberUID,
		replicas:  1,
		grace:     10,
		container: container,
		volumes:   corev1.VolumeArray{configMapVolume("config", config)},
	}, child); err != nil {
		return nil, err
	}
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{})
}
