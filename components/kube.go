package components

import (
	"fmt"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Site is what the parts of one project share.
type Site struct {
	// Project is the project's name.
	Project string
	// Namespace is the name of the project's namespace; as an output, it makes what
	// is put there wait for it.
	Namespace pulumi.StringInput
	// StorageClass of the claims; empty means the cluster's default class.
	StorageClass string
	// Protect keeps Pulumi from deleting what holds data.
	Protect bool
}

// part names the objects of one part of a site.
type part struct {
	Site
	name   string // of the objects
	labels labels
}

// resource returns the logical name of one of the part's resources. It begins with
// the project, since it must be unique in the stack.
func (p part) resource(suffix ...string) string {
	name := p.Project + "-" + p.name
	for _, s := range suffix {
		name += "-" + s
	}
	return name
}

// meta returns the metadata of an object that is named after its part.
func (p part) meta() *metav1.ObjectMetaArgs {
	return &metav1.ObjectMetaArgs{
		Name:      pulumi.String(p.name),
		Namespace: p.Namespace,
		Labels:    p.labels.object(),
	}
}

// autoNamedMeta returns the metadata of an object whose name Pulumi makes up, a new
// one for each new content.
func (p part) autoNamedMeta() *metav1.ObjectMetaArgs {
	return &metav1.ObjectMetaArgs{Namespace: p.Namespace, Labels: p.labels.object()}
}

// newConfigMap declares immutable files. Immutable and auto-named, a new content is
// a new object: the Deployment that mounts it rolls by itself, and the old one goes
// last.
func (p part) newConfigMap(ctx *pulumi.Context, name string, files pulumi.StringMap, opts ...pulumi.ResourceOption) (*corev1.ConfigMap, error) {
	return corev1.NewConfigMap(ctx, p.resource(name), &corev1.ConfigMapArgs{
		Metadata:  p.autoNamedMeta(),
		Immutable: pulumi.Bool(true),
		Data:      files,
	}, opts...)
}

// newSecret declares immutable secret files; see newConfigMap.
func (p part) newSecret(ctx *pulumi.Context, name string, files pulumi.StringMap, opts ...pulumi.ResourceOption) (*corev1.Secret, error) {
	return corev1.NewSecret(ctx, p.resource(name), &corev1.SecretArgs{
		Metadata:   p.autoNamedMeta(),
		Immutable:  pulumi.Bool(true),
		StringData: files,
	}, with(opts, pulumi.AdditionalSecretOutputs([]string{"data", "stringData"}))...)
}

// Volume is the size of a part's volume: as a Kubernetes quantity, and in bytes for the
// alert that says when it will be full.
type Volume struct {
	Size  string
	Bytes int64
}

// newClaim declares the part's volume, for one writer. Its name is fixed, so that
// growing it happens in place.
func (p part) newClaim(ctx *pulumi.Context, volume Volume, opts ...pulumi.ResourceOption) (*corev1.PersistentVolumeClaim, error) {
	spec := &corev1.PersistentVolumeClaimSpecArgs{
		AccessModes: pulumi.ToStringArray([]string{"ReadWriteOnce"}),
		Resources: &corev1.VolumeResourceRequirementsArgs{
			Requests: pulumi.StringMap{"storage": pulumi.String(volume.Size)},
		},
	}
	if p.StorageClass != "" {
		spec.StorageClassName = pulumi.String(p.StorageClass)
	}
	return corev1.NewPersistentVolumeClaim(ctx, p.resource(), &corev1.PersistentVolumeClaimArgs{
		Metadata: p.meta(),
		Spec:     spec,
	}, with(opts, pulumi.Protect(p.Protect))...)
}

// newService declares the part's address within the cluster.
func (p part) newService(ctx *pulumi.Context, port, targetPort int, opts ...pulumi.ResourceOption) (*corev1.Service, error) {
	meta := p.meta()
	// Without this, Pulumi waits ten seconds for the endpoints to settle. That the
	// pods are ready is known from the Deployment.
	meta.Annotations = pulumi.StringMap{"pulumi.com/skipAwait": pulumi.String("true")}
	return corev1.NewService(ctx, p.resource(), &corev1.ServiceArgs{
		Metadata: meta,
		Spec: &corev1.ServiceSpecArgs{
			Selector: p.labels.selector(),
			Ports: corev1.ServicePortArray{&corev1.ServicePortArgs{
				Name: pulumi.String("http"), Port: pulumi.Int(port), TargetPort: pulumi.Int(targetPort),
			}},
		},
	}, opts...)
}

// pod is what the pods of the parts differ in.
type pod struct {
	uid            int
	replicas       int // more than one: replaced one by one
	grace          int // seconds to stop in
	initContainers corev1.ContainerArray
	container      *corev1.ContainerArgs
	volumes        corev1.VolumeArray
	// spread puts the replicas on different nodes where there are several.
	spread bool
}

// newDeployment declares the part's pods, by the rules of Pod Security "restricted":
// no root, a root file system that cannot be written to (but /tmp), no privilege, no
// token of a service account.
func (p part) newDeployment(ctx *pulumi.Context, d pod, opts ...pulumi.ResourceOption) (*appsv1.Deployment, error) {
	containers := append(corev1.ContainerArray{d.container}, d.initContainers...)
	for _, c := range containers {
		restrict(c.(*corev1.ContainerArgs))
	}
	spec := &corev1.PodSpecArgs{
		AutomountServiceAccountToken:  pulumi.Bool(false),
		EnableServiceLinks:            pulumi.Bool(false),
		TerminationGracePeriodSeconds: pulumi.Int(d.grace),
		SecurityContext: &corev1.PodSecurityContextArgs{
			RunAsNonRoot:        pulumi.Bool(true),
			RunAsUser:           pulumi.Int(d.uid),
			RunAsGroup:          pulumi.Int(d.uid),
			FsGroup:             pulumi.Int(d.uid),
			FsGroupChangePolicy: pulumi.String("OnRootMismatch"),
			SeccompProfile:      &corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
		},
		InitContainers: d.initContainers,
		Containers:     corev1.ContainerArray{d.container},
		Volumes: append(corev1.VolumeArray{&corev1.VolumeArgs{
			Name: pulumi.String("tmp"), EmptyDir: &corev1.EmptyDirVolumeSourceArgs{},
		}}, d.volumes...),
	}
	if d.spread {
		spec.TopologySpreadConstraints = corev1.TopologySpreadConstraintArray{&corev1.TopologySpreadConstraintArgs{
			MaxSkew:           pulumi.Int(1),
			TopologyKey:       pulumi.String("kubernetes.io/hostname"),
			WhenUnsatisfiable: pulumi.String("ScheduleAnyway"),
			LabelSelector:     &metav1.LabelSelectorArgs{MatchLabels: p.labels.selector()},
		}}
	}
	return appsv1.NewDeployment(ctx, p.resource(), &appsv1.DeploymentArgs{
		Metadata: p.meta(),
		Spec: &appsv1.DeploymentSpecArgs{
			Replicas:             pulumi.Int(d.replicas),
			RevisionHistoryLimit: pulumi.Int(3),
			Strategy:             strategy(d.replicas),
			Selector:             &metav1.LabelSelectorArgs{MatchLabels: p.labels.selector()},
			Template: &corev1.PodTemplateSpecArgs{
				Metadata: &metav1.ObjectMetaArgs{Labels: p.labels.object()},
				Spec:     spec,
			},
		},
	}, opts...)
}

// strategy returns how the pods are replaced. One replica holds a volume that only
// one may write to, so the old pod must be gone first: with a rolling update the new
// one would wait for the disk for ever.
func strategy(replicas int) *appsv1.DeploymentStrategyArgs {
	if replicas == 1 {
		return &appsv1.DeploymentStrategyArgs{Type: pulumi.String("Recreate")}
	}
	return &appsv1.DeploymentStrategyArgs{
		Type: pulumi.String("RollingUpdate"),
		RollingUpdate: &appsv1.RollingUpdateDeploymentArgs{
			MaxUnavailable: pulumi.Int(0), MaxSurge: pulumi.Int(1),
		},
	}
}

// restrict takes from a container what no part of a site needs, and gives it a /tmp.
func restrict(c *corev1.ContainerArgs) {
	c.SecurityContext = &corev1.SecurityContextArgs{
		AllowPrivilegeEscalation: pulumi.Bool(false),
		ReadOnlyRootFilesystem:   pulumi.Bool(true),
		Capabilities:             &corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
	}
	mounts, _ := c.VolumeMounts.(corev1.VolumeMountArray)
	c.VolumeMounts = append(corev1.VolumeMountArray{mount("tmp", "/tmp")}, mounts...)
}

// Resources are the compute resources of a part's container, as Kubernetes
// quantities. An empty field is not set.
type Resources struct {
	CPURequest, MemoryRequest, CPULimit, MemoryLimit string
}

// or returns r with what it leaves out taken from d.
func (r Resources) or(d Resources) Resources {
	for _, f := range []struct{ v, d *string }{
		{&r.CPURequest, &d.CPURequest}, {&r.MemoryRequest, &d.MemoryRequest},
		{&r.CPULimit, &d.CPULimit}, {&r.MemoryLimit, &d.MemoryLimit},
	} {
		if *f.v == "" {
			*f.v = *f.d
		}
	}
	return r
}

func (r Resources) args() *corev1.ResourceRequirementsArgs {
	return &corev1.ResourceRequirementsArgs{
		Requests: quantities(r.CPURequest, r.MemoryRequest),
		Limits:   quantities(r.CPULimit, r.MemoryLimit),
	}
}

func quantities(cpu, memory string) pulumi.StringMap {
	m := pulumi.StringMap{}
	if cpu != "" {
		m["cpu"] = pulumi.String(cpu)
	}
	if memory != "" {
		m["memory"] = pulumi.String(memory)
	}
	return m
}

func mount(volume, path string) *corev1.VolumeMountArgs {
	return &corev1.VolumeMountArgs{Name: pulumi.String(volume), MountPath: pulumi.String(path)}
}

func readOnlyMount(volume, path string) *corev1.VolumeMountArgs {
	m := mount(volume, path)
	m.ReadOnly = pulumi.Bool(true)
	return m
}

func configMapVolume(name string, cm *corev1.ConfigMap) *corev1.VolumeArgs {
	return &corev1.VolumeArgs{
		Name:      pulumi.String(name),
		ConfigMap: &corev1.ConfigMapVolumeSourceArgs{Name: cm.Metadata.Name()},
	}
}

func secretVolume(name string, s *corev1.Secret) *corev1.VolumeArgs {
	return &corev1.VolumeArgs{
		Name: pulumi.String(name),
		Secret: &corev1.SecretVolumeSourceArgs{
			SecretName: s.Metadata.Name(),
			// Only the pod's own group (its fsGroup) reads it.
			DefaultMode: pulumi.Int(0o440),
		},
	}
}

func claimVolume(name string, c *corev1.PersistentVolumeClaim) *corev1.VolumeArgs {
	return &corev1.VolumeArgs{
		Name: pulumi.String(name),
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSourceArgs{
			ClaimName: c.Metadata.Name().Elem(),
		},
	}
}

func port(name string, number int) *corev1.ContainerPortArgs {
	return &corev1.ContainerPortArgs{Name: pulumi.String(name), ContainerPort: pulumi.Int(number)}
}

// probe asks over HTTP. A period of ten seconds and a time-out of five are lenient
// enough for a server that is busy with years of data.
func probe(path string, port, periodSeconds, failures int) *corev1.ProbeArgs {
	return &corev1.ProbeArgs{
		HttpGet: &corev1.HTTPGetActionArgs{
			Path: pulumi.String(path), Port: pulumi.Int(port),
		},
		PeriodSeconds:    pulumi.Int(periodSeconds),
		TimeoutSeconds:   pulumi.Int(5),
		FailureThreshold: pulumi.Int(failures),
	}
}

// guard sets a container's three probes. Until it first answers on ready it is
// starting, for up to startSeconds; from then on it gets traffic while ready answers,
// and is restarted when alive does not for a minute.
func guard(c *corev1.ContainerArgs, port int, ready, alive string, startSeconds int) {
	c.StartupProbe = probe(ready, port, 1, startSeconds)
	c.ReadinessProbe = probe(ready, port, 5, 2)
	c.LivenessProbe = probe(alive, port, 10, 6)
}

// register registers a component under its type token velodrome:index:<kind>.
func register(ctx *pulumi.Context, kind, name string, c pulumi.ComponentResource, opts []pulumi.ResourceOption) error {
	if err := ctx.RegisterComponentResource("velodrome:index:"+kind, name, c, opts...); err != nil {
		return fmt.Errorf("register %s %q: %w", kind, name, err)
	}
	return nil
}
