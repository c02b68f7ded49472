package components

import (
	"maps"
	"slices"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// ProjectArgs are the arguments of a Project. Where an argument of a part is an
// argument of the project too, or an output of another part, the project sets it.
type ProjectArgs struct {
	Images Images
	// StorageClass of the claims. Default: the cluster's default class.
	StorageClass string
	// Protect keeps Pulumi from deleting the namespace, the claims and the address.
	Protect bool
	// Endpoint is the site's address and name.
	Endpoint EndpointArgs
	InfluxDB InfluxDBArgs
	// Prometheus is nil where the project has none; then there is no prober either.
	Prometheus  *PrometheusArgs
	Grafana     GrafanaArgs
	Credentials Credentials
}

// Credentials are the passwords of a project's accounts.
type Credentials struct {
	GrafanaAdmin, GrafanaSecretKey                pulumi.StringInput
	InfluxDBAdmin, InfluxDBWriter, InfluxDBReader pulumi.StringInput
}

// Project is the metrics site of one team, hermetic: a namespace of its own with
// Grafana, InfluxDB, nginx and, where it polls, Prometheus and a prober; a static IP;
// a name. None of its resources refers to another project's, so that it can be torn
// down by itself.
type Project struct {
	pulumi.ResourceState

	// Namespace is the name of its namespace.
	Namespace pulumi.StringOutput
	// IP is its static IP.
	IP pulumi.StringOutput
	// Host is its domain, else its IP.
	Host pulumi.StringOutput
	// URL is where people look, InfluxDBURL where points are pushed to, and
	// PrometheusURL Prometheus's own page; the last is empty where there is none.
	URL, InfluxDBURL, PrometheusURL pulumi.StringOutput
}

// NewProject declares a Project. Its name is the project's.
func NewProject(ctx *pulumi.Context, name string, args ProjectArgs, opts ...pulumi.ResourceOption) (*Project, error) {
	c := &Project{}
	if err := register(ctx, "Project", name, c, opts); err != nil {
		return nil, err
	}
	child := pulumi.Parent(c)

	namespace, err := newNamespace(ctx, name, args.Protect, child)
	if err != nil {
		return nil, err
	}
	site := Site{
		Project: name, Namespace: namespace.Metadata.Name().Elem(),
		StorageClass: args.StorageClass, Protect: args.Protect,
	}
	if _, err := newDefaultPolicy(ctx, site, child); err != nil {
		return nil, err
	}

	args.Endpoint.Project, args.Endpoint.Protect = name, args.Protect
	endpoint, err := NewEndpoint(ctx, name, args.Endpoint, child)
	if err != nil {
		return nil, err
	}
	influxdb, err := NewInfluxDB(ctx, name, args.influxDB(site), child)
	if err != nil {
		return nil, err
	}
	grafana, err := NewGrafana(ctx, name, args.grafana(site, endpoint), child)
	if err != nil {
		return nil, err
	}
	front := NginxArgs{
		Site: site, Image: args.Images.Nginx, AddressName: endpoint.AddressName, IP: endpoint.IP,
		InfluxDB: influxdb.Host, Grafana: grafana.Host,
	}
	if args.Prometheus != nil {
		prometheus, err := NewPrometheus(ctx, name, args.prometheus(site), child)
		if err != nil {
			return nil, err
		}
		if _, err := NewProber(ctx, name, ProberArgs{Site: site, Image: args.Images.Prober}, child); err != nil {
			return nil, err
		}
		front.Prometheus = prometheus.Host
	}
	if _, err := NewNginx(ctx, name, front, child); err != nil {
		return nil, err
	}

	c.Namespace, c.IP, c.Host = namespace.Metadata.Name().Elem(), endpoint.IP, endpoint.Host
	c.URL = pulumi.Sprintf("http://%s/", c.Host)
	c.InfluxDBURL = pulumi.Sprintf("http://%s/influxdb/", c.Host)
	c.PrometheusURL = pulumi.String("").ToStringOutput()
	if args.Prometheus != nil {
		c.PrometheusURL = pulumi.Sprintf("http://%s/prometheus/", c.Host)
	}
	return c, ctx.RegisterResourceOutputs(c, c.Outputs())
}

// Outputs are what a project says of itself.
func (c *Project) Outputs() pulumi.Map {
	return pulumi.Map{
		"url": c.URL, "host": c.Host, "ip": c.IP, "namespace": c.Namespace,
		"influxdbUrl": c.InfluxDBURL, "prometheusUrl": c.PrometheusURL,
	}
}

// newNamespace declares a project's namespace. Kubernetes itself refuses a pod there
// that is not restricted.
func newNamespace(ctx *pulumi.Context, project string, protect bool, opts ...pulumi.ResourceOption) (*corev1.Namespace, error) {
	l := labels{project: project}.object()
	for _, mode := range []string{"enforce", "warn", "audit"} {
		l["pod-security.kubernetes.io/"+mode] = pulumi.String("restricted")
	}
	return corev1.NewNamespace(ctx, project, &corev1.NamespaceArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(Namespace(project)), Labels: l},
	}, with(opts, pulumi.Protect(protect))...)
}

func (args ProjectArgs) influxDB(site Site) InfluxDBArgs {
	a := args.InfluxDB
	a.Site, a.Image = site, args.Images.InfluxDB
	a.Admin, a.Writer, a.Reader = args.Credentials.InfluxDBAdmin, args.Credentials.InfluxDBWriter, args.Credentials.InfluxDBReader
	return a
}

func (args ProjectArgs) prometheus(site Site) PrometheusArgs {
	a := *args.Prometheus
	a.Site, a.Image = site, args.Images.Prometheus
	return a
}

func (args ProjectArgs) grafana(site Site, endpoint *Endpoint) GrafanaArgs {
	a := args.Grafana
	a.Site, a.Image, a.Host = site, args.Images.Grafana, endpoint.Host
	a.Prometheus, a.InfluxDBVolume = args.Prometheus != nil, args.InfluxDB.Volume
	a.Databases = slices.Sorted(maps.Keys(args.InfluxDB.Databases))
	a.Admin, a.SecretKey, a.Reader = args.Credentials.GrafanaAdmin, args.Credentials.GrafanaSecretKey, args.Credentials.InfluxDBReader
	return a
}
