// Command velodrome-local is the local stack: what runs Velodrome's graph on one
// machine, without a cloud account.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"velodrome/local/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	if err := newRoot().ExecuteContext(ctx); err != nil {
		if ctx.Err() != nil {
			// Which of the things under way was the one that ended tells nothing more.
			fmt.Fprintln(os.Stderr, "velodrome-local: interrupted; run the same command again to go on, or `make down` to take everything away")
			os.Exit(130) // as a shell reports an interrupt
		}
		fmt.Fprintln(os.Stderr, "velodrome-local:", err)
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "velodrome-local",
		Short:         "Run Velodrome's graph on this machine",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().String("repo", "", "the repository (default: the one that the current folder is in)")
	root.AddCommand(
		newUpCommand(), newPreviewCommand(), newDownCommand(), newStatusCommand(), newLogsCommand(),
		newEnvCommand(), newCleanCommand(), newToolsCommand(), newImagesCommand(), newHelperCommand(),
	)
	return root
}

// newHelperCommand is what this program runs itself as, in the background.
func newHelperCommand() *cobra.Command {
	return &cobra.Command{
		Use:                cluster.Helper,
		Hidden:             true,
		DisableFlagParsing: true,
		RunE:               func(_ *cobra.Command, args []string) error { return cluster.RunHelper(args) },
	}
}
