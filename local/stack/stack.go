// Package stack runs the program as Pulumi's stack "local", by Pulumi's own command:
// what `make up` does is what an operator types on any other stack.
package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
)

// Name is the stack's name.
const Name = "local"

// ManagedZone is the zone that the stand-in for GCP has. It is that of all names, so
// that a project may have any domain here.
const ManagedZone, ManagedZoneDNSName = "everything", "."

// Stack is the stack "local" of one repository.
type Stack struct {
	Repo       string // the folder of Pulumi.yaml
	State      string // the state folder; what is Pulumi's is below pulumi/
	Bin        string // the folder of the command pulumi; empty: from PATH
	Kubeconfig string
	GCP        string // the file of the stand-in for GCP
}

// Home is Pulumi's own folder, with its plugins.
func (s Stack) Home() string { return filepath.Join(s.State, "pulumi", "home") }

// backend is where Pulumi keeps the state of the stack.
func (s Stack) backend() string { return filepath.Join(s.State, "pulumi", "backend") }

// ConfigFile is the stack's settings with its secrets: a copy of Pulumi.local.yaml
// with the key and the images added.
func (s Stack) ConfigFile() string { return filepath.Join(s.State, "Pulumi.local.yaml") }

// Environment is what makes pulumi and its plugins work on this stack.
func (s Stack) Environment() map[string]string {
	env := map[string]string{
		"PULUMI_HOME":        s.Home(),
		"PULUMI_BACKEND_URL": "file://" + s.backend(),
		// The secrets are those of a throw-away stack, and its key lies beside them.
		"PULUMI_CONFIG_PASSPHRASE": "",
		"PULUMI_SKIP_UPDATE_CHECK": "true",
		// A missing plugin is said at once, and not after five tries to download it.
		"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
		// Settings are read from, and written to, the copy outside the repository.
		"PULUMI_OPTION_CONFIG_FILE": s.ConfigFile(),
		"VELODROME_GCP_STATE":       s.GCP,
	}
	if s.Kubeconfig != "" {
		env["KUBECONFIG"] = s.Kubeconfig
	}
	return env
}

// Prepare makes the stack with its settings if it is not there, and brings these to
// what Pulumi.local.yaml says, with the images given.
func (s Stack) Prepare(ctx context.Context, images map[string]string) error {
	if err := os.MkdirAll(s.backend(), 0o700); err != nil {
		return fmt.Errorf("make the folder of the stack's state: %w", err)
	}
	if err := s.writeConfig(images); err != nil {
		return err
	}
	if err := s.Quiet(ctx, "stack", "select", Name, "--create"); err != nil {
		return err
	}
	if has, err := s.hasKey(); has || err != nil {
		return err
	}
	return s.setSecret(ctx, "velodrome:secretKey", newKey())
}

// setSecret sets a secret setting; its value goes over standard input, where no list
// of processes shows it.
func (s Stack) setSecret(ctx context.Context, key, value string) error {
	cmd := s.command(ctx, "config", "set", "--secret", key, "--stack", Name, "--non-interactive")
	cmd.Stdin = strings.NewReader(value)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := runOnThread(cmd); err != nil {
		return fmt.Errorf("pulumi config set --secret %s: %w\n%s", key, err, out.String())
	}
	return nil
}

// Run runs pulumi as a user would, with its output on the terminal. It is interrupted,
// not killed, when ctx ends: it then stops after the operations under way.
func (s Stack) Run(ctx context.Context, args ...string) error {
	cmd := s.command(ctx, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(cmd.Env, mark+"="+s.State)
	if err := runOnThread(cmd); err != nil {
		err = fmt.Errorf("pulumi %s: %w", strings.Join(args, " "), err)
		return errors.Join(err, endProcesses(mark+"="+s.State)) // had it been killed, its plugins are left
	}
	return nil
}

// Quiet is Run with the output thrown away unless it fails.
func (s Stack) Quiet(ctx context.Context, args ...string) error {
	_, err := s.output(ctx, args...)
	return err
}

// Project is what the stack says of a project.
type Project struct {
	URL       string `json:"url"`
	Host      string `json:"host"`
	IP        string `json:"ip"`
	Namespace string `json:"namespace"`
	// PrometheusURL is empty where the project has no Prometheus.
	PrometheusURL string `json:"prometheusUrl"`
}

// Projects are the projects that the stack has now, by name.
func (s Stack) Projects(ctx context.Context) (map[string]Project, error) {
	out, err := s.output(ctx, "stack", "output", "--json", "--stack", Name)
	if err != nil {
		return nil, err
	}
	var outputs struct {
		Projects map[string]Project `json:"projects"`
	}
	if err := json.Unmarshal(out, &outputs); err != nil {
		return nil, fmt.Errorf("read the stack's outputs: %w", err)
	}
	return outputs.Projects, nil
}

// Exists tells whether the stack was ever made.
func (s Stack) Exists() (bool, error) {
	_, err := os.Stat(s.stateFile())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (s Stack) output(ctx context.Context, args ...string) ([]byte, error) {
	var out, log bytes.Buffer
	cmd := s.command(ctx, append(args, "--non-interactive")...)
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := runOnThread(cmd); err != nil {
		return nil, fmt.Errorf("pulumi %s: %w\n%s%s", strings.Join(args, " "), err, log.String(), out.String())
	}
	return out.Bytes(), nil
}

func (s Stack) command(ctx context.Context, args ...string) *exec.Cmd {
	name := "pulumi"
	if s.Bin != "" {
		name = filepath.Join(s.Bin, "pulumi")
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = s.Repo
	cmd.Env = os.Environ()
	for _, k := range slices.Sorted(maps.Keys(s.Environment())) {
		cmd.Env = append(cmd.Env, k+"="+s.Environment()[k])
	}
	if s.Bin != "" {
		cmd.Env = append(cmd.Env, "PATH="+s.Bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	// A first interrupt makes pulumi end after what is under way, a second one at once.
	// A Ctrl-C at the terminal reaches it by itself, so there it gets none from here.
	// Elsewhere it is in a group of its own, where what is sent to all of this program's
	// group does not reach it, and gets one from here.
	terminal := term.IsTerminal(int(os.Stdin.Fd()))
	cmd.SysProcAttr = attributes(!terminal)
	cmd.Cancel = func() error {
		if terminal {
			return nil
		}
		return cmd.Process.Signal(os.Interrupt)
	}
	cmd.WaitDelay = patience
	return cmd
}

// patience is how long an interrupted pulumi has to end.
const patience = 2 * time.Minute

// runOnThread runs a command on a thread that stays as long as it does, since on Linux the
// command is interrupted when its thread ends.
func runOnThread(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return cmd.Run()
}
