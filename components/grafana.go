package components

import (
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const (
	grafanaPort = 3000
	grafanaUID  = 472 // of the official image
)

// GrafanaArgs are the arguments of a Grafana.
type GrafanaArgs struct {
	Site
	Image string
	// Host is the site's name or IP, for the links in Grafana's mails.
	Host pulumi.StringInput
	// Databases of InfluxDB: each is a data source influxdb-<database>.
	Databases []string
	// InfluxDBVolume is the volume that the alert on a full disk is about.
	InfluxDBVolume Volume
	// Prometheus says whether the site has a data source prometheus.
	Prometheus bool
	// Dashboards by their uid, as JSON.
	Dashboards map[string]string
	// Home is the uid of the dashboard at the front page. It is Grafana's own page
	// where no dashboard has it.
	Home string
	// GoogleAnalyticsID counts the visits. Default: none are counted.
	GoogleAnalyticsID string
	// Plugins to install at start, each an id or id@version. Default: none.
	Plugins []string
	// SMTP is the server that mail goes through. Default: no mail.
	SMTP *SMTP
	// Volume holds the data.
	Volume Volume
	// Resources of the server. Default: 50m and 128Mi at least, 1 and 512Mi at most.
	Resources Resources
	// Admin is the password of the account admin.
	Admin pulumi.StringInput
	// SecretKey is what Grafana encrypts with what it keeps.
	SecretKey pulumi.StringInput
	// Reader is the password of InfluxDB's account reader.
	Reader pulumi.StringInput
}

// SMTP is a mail server.
type SMTP struct {
	Host        string // host:port
	User        string // empty: no login
	FromAddress string
	Password    pulumi.StringInput // nil: none
}

// Grafana is the page that people look at. It is provisioned whole: data sources,
// dashboards, home page, anonymous viewing, no sign-up. Its volume holds only what
// people do in it: users, stars, preferences, dashboards of their own.
type Grafana struct {
	pulumi.ResourceState

	// Host is the name of the Service, which answers on port 3000.
	Host pulumi.StringOutput
}

// NewGrafana declares a Grafana.
func NewGrafana(ctx *pulumi.Context, name string, args GrafanaArgs, opts ...pulumi.ResourceOption) (*Grafana, error) {
	c := &Grafana{}
	if err := register(ctx, "Grafana", name, c, opts); err != nil {
		return nil, err
	}
	args.Resources = args.Resources.or(Resources{
		CPURequest: "50m", MemoryRequest: "128Mi", CPULimit: "1", MemoryLimit: "512Mi",
	})
	p := part{Site: args.Site, name: "grafana", labels: labels{args.Project, appGrafana, args.Image}}
	child := pulumi.Parent(c)

	sources, err := datasourcesFile(Datasources(args.Prometheus, args.Databases))
	if err != nil {
		return nil, err
	}
	claim, err := p.newClaim(ctx, args.Volume, child)
	if err != nil {
		return nil, err
	}
	config, err := p.newConfigMap(ctx, "config", pulumi.StringMap{
		"grafana.ini":      args.ini(),
		"datasources.yaml": pulumi.String(sources),
		"dashboards.yaml":  pulumi.String(dashboardProvider),
		"alerts.yaml":      pulumi.String(alertFile(args.InfluxDBVolume)),
	}, child)
	if err != nil {
		return nil, err
	}
	dashboards, err := p.newConfigMap(ctx, "dashboards", dashboardFiles(args.Dashboards), child)
	if err != nil {
		return nil, err
	}
	secrets, err := p.newSecret(ctx, "secrets", args.secretFiles(), child)
	if err != nil {
		return nil, err
	}
	if _, err := p.newPolicy(ctx, args.traffic(), child); err != nil {
		return nil, err
	}
	service, err := p.newService(ctx, grafanaPort, grafanaPort, child)
	if err != nil {
		return nil, err
	}
	if _, err := p.newStatefulSet(ctx, pod{
		uid:            grafanaUID,
		grace:          30,
		initContainers: corev1.ContainerArray{grafanaInitContainer(args)},
		container:      grafanaContainer(args),
		volumes: corev1.VolumeArray{
			claimVolume("data", claim), configMapVolume("config", config),
			configMapVolume("dashboards", dashboards), secretVolume("secrets", secrets),
		},
	}, child); err != nil {
		return nil, err
	}
	c.Host = service.Metadata.Name().Elem()
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"host": c.Host})
}

// secretFiles returns the files that grafana.ini and datasources.yaml read.
func (args GrafanaArgs) secretFiles() pulumi.StringMap {
	files := pulumi.StringMap{
		"admin-password":    args.Admin,
		"secret-key":        args.SecretKey,
		"influxdb-password": args.Reader,
	}
	if args.SMTP != nil && args.SMTP.Password != nil {
		files["smtp-password"] = args.SMTP.Password
	}
	return files
}

func (args GrafanaArgs) ini() pulumi.StringOutput {
	return args.Host.ToStringOutput().ApplyT(func(host string) string {
		return grafanaIni(grafanaSettings{
			host: host, home: args.homeFile(), analytics: args.GoogleAnalyticsID,
			plugins: args.Plugins, smtp: args.SMTP,
		})
	}).(pulumi.StringOutput)
}

// homeFile returns the path of the home dashboard in the pod, empty if there is none.
func (args GrafanaArgs) homeFile() string {
	if _, ok := args.Dashboards[args.Home]; !ok {
		return ""
	}
	return dashboardFolder + "/" + args.Home + ".json"
}

func (args GrafanaArgs) traffic() traffic {
	t := traffic{
		port: grafanaPort, from: []string{appNginx, appPrometheus},
		to: map[string]int{appInfluxDB: influxDBPort},
		// Plugins come from Grafana's catalogue, and mail goes to its server.
		anywhere: len(args.Plugins) > 0 || args.SMTP != nil,
	}
	if args.Prometheus {
		t.to[appPrometheus] = prometheusPort
	}
	return t
}

func dashboardFiles(dashboards map[string]string) pulumi.StringMap {
	files := pulumi.StringMap{}
	for uid, json := range dashboards {
		files[uid+".json"] = pulumi.String(json)
	}
	return files
}

// grafanaMounts are those of the server and of the init container, which is the same
// program on the same data.
func grafanaMounts() corev1.VolumeMountArray {
	return corev1.VolumeMountArray{
		mount("data", "/var/lib/grafana"),
		configFile("grafana.ini", "/etc/grafana/grafana.ini"),
		configFile("datasources.yaml", "/etc/grafana/provisioning/datasources/velodrome.yaml"),
		configFile("dashboards.yaml", "/etc/grafana/provisioning/dashboards/velodrome.yaml"),
		configFile("alerts.yaml", "/etc/grafana/provisioning/alerting/velodrome.yaml"),
		readOnlyMount("dashboards", dashboardFolder),
		readOnlyMount("secrets", secretFolder),
	}
}

// configFile mounts one file of the ConfigMap; the folder that it goes into may hold
// files of the image.
func configFile(name, path string) *corev1.VolumeMountArgs {
	m := readOnlyMount("config", path)
	m.SubPath = pulumi.String(name)
	return m
}

// grafanaInitContainer sets the administrator's password, which Grafana itself takes
// from its configuration only when it makes its database.
func grafanaInitContainer(args GrafanaArgs) *corev1.ContainerArgs {
	return &corev1.ContainerArgs{
		Name:  pulumi.String("admin-password"),
		Image: pulumi.String(args.Image),
		Command: pulumi.ToStringArray([]string{"sh", "-c", `[ -e /var/lib/grafana/grafana.db ] || exit 0
exec grafana cli --homepath /usr/share/grafana --config /etc/grafana/grafana.ini \
  admin reset-admin-password --password-from-stdin <` + secretFolder + "/admin-password"}),
		Resources:    args.Resources.args(),
		VolumeMounts: grafanaMounts(),
	}
}

func grafanaContainer(args GrafanaArgs) *corev1.ContainerArgs {
	c := &corev1.ContainerArgs{
		Name:  pulumi.String("grafana"),
		Image: pulumi.String(args.Image),
		// Not by the image's own script: grafana.ini says all.
		Command: pulumi.ToStringArray([]string{
			"grafana", "server", "--homepath=/usr/share/grafana", "--config=/etc/grafana/grafana.ini",
		}),
		Ports:        corev1.ContainerPortArray{port("http", grafanaPort)},
		Resources:    args.Resources.args(),
		VolumeMounts: grafanaMounts(),
	}
	// An upgrade changes its database before it answers.
	guard(c, grafanaPort, "/api/health", "/api/health", 600)
	return c
}
