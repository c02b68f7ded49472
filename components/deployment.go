package components

import (
	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

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
