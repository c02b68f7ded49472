package components

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/dns"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// recordTTL is how long resolvers keep the A record, in seconds. Five minutes: an
// address changes hardly ever, and when it does nobody wants to wait for a day.
const recordTTL = 300

// EndpointArgs are the arguments of an Endpoint.
type EndpointArgs struct {
	// Project is the project's name.
	Project string
	// IP is the address to have, IPv4. It may be in use in the GCP project already,
	// as an ephemeral one, and is then promoted. Default: a new one.
	IP string
	// Domain is the site's name, without a dot at its end. Default: none.
	Domain string
	// Zone is the name of the managed zone that the domain lies in. Default: none,
	// and no record is made.
	Zone string
	// Protect keeps Pulumi from giving the address away.
	Protect bool
}

// Endpoint is where the world finds a site: a static IP, and a name for it.
//
// The address is a regional one: the Service's load balancer passes packets through,
// and such a forwarding rule lives in the cluster's region.
type Endpoint struct {
	pulumi.ResourceState

	// AddressName is the name of the address in GCP.
	AddressName pulumi.StringOutput
	// IP is the address.
	IP pulumi.StringOutput
	// Host is the site's domain, else its IP.
	Host pulumi.StringOutput
}

// NewEndpoint declares an Endpoint.
func NewEndpoint(ctx *pulumi.Context, name string, args EndpointArgs, opts ...pulumi.ResourceOption) (*Endpoint, error) {
	c := &Endpoint{}
	if err := register(ctx, "Endpoint", name, c, opts); err != nil {
		return nil, err
	}
	address, err := compute.NewAddress(ctx, args.Project, &compute.AddressArgs{
		Name:        pulumi.String(AddressName(args.Project)),
		Address:     optional(args.IP),
		Description: pulumi.String(fmt.Sprintf("The metrics site of %s", args.Project)),
		Labels:      pulumi.StringMap{"app": pulumi.String("velodrome"), "project": pulumi.String(args.Project)},
	}, pulumi.Parent(c), pulumi.Protect(args.Protect))
	if err != nil {
		return nil, err
	}
	c.AddressName, c.IP, c.Host = address.Name, address.Address, address.Address
	if args.Domain != "" {
		c.Host = pulumi.String(args.Domain).ToStringOutput()
	}
	if args.Domain != "" && args.Zone != "" {
		if _, err := dns.NewRecordSet(ctx, args.Project, &dns.RecordSetArgs{
			Name:        pulumi.String(args.Domain + "."),
			Type:        pulumi.String("A"),
			Ttl:         pulumi.Int(recordTTL),
			ManagedZone: pulumi.String(args.Zone),
			Rrdatas:     pulumi.StringArray{address.Address},
		}, pulumi.Parent(c)); err != nil {
			return nil, err
		}
	}
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"addressName": c.AddressName, "ip": c.IP, "host": c.Host,
	})
}

// optional returns s as an input, none for an empty one.
func optional(s string) pulumi.StringPtrInput {
	if s == "" {
		return nil
	}
	return pulumi.StringPtr(s)
}
