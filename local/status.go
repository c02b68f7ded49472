package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"velodrome/local/cluster"
)

func newStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the cluster, the pods, the URLs, the accounts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			return s.printStatus(cmd.Context(), cmd.OutOrStdout())
		},
	}
}

func (s *session) printStatus(ctx context.Context, w io.Writer) error {
	if !s.own {
		status, err := cluster.Get(s.cluster)
		if err != nil {
			return err
		}
		if !status.Running {
			fmt.Fprintln(w, "The cluster does not run. Start it with: make up")
			return nil
		}
		printParts(w, status)
	}
	if err := s.kubectl(ctx, w, "get", "pods", "--all-namespaces", "--selector", "app.kubernetes.io/part-of=velodrome"); err != nil {
		return err
	}
	exists, err := s.stack.Exists()
	if err != nil {
		return err
	}
	if !exists {
		fmt.Fprintln(w, "\nNo project is up. Bring them up with: make up")
		return nil
	}
	if err := s.tools(ctx); err != nil {
		return err
	}
	if err := s.printSites(ctx, w); err != nil {
		return err
	}
	fmt.Fprint(w, `Accounts of each project: Grafana admin; InfluxDB admin, writer, reader. Their passwords:
  eval "$(make -s env)"; pulumi stack output credentials --show-secrets
`)
	return nil
}

func printParts(w io.Writer, status cluster.Status) {
	fmt.Fprintf(w, "The cluster runs since %s (pid %d).\n", status.Since.Local().Format("2006-01-02 15:04:05"), status.PID)
	for _, name := range slices.Sorted(maps.Keys(status.Parts)) {
		p := status.Parts[name]
		switch {
		case p.PID == 0 && p.Waits != "":
			fmt.Fprintf(w, "  %s waits for %s\n", name, p.Waits)
		case p.PID == 0:
			fmt.Fprintf(w, "  %s does not run (%s); see: make logs PART=%s\n", name, p.LastEnd, name)
		case p.Restarts > 0:
			fmt.Fprintf(w, "  %s was restarted %d times (%s)\n", name, p.Restarts, p.LastEnd)
		}
	}
	fmt.Fprintln(w)
}

// kubectl runs the cluster's own kubectl; on a user's own cluster, the one on PATH.
func (s *session) kubectl(ctx context.Context, w io.Writer, args ...string) error {
	name, env := "kubectl", os.Environ()
	if !s.own {
		name, env = s.cluster.Kubectl(), append(env, "KUBECONFIG="+s.cluster.Kubeconfig())
	} else if kubeContext, err := s.stack.KubeContext(); err != nil {
		return err
	} else if kubeContext != "" {
		args = append([]string{"--context", kubeContext}, args...)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, w, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

func newLogsCommand() *cobra.Command {
	var lines int
	cmd := &cobra.Command{
		Use:   "logs [PROJECT [PART]]",
		Short: "Show the last lines of the logs of a project's pods, or of a part of the cluster",
		Long: `Without a name: of the pods of all projects. With a project: of its pods; with a part
(influxdb, prometheus, grafana, nginx, blackbox-prober) only of those. A name of the
cluster's own parts (` + strings.Join(cluster.Parts(), ", ") + `) shows that part's log.`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			if len(args) == 1 && slices.Contains(cluster.Parts(), args[0]) {
				return s.printFile(cmd.OutOrStdout(), s.cluster.Log(args[0]), lines)
			}
			return s.podLogs(cmd.Context(), cmd.OutOrStdout(), lines, args)
		},
	}
	cmd.Flags().IntVar(&lines, "lines", 40, "how many lines of each container")
	return cmd
}

func (s *session) podLogs(ctx context.Context, w io.Writer, lines int, names []string) error {
	selector := "app.kubernetes.io/part-of=velodrome"
	for i, label := range []string{"project", "app"} {
		if i < len(names) {
			selector += "," + label + "=" + names[i]
		}
	}
	var projects strings.Builder
	if err := s.kubectl(ctx, &projects, "get", "pods", "--all-namespaces", "--selector", selector,
		"--output", `jsonpath={range .items[*]}{.metadata.namespace}{"\n"}{end}`); err != nil {
		return err
	}
	namespaces := slices.Compact(slices.Sorted(slices.Values(strings.Fields(projects.String()))))
	if len(namespaces) == 0 {
		return fmt.Errorf("no pod has the labels %s; `make status` lists the pods", selector)
	}
	for _, namespace := range namespaces {
		if err := s.kubectl(ctx, w, "logs", "--namespace", namespace, "--selector", selector, "--all-containers",
			"--prefix", "--tail", fmt.Sprint(lines), "--max-log-requests", "50", "--ignore-errors"); err != nil {
			return err
		}
	}
	return nil
}

// printFile prints the last lines of a file.
func (s *session) printFile(w io.Writer, path string, lines int) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	all := strings.SplitAfter(string(text), "\n")
	_, err = io.WriteString(w, strings.Join(all[max(0, len(all)-lines-1):], ""))
	return err
}

func newEnvCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Print what makes pulumi and kubectl work on the local stack, for eval",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSession(cmd)
			if err != nil {
				return err
			}
			if err := s.tools(cmd.Context()); err != nil {
				return err
			}
			env := s.stack.Environment()
			for _, k := range slices.Sorted(maps.Keys(env)) {
				fmt.Fprintf(cmd.OutOrStdout(), "export %s=%s\n", k, quote(env[k]))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "export PATH=%s:\"$PATH\"\n", quote(s.path()))
			return nil
		},
	}
}

// path holds pulumi and kubectl.
func (s *session) path() string {
	folders := []string{}
	if s.stack.Bin != "" {
		folders = append(folders, s.stack.Bin)
	}
	if !s.own {
		folders = append(folders, strings.TrimSuffix(s.cluster.Kubectl(), "/kubectl"))
	}
	return strings.Join(folders, ":")
}

// quote makes a word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
