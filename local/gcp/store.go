// Package gcp stands in, on one machine, for the parts of Google Cloud that a
// stack uses: regional external addresses and a managed DNS zone. It holds them
// in a file, keeps to Google's rules in Google's words, serves them to Pulumi as
// the plugin "gcp", and answers DNS queries for the zones.
package gcp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
)

const (
	// stateVersion is the layout of the file. A file of a later layout is refused
	// rather than rewritten, since an older program would lose what it cannot read.
	stateVersion = 1

	// DefaultQuota is how many static addresses a new GCP project may hold in one
	// region until Google raises the limit.
	DefaultQuota = 8

	// lockPatience bounds the wait for another process that holds the file.
	// A change takes milliseconds; whoever holds it longer is stuck.
	lockPatience = 30 * time.Second

	// lockPoll is how often a wait for the file looks again.
	lockPoll = 3 * time.Millisecond
)

// Store is Google Cloud's memory: a JSON file that survives restarts and is
// shared by many processes. Each change holds a lock beside the file and
// replaces the file whole, so that a reader needs no lock and a crash leaves
// either the old content or the new.
type Store struct {
	path string
}

// Open names the file of a store. Nothing is read or made until it is used;
// a file that is absent is an empty store.
func Open(path string) *Store {
	return &Store{path: path}
}

// Path is the file that holds the store.
func (s *Store) Path() string { return s.path }

// DefaultPath is where the store lies unless $VELODROME_GCP_STATE says
// otherwise: gcp.json in Velodrome's state folder.
func DefaultPath() (string, error) {
	if p := os.Getenv("VELODROME_GCP_STATE"); p != "" {
		return p, nil
	}
	if d := os.Getenv("VELODROME_STATE"); d != "" {
		return filepath.Join(d, "gcp.json"), nil
	}
	if d := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "velodrome", "gcp.json"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the folder for the state of the stand-in for GCP: %w; set VELODROME_GCP_STATE to a file", err)
	}
	return filepath.Join(home, ".local", "state", "velodrome", "gcp.json"), nil
}

// state is the content of the file.
type state struct {
	Version int `json:"version"`
	// Quota is the number of static addresses a project may hold in one region;
	// absent means DefaultQuota.
	Quota *int `json:"staticAddressQuota,omitempty"`
	// Handed counts the addresses ever handed out, so that one that was given
	// back is not given to somebody else at once.
	Handed    int         `json:"handed"`
	Addresses []Address   `json:"addresses"`
	Ephemeral []Ephemeral `json:"ephemeral"`
	Zones     []Zone      `json:"zones"`
}

func (st *state) quota() int {
	if st.Quota == nil {
		return DefaultQuota
	}
	return *st.Quota
}

// sort gives the file one order whatever the order of the changes was.
func (st *state) sort() {
	slices.SortFunc(st.Addresses, func(a, b Address) int { return cmp.Compare(a.ID(), b.ID()) })
	slices.SortFunc(st.Ephemeral, func(a, b Ephemeral) int { return cmp.Compare(a.User, b.User) })
	slices.SortFunc(st.Zones, func(a, b Zone) int { return cmp.Compare(a.ID(), b.ID()) })
	for _, z := range st.Zones {
		slices.SortFunc(z.Records, func(a, b Record) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type))
		})
	}
}

// read loads the file as it is now.
func (s *Store) read() (*state, error) {
	b, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return &state{Version: stateVersion}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of the stand-in for GCP: %w", err)
	}
	st, err := decodeState(b)
	if err != nil {
		return nil, fmt.Errorf("the state of the stand-in for GCP, %s, is damaged: %w; move the file away to begin with none, then `pulumi refresh` and `pulumi up` reserve the addresses and make the records again", s.path, err)
	}
	if st.Version != stateVersion {
		return nil, fmt.Errorf("the state of the stand-in for GCP, %s, has layout %d and this program knows %d; use the version of Velodrome that wrote it, or move the file away to begin with none", s.path, st.Version, stateVersion)
	}
	return st, nil
}

func decodeState(b []byte) (*state, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, errors.New("it is empty")
	}
	st := &state{}
	if err := json.Unmarshal(b, st); err != nil {
		return nil, err
	}
	return st, nil
}

// change runs f on the state and keeps the result if f returns no error. No
// other process changes the file meanwhile.
func (s *Store) change(f func(*state) error) error {
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder for the state of the stand-in for GCP: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	lock := flock.New(s.path + ".lock")
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("another process has held the lock %s.lock for %s; end it, then try again", s.path, lockPatience)
		}
		return fmt.Errorf("lock the state of the stand-in for GCP: %w", err)
	}
	return errors.Join(s.rewrite(f), lock.Close())
}

func (s *Store) rewrite(f func(*state) error) error {
	st, err := s.read()
	if err != nil {
		return err
	}
	if err := f(st); err != nil {
		return err
	}
	return s.write(st)
}

// write replaces the file, unless it holds the same already. The caller holds the lock, so that one name for the
// temporary file suffices, and what a crash left there is overwritten.
func (s *Store) write(st *state) (err error) {
	st.sort()
	b, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the state of the stand-in for GCP: %w", err)
	}
	b = append(b, '\n')
	if old, err := os.ReadFile(s.path); err == nil && bytes.Equal(old, b) {
		return nil
	}
	tmp := s.path + ".new"
	defer func() {
		if err != nil {
			err = fmt.Errorf("write the state of the stand-in for GCP (nothing was changed; is the disk full?): %w", errors.Join(err, removeIfThere(tmp)))
		}
	}()
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, s.path)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// SetQuota sets how many static addresses a project may hold in one region,
// as an increase granted by Google does. Addresses held already stay.
func (s *Store) SetQuota(addresses int) error {
	if addresses < 0 {
		return fmt.Errorf("the quota of static addresses must be 0 or more, not %d", addresses)
	}
	return s.change(func(st *state) error {
		st.Quota = &addresses
		return nil
	})
}
