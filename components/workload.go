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
	replicas       int // of a Deployment; a StatefulSet has one
	grace          int // seconds to stop in
	initContainers corev1.ContainerArray
	container      *corev1.ContainerArgs
	volumes        corev1.VolumeArray
	// spread puts the replicas on different nodes where there are several.
	spread bool
}

// newDeployment declares a part that holds nothing: its pods are replaced one by one, and
// the new one is ready before the old one goes.
func (p part) newDeployment(ctx *pulumi.Context, d pod, opts ...pulumi.ResourceOption) (*appsv1.Deployment, error) {
	return appsv1.NewDeployment(ctx, p.resource(), &appsv1.DeploymentArgs{
		Metadata: p.meta(),
		Spec: &appsv1.DeploymentSpecArgs{
			Replicas:             pulumi.Int(d.replicas),
			RevisionHistoryLimit: pulumi.Int(3),
			Strategy: &appsv1.DeploymentStrategyArgs{
				Type: pulumi.String("RollingUpdate"),
				RollingUpdate: &appsv1.RollingUpdateDeploymentArgs{
					MaxUnavailable: pulumi.Int(0), MaxSurge: pulumi.Int(1),
				},
			},
			Selector: p.selects(),
			Template: p.template(d),
		},
	}, opts...)
}

// newStatefulSet declares a part with a volume that only one pod may write to: the old pod
// is gone before the new one starts, also when somebody deletes the pod or its node dies.
//
// It is not a Deployment with the strategy Recreate. That one promises this for updates
// only; and while it stops the old pod, its status still tells of that pod, by which
// Pulumi's provider takes the update for done before the new pod exists.
func (p part) newStatefulSet(ctx *pulumi.Context, d pod, opts ...pulumi.ResourceOption) (*appsv1.StatefulSet, error) {
	return appsv1.NewStatefulSet(ctx, p.resource(), &appsv1.StatefulSetArgs{
		Metadata: p.meta(),
		Spec: &appsv1.StatefulSetSpecArgs{
			Replicas:             pulumi.Int(1),
			RevisionHistoryLimit: pulumi.Int(3),
			// A pod that never got ready is replaced by a newer one, too: with
			// OrderedReady, the controller would wait for it for ever.
			PodManagementPolicy: pulumi.String("Parallel"),
			Selector:            p.selects(),
			Template:            p.template(d),
		},
	}, opts...)
}

func (p part) selects() *metav1.LabelSelectorArgs {
	return &metav1.LabelSelectorArgs{MatchLabels: p.labels.selector()}
}

// template returns the part's pods, by the rules of Pod Security "restricted": no root, a
// root file system that cannot be written to (but /tmp), no privilege, no token of a
// service account.
func (p part) template(d pod) *corev1.PodTemplateSpecArgs {
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
			LabelSelector:     p.selects(),
		}}
	}
	return &corev1.PodTemplateSpecArgs{
		Metadata: &metav1.ObjectMetaArgs{Labels: p.labels.object()},
		Spec:     spec,
	}
}

// restrict takes from a container what no part of a site needs, and gives it a /tmp. The
// last lines of its log are what is reported of a container that fails.
func restrict(c *corev1.ContainerArgs) {
	c.TerminationMessagePolicy = pulumi.String("FallbackToLogsOnError")
	c.SecurityContext = &corev1.SecurityContextArgs{
		AllowPrivilegeEscalation: pulumi.Bool(false),
		ReadOnlyRootFilesystem:   pulumi.Bool(true),
		Capabilities:             &corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
	}
	mounts, _ := c.VolumeMounts.(corev1.VolumeMountArray)
	c.VolumeMounts = append(corev1.VolumeMountArray{mount("tmp", "/tmp")}, mounts...)
}
