// Package stack declares one stack: it reads config.yaml and the stack's settings,
// checks them, makes the providers, declares the projects and exports what people
// want to know of them.
package stack

import (
	"errors"
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/dns"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"velodrome/components"
	"velodrome/stack/config"
)

// Deploy declares the stack. What is wrong with its settings or with config.yaml is
// reported whole, before anything is declared.
func Deploy(ctx *pulumi.Context) error {
	settings, settingsErr := readSettings(ctx)
	cfg, configErr := config.Load(settings.ConfigFile, config.Options{Only: settings.Projects})
	if err := errors.Join(settingsErr, configErr); err != nil {
		return err
	}
	projects, err := projectArgs(settings, ctx.Stack(), cfg)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		if err := ctx.Log.Warn(w, nil); err != nil {
			return err
		}
	}
	providers, err := newProviders(ctx, settings)
	if err != nil {
		return err
	}
	if err := checkZone(ctx, settings, providers.gcp); err != nil {
		return err
	}
	return declare(ctx, cfg, projects, providers)
}

// providers are the stack's connections to the outside; default ones are off.
type providers struct {
	kubernetes *kubernetes.Provider
	gcp        *gcp.Provider
}

func newProviders(ctx *pulumi.Context, s Settings) (providers, error) {
	k, err := kubernetes.NewProvider(ctx, "kubernetes", &kubernetes.ProviderArgs{
		Context: optional(s.KubeContext),
	})
	if err != nil {
		return providers{}, fmt.Errorf("make the provider of Kubernetes: %w", err)
	}
	g, err := gcp.NewProvider(ctx, "gcp", &gcp.ProviderArgs{
		Project: pulumi.String(s.GCPProject),
		Region:  pulumi.String(s.GCPRegion),
	})
	if err != nil {
		return providers{}, fmt.Errorf("make the provider of GCP: %w", err)
	}
	return providers{k, g}, nil
}

// checkZone looks the managed zone up and refuses domains that do not lie in it.
func checkZone(ctx *pulumi.Context, s Settings, provider *gcp.Provider) error {
	if s.ManagedZone == "" {
		return nil
	}
	zone, err := dns.LookupManagedZone(ctx, &dns.LookupManagedZoneArgs{Name: s.ManagedZone}, pulumi.Provider(provider))
	if err != nil {
		return fmt.Errorf("look up the managed zone %q (velodrome:managedZone) in the GCP project %q: %w", s.ManagedZone, s.GCPProject, err)
	}
	_, err = config.Load(s.ConfigFile, config.Options{Zone: zone.DnsName, Only: s.Projects})
	return err
}

// declare declares the projects and exports what people want to know of them.
func declare(ctx *pulumi.Context, cfg *config.Config, args map[string]components.ProjectArgs, p providers) error {
	projects, passwords := pulumi.Map{}, pulumi.Map{}
	var faults []error
	for _, project := range cfg.Projects {
		a := args[project.Name]
		c, err := components.NewProject(ctx, project.Name, a, pulumi.Providers(p.kubernetes, p.gcp))
		if err != nil {
			faults = append(faults, fmt.Errorf("project %s: %w", project.Name, err))
			continue
		}
		projects[project.Name] = c.Outputs()
		passwords[project.Name] = pulumi.Map{
			"grafanaAdminPassword":   a.Credentials.GrafanaAdmin,
			"influxdbAdminPassword":  a.Credentials.InfluxDBAdmin,
			"influxdbWriterPassword": a.Credentials.InfluxDBWriter,
			"influxdbReaderPassword": a.Credentials.InfluxDBReader,
		}
	}
	ctx.Export("projects", projects)
	ctx.Export("credentials", pulumi.ToSecret(passwords))
	return errors.Join(faults...)
}

// optional returns s as an input, none for an empty one.
func optional(s string) pulumi.StringPtrInput {
	if s == "" {
		return nil
	}
	return pulumi.StringPtr(s)
}
