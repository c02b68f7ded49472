package components

import (
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

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
