package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"velodrome/local/artifact"
	"velodrome/local/cluster"
	"velodrome/local/gcp"
	"velodrome/local/stack"
)

// session is one call of a command: the local stack's folders, and what it is made of.
type session struct {
	builder *artifact.Builder
	repo    string
	state   string
	stack   stack.Stack
	cluster cluster.Config
	// own says that the cluster is the user's own: nothing is started or stopped.
	own bool
	log func(format string, args ...any)
}

// kubeContext is the context of the cluster that this program starts.
const kubeContext = "velodrome-local"

// newSession finds the folders; it builds and starts nothing.
func newSession(cmd *cobra.Command) (*session, error) {
	builder, err := newBuilder(cmd)
	if err != nil {
		return nil, err
	}
	repo, err := repoFolder(cmd)
	if err != nil {
		return nil, err
	}
	state, err := stateFolder()
	if err != nil {
		return nil, err
	}
	ports, err := readPorts()
	if err != nil {
		return nil, err
	}
	name, err := clusterName(state)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	s := &session{
		builder: builder, repo: repo, state: state,
		log: func(format string, args ...any) {
			fmt.Fprintf(cmd.ErrOrStderr(), "%5.1fs  %s\n", time.Since(started).Seconds(), fmt.Sprintf(format, args...))
		},
		cluster: cluster.Config{
			State: filepath.Join(state, "cluster"), GCP: filepath.Join(state, "gcp.json"), Name: name,
			APIPort: ports.api, DNSPort: ports.dns, PortOffset: ports.offset,
		},
	}
	s.cluster.Progress = func(line string) { s.log("%s", line) }
	s.stack = stack.Stack{Repo: repo, State: state, GCP: s.cluster.GCP}
	context, err := s.stack.KubeContext()
	if err != nil {
		return nil, err
	}
	if s.own = context != kubeContext; !s.own {
		s.stack.Kubeconfig = s.cluster.Kubeconfig()
	}
	return s, nil
}

// ports are those on this machine's loopback addresses.
type ports struct {
	api    int // of the API server
	dns    int // of the DNS server that has the records of the stand-in for GCP
	offset int // added to those of the sites
}

// readPorts reads the ports from the environment; 0 leaves a port at its default.
func readPorts() (ports, error) {
	var p ports
	var faults []error
	for name, into := range map[string]*int{
		"VELODROME_API_PORT": &p.api, "VELODROME_DNS_PORT": &p.dns, "VELODROME_PORT_OFFSET": &p.offset,
	} {
		text := os.Getenv(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 65535 {
			faults = append(faults, fmt.Errorf("%s is %q; it is a number from 0 to 65535", name, text))
		}
		*into = n
	}
	return p, errors.Join(faults...)
}

// clusterName tells the clusters of several state folders apart. The usual folder's
// has the usual name.
func clusterName(state string) (string, error) {
	usual, err := usualStateFolder()
	if err != nil || state == usual {
		return "", err
	}
	return fmt.Sprintf("velodrome-%x", sha256.Sum256([]byte(state)))[:len("velodrome-")+8], nil
}

// stateFolder is where the local stack keeps all that is its own.
func stateFolder() (string, error) {
	if dir := os.Getenv("VELODROME_STATE"); dir != "" {
		return filepath.Abs(dir)
	}
	return usualStateFolder()
}

func usualStateFolder() (string, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find a folder for the local stack's state (set VELODROME_STATE to one): %w", err)
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "velodrome"), nil
}

// lock keeps a second command away while this one changes things.
func (s *session) lock() (unlock func() error, err error) {
	if err := os.MkdirAll(s.state, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	l := flock.New(filepath.Join(s.state, "lock"))
	got, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the state folder %s: %w", s.state, err)
	}
	if !got {
		return nil, fmt.Errorf("another command is changing the local stack (%s); wait until it ends, then try again", s.state)
	}
	return l.Unlock, nil
}

// check finds what would keep the local stack from coming up, before anything is
// built or changed for it.
func (s *session) check() error {
	if s.own {
		return nil
	}
	return cluster.Check(s.cluster)
}

// locked runs f while no other command changes anything.
func (s *session) locked(f func() error) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	return errors.Join(f(), unlock())
}

// tools builds or finds pulumi and its plugins.
func (s *session) tools(ctx context.Context) error {
	have, err := s.builder.Ensure(ctx, artifact.Want{Tools: true})
	if err != nil {
		return err
	}
	return s.useTools(have.Tools)
}

func (s *session) useTools(t artifact.Tools) error {
	s.stack.Bin = t.Bin
	return t.Install(s.stack.Home())
}

// start brings everything up to the point where pulumi can do its work: tools, images,
// the cluster, a managed zone, the stack's settings.
func (s *session) start(ctx context.Context) error {
	have, err := s.builder.Ensure(ctx, artifact.Want{Tools: true, Cluster: !s.own, Images: !s.own})
	if err != nil {
		return err
	}
	if err := s.useTools(have.Tools); err != nil {
		return err
	}
	if err := s.prepareGCP(); err != nil {
		return err
	}
	if !s.own {
		s.cluster.Bin, s.cluster.Root = have.Cluster.Bin, have.Cluster.Root
		for _, i := range have.Images {
			s.cluster.Images = append(s.cluster.Images, i.Tar)
		}
		if err := cluster.Start(ctx, s.cluster); err != nil {
			return err
		}
	}
	images := artifact.ImageRefs(have.Images)
	delete(images, "pause") // the cluster's own
	if err := s.mend(ctx); err != nil {
		return err
	}
	return s.stack.Prepare(ctx, images)
}

// maxAddresses is how many projects the local stack can have: all that the stand-in
// for GCP has addresses for. Google's own default, 8, is for who pays for them.
const maxAddresses = 700

// prepareGCP gives the stand-in for GCP what a project of Google's has beforehand.
func (s *session) prepareGCP() error {
	store := gcp.Open(s.cluster.GCP)
	if err := store.SetQuota(maxAddresses); err != nil {
		return err
	}
	return store.EnsureZone(gcpProject, stack.ManagedZone, stack.ManagedZoneDNSName)
}
