package components

import (
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// newConfigMap declares immutable files. Immutable and auto-named, a new content is
// a new object: what mounts it rolls by itself, and the old one goes
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
	// pods are ready is known from what runs them.
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
