package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"velodrome/local/cluster"
	"velodrome/local/stack"
)

func newDownCommand() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Take everything away: the projects, the cluster, its data",
		Long: `Stops the cluster and deletes what the local stack keeps, its data included. With
--keep the cluster stops and everything stays: the next "up" goes on with it.
What was built stays in the cache; "clean" deletes that.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			return s.locked(func() error { return s.down(cmd.Context(), keep) })
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the volumes and all else that the next up can go on with")
	return cmd
}

func (s *session) down(ctx context.Context, keep bool) error {
	if s.own {
		return s.destroy(ctx)
	}
	if err := cluster.Stop(ctx, s.cluster); err != nil {
		return err
	}
	if keep {
		s.log("stopped; its data is in %s", s.state)
		return nil
	}
	if err := cluster.Remove(ctx, s.cluster, false); err != nil {
		return err
	}
	if err := removeAll(s.state, "pulumi", "Pulumi.local.yaml", "gcp.json", "gcp.json.lock", "cluster"); err != nil {
		return err
	}
	s.log("all gone")
	return nil
}

// destroy takes the stack away from a cluster that goes on.
func (s *session) destroy(ctx context.Context) error {
	exists, err := s.stack.Exists()
	if err != nil || !exists {
		return err
	}
	if err := s.tools(ctx); err != nil {
		return err
	}
	if err := s.mend(ctx); err != nil {
		return err
	}
	return s.stack.Run(ctx, "destroy", "--yes", "--skip-preview", "--stack", stack.Name)
}

func newCleanCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "clean",
		Short: "Delete what was built, after everything is down",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			return s.locked(func() error {
				if !s.own {
					status, err := cluster.Get(s.cluster)
					if err != nil {
						return err
					}
					if status.Running {
						return errors.New("the cluster runs on what would be deleted; run `make down` first")
					}
				}
				return s.builder.Clean(cmd.Context())
			})
		},
	}
}

// removeAll deletes files and folders below a folder.
func removeAll(folder string, names ...string) error {
	var errs []error
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
			errs = append(errs, fmt.Errorf("delete the local stack's state: %w", err))
		}
	}
	return errors.Join(errs...)
}
