package components

import (
	"fmt"

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

// register registers a component under its type token velodrome:index:<kind>.
func register(ctx *pulumi.Context, kind, name string, c pulumi.ComponentResource, opts []pulumi.ResourceOption) error {
	if err := ctx.RegisterComponentResource("velodrome:index:"+kind, name, c, opts...); err != nil {
		return fmt.Errorf("register %s %q: %w", kind, name, err)
	}
	return nil
}
