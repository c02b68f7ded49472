package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"velodrome/local/gcp"
	"velodrome/local/stack"
)

func newUpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "up",
		Short: "Bring up every project of config.yaml on this machine, and print its URL",
		Long: `Builds or finds what is needed, starts the cluster, and runs "pulumi up" of the stack
local. What is up already is left as it is, and what was interrupted is gone on with.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return deploy(cmd, "up", "--yes", "--skip-preview", "--stack", stack.Name)
		},
	}
}

func newPreviewCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "preview",
		Short: `Show what "up" would change, and change nothing`,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return deploy(cmd, "preview", "--stack", stack.Name)
		},
	}
}

// deploy starts what pulumi needs and runs one of its commands.
func deploy(cmd *cobra.Command, args ...string) error {
	s, err := newSession(cmd)
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	ctx := cmd.Context()
	return s.locked(func() error {
		if err := s.start(ctx); err != nil {
			return err
		}
		s.log("pulumi %s", args[0])
		if args[0] != "up" {
			return s.stack.Run(ctx, args...)
		}
		if err := s.stack.Up(ctx, args[1:]...); err != nil {
			return err
		}
		if err := s.waitForSites(ctx); err != nil {
			return err
		}
		s.log("up")
		return s.printSites(ctx, cmd.OutOrStdout())
	})
}

// printSites prints where each project answers.
func (s *session) printSites(ctx context.Context, w io.Writer) error {
	projects, err := s.stack.Projects(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(projects)) {
		url, err := s.siteURL(projects[name].IP)
		if err != nil {
			return fmt.Errorf("project %s: %w", name, err)
		}
		fmt.Fprintf(w, "\n%s\n  Grafana     %s/\n  InfluxDB    %s/influxdb/\n", name, url, url)
		if projects[name].PrometheusURL != "" {
			fmt.Fprintf(w, "  Prometheus  %s/prometheus/\n", url)
		}
	}
	fmt.Fprintf(w, "\nPasswords: make status. By hand: eval \"$(make -s env)\"\n")
	return nil
}

// siteURL is where a site with a public address answers on this machine, without the
// slash at its end.
func (s *session) siteURL(ip string) (string, error) {
	if s.own {
		return "http://" + ip, nil
	}
	host, err := gcp.Loopback(ip)
	if err != nil {
		return "", err
	}
	if s.cluster.PortOffset != 0 {
		host = net.JoinHostPort(host, strconv.Itoa(80+s.cluster.PortOffset))
	}
	return "http://" + host, nil
}
