package components

import (
	"time"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const (
	influxDBPort = 8086
	influxDBUID  = 1500 // of the official image since 1.12
)

// InfluxDBArgs are the arguments of an InfluxDB.
type InfluxDBArgs struct {
	Site
	Image string
	// Databases by name, with how long each keeps its points; zero is for ever.
	Databases map[string]time.Duration
	// Volume holds the data.
	Volume Volume
	// Resources of the server. Default: 100m and 256Mi at least, 2 and 4Gi at most;
	// the index is on disk, so memory follows the queries and not the data.
	Resources Resources
	// The passwords of the accounts admin, writer and reader.
	Admin, Writer, Reader pulumi.StringInput
}

// InfluxDB is the database that a team pushes its points to: InfluxDB 1.x, the line
// whose own language is InfluxQL.
//
// Its image's own initialisation works on an empty volume only, so an init container
// brings the volume to the declared databases, retention policies and accounts
// whenever these change: on loopback with authentication off, before the server
// starts with authentication on.
type InfluxDB struct {
	pulumi.ResourceState

	// Host is the name of the Service, which answers on port 8086.
	Host pulumi.StringOutput
}

// NewInfluxDB declares an InfluxDB.
func NewInfluxDB(ctx *pulumi.Context, name string, args InfluxDBArgs, opts ...pulumi.ResourceOption) (*InfluxDB, error) {
	c := &InfluxDB{}
	if err := register(ctx, "InfluxDB", name, c, opts); err != nil {
		return nil, err
	}
	args.Resources = args.Resources.or(Resources{
		CPURequest: "100m", MemoryRequest: "256Mi", CPULimit: "2", MemoryLimit: "4Gi",
	})
	p := part{Site: args.Site, name: "influxdb", labels: labels{args.Project, appInfluxDB, args.Image}}
	child := pulumi.Parent(c)

	claim, err := p.newClaim(ctx, args.Volume, child)
	if err != nil {
		return nil, err
	}
	config, err := p.newConfigMap(ctx, "config", pulumi.StringMap{
		"influxdb.conf": pulumi.String(influxDBConfig(serving)),
		"init.conf":     pulumi.String(influxDBConfig(initialising)),
		"init.sh":       pulumi.String(influxDBInitScript),
	}, child)
	if err != nil {
		return nil, err
	}
	init, err := p.newSecret(ctx, "init", args.statements(), child)
	if err != nil {
		return nil, err
	}
	if _, err := p.newPolicy(ctx, traffic{
		port: influxDBPort, from: []string{appNginx, appGrafana, appPrometheus},
	}, child); err != nil {
		return nil, err
	}
	service, err := p.newService(ctx, influxDBPort, influxDBPort, child)
	if err != nil {
		return nil, err
	}
	if _, err := p.newStatefulSet(ctx, pod{
		uid: influxDBUID,
		// It writes its cache to disk when it stops.
		grace:          120,
		initContainers: corev1.ContainerArray{influxDBInitContainer(args, init)},
		container:      influxDBContainer(args),
		volumes: corev1.VolumeArray{
			claimVolume("data", claim), configMapVolume("config", config), secretVolume("init", init),
		},
	}, child); err != nil {
		return nil, err
	}
	c.Host = service.Metadata.Name().Elem()
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"host": c.Host})
}

// statements returns the files of statements that the init container runs.
func (args InfluxDBArgs) statements() pulumi.StringMap {
	file := func(statements func(map[string]time.Duration, accounts) []string) pulumi.StringOutput {
		return pulumi.All(args.Admin, args.Writer, args.Reader).ApplyT(func(v []any) string {
			a := accounts{admin: v[0].(string), writer: v[1].(string), reader: v[2].(string)}
			return joinLines(statements(args.Databases, a))
		}).(pulumi.StringOutput)
	}
	return pulumi.StringMap{
		"ensure.iql": file(ensureStatements),
		"apply.iql":  file(applyStatements),
		"retention":  pulumi.String(joinLines(retentions(args.Databases))),
	}
}

func influxDBInitContainer(args InfluxDBArgs, init *corev1.Secret) *corev1.ContainerArgs {
	return &corev1.ContainerArgs{
		Name:    pulumi.String("init"),
		Image:   pulumi.String(args.Image),
		Command: pulumi.ToStringArray([]string{"sh", "/etc/influxdb/init.sh"}),
		Env: corev1.EnvVarArray{&corev1.EnvVarArgs{
			// New statements are a new Secret with a new name, so the name tells
			// whether the volume has had them.
			Name: pulumi.String("REVISION"), Value: init.Metadata.Name(),
		}},
		Resources: args.Resources.args(),
		VolumeMounts: corev1.VolumeMountArray{
			mount("data", "/var/lib/influxdb"),
			readOnlyMount("config", "/etc/influxdb"),
			readOnlyMount("init", "/etc/influxdb-init"),
		},
	}
}

func influxDBContainer(args InfluxDBArgs) *corev1.ContainerArgs {
	c := &corev1.ContainerArgs{
		Name:      pulumi.String("influxdb"),
		Image:     pulumi.String(args.Image),
		Command:   pulumi.ToStringArray([]string{"influxd", "-config", "/etc/influxdb/influxdb.conf"}),
		Ports:     corev1.ContainerPortArray{port("http", influxDBPort)},
		Resources: args.Resources.args(),
		VolumeMounts: corev1.VolumeMountArray{
			mount("data", "/var/lib/influxdb"),
			readOnlyMount("config", "/etc/influxdb"),
		},
	}
	// Opening years of shards takes minutes after a crash.
	guard(c, influxDBPort, "/ping", "/ping", 1800)
	return c
}
