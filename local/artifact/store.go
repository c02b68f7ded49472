// Package artifact builds what the local stack runs on and keeps it: Pulumi with
// its plugins, the programs of the cluster, the container images.
//
// An artifact is a folder <cache>/<name>/<key>/, where the key is a hash of all
// that it is made from. It is built in a folder beside that one and renamed when it
// is whole, so that an interrupted build leaves nothing that looks finished; what
// is half built is thrown away by the next run. A lock per name lets two runs at
// once build a thing once.
package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// Recipe says how one artifact is made.
type Recipe struct {
	Name  string // names the folder in the cache
	Title string // what a person calls it, in the progress
	Key   string // hash of what it is made from, see Hash
	// Cost is how long the build takes on two idle cores with empty build caches.
	// It is an estimate for the progress and nothing depends on it.
	Cost time.Duration
	// Space is what the build needs at its peak, in bytes, the build caches of Go
	// and of the package managers included. A disk with less is refused at once.
	Space int64
	// Needs are the artifacts that the build takes from. Their keys are to be part of Key.
	Needs []Recipe
	// Build fills job.Dir. It must leave nothing outside it but build caches.
	Build func(ctx context.Context, job *Job) error
}

// Job is one run of a recipe.
type Job struct {
	Dir  string    // the folder to fill
	Work string    // scratch space, on the same disk, gone after the build
	Log  io.Writer // what the tools say; kept when the build fails
	Step func(what string)
}

// Store is a folder of artifacts.
type Store struct {
	Dir      string // absolute
	Progress *Progress
}

// unusedFor is how long an artifact that its recipe no longer asks for is kept,
// since another checkout, or a cluster that still runs, may use it.
const unusedFor = 7 * 24 * time.Hour

// Ready returns the folder of the artifact if it is there and whole.
func (s *Store) Ready(r Recipe) (string, bool) {
	dir := s.dir(r)
	if check(dir) != nil {
		return "", false
	}
	return dir, true
}

// Ensure returns the folder of the artifact, and builds it first if it is absent
// or damaged.
func (s *Store) Ensure(ctx context.Context, r Recipe) (string, error) {
	dir := s.dir(r)
	if check(dir) == nil {
		return dir, markUsed(dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	unlock, err := s.lock(ctx, r)
	if err != nil {
		return "", err
	}
	defer unlock()
	switch err := check(dir); {
	case err == nil: // another run built it in the meantime
		return dir, markUsed(dir)
	case !errors.Is(err, os.ErrNotExist):
		s.Progress.Note("%s: the kept one is damaged (%v), building it again", r.Title, err)
	}
	if err := s.clear(r); err != nil {
		return "", err
	}
	if err := s.build(ctx, r); err != nil {
		return "", err
	}
	return dir, nil
}

func (s *Store) dir(r Recipe) string { return filepath.Join(s.Dir, r.Name, r.Key) }

// lock takes the lock of the recipe's name, and says so when it has to wait.
func (s *Store) lock(ctx context.Context, r Recipe) (func(), error) {
	l := flock.New(filepath.Join(s.Dir, r.Name, lockName))
	ok, err := l.TryLock()
	if err == nil && !ok {
		s.Progress.Note("%s: another run is building it, waiting for that", r.Title)
		_, err = l.TryLockContext(ctx, 200*time.Millisecond)
	}
	if err != nil {
		return nil, fmt.Errorf("wait for the lock %s: %w", l.Path(), err)
	}
	return func() { _ = l.Unlock() }, nil
}

// clear removes what earlier runs left under the recipe's name: half-built folders,
// a damaged artifact, and keys that have not been used for a week. The caller holds
// the lock.
func (s *Store) clear(r Recipe) error {
	all, err := os.ReadDir(filepath.Join(s.Dir, r.Name))
	if err != nil {
		return fmt.Errorf("look into the cache: %w", err)
	}
	for _, e := range all {
		path := filepath.Join(s.Dir, r.Name, e.Name())
		if !e.IsDir() || (e.Name() != r.Key && !strings.HasPrefix(e.Name(), temporary) && usedSince(path, time.Now().Add(-unusedFor))) {
			continue
		}
		if err := removeAll(path); err != nil {
			return fmt.Errorf("clear the cache: %w", err)
		}
	}
	return nil
}

// Clean deletes everything that was built or downloaded. Only folders that a Store
// makes are touched, since a user may have named any folder as the cache. Go's own
// build cache stays.
func (s *Store) Clean(ctx context.Context) error {
	all, err := os.ReadDir(s.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into the cache: %w", err)
	}
	for _, e := range all {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		path := filepath.Join(s.Dir, e.Name())
		switch lock := filepath.Join(path, lockName); {
		case exists(lock):
			l := flock.New(lock)
			if ok, err := l.TryLock(); err != nil || !ok {
				return errors.Join(fmt.Errorf("another run is at work in %s; wait for it, then run the same command again", path), err)
			}
			err = removeAll(path)
			if e := l.Unlock(); e != nil && err == nil {
				err = e
			}
		case e.Name() == logName || e.Name() == npmName:
			err = removeAll(path)
		}
		if err != nil {
			return fmt.Errorf("empty the cache: %w", err)
		}
	}
	return nil
}

// Names in the cache that are no artifacts.
const (
	lockName = ".lock" // in every folder that a Store or a download works in
	logName  = "log"
	npmName  = "npm"
	debsName = "debs"
)

// temporary begins the names of folders that are being built.
const temporary = "making-"

func (s *Store) build(ctx context.Context, r Recipe) (err error) {
	if err := enoughSpace(s.Dir, r); err != nil {
		return err
	}
	root := filepath.Join(s.Dir, r.Name, temporary+r.Key)
	job := &Job{Dir: filepath.Join(root, "out"), Work: filepath.Join(root, "work")}
	for _, d := range []string{job.Dir, job.Work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("make the folder to build in: %w", err)
		}
	}
	defer func() {
		if e := removeAll(root); e != nil && err == nil {
			err = fmt.Errorf("clean up after the build: %w", e)
		}
	}()
	log, err := s.openLog(r)
	if err != nil {
		return err
	}
	defer log.Close()
	task := s.Progress.start(r)
	job.Log, job.Step = log, task.step
	err = r.Build(ctx, job)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = seal(job.Dir)
	}
	if err == nil {
		err = os.Rename(job.Dir, s.dir(r))
	}
	task.end(err, ctx.Err() != nil)
	if err != nil {
		return s.explain(ctx, r, err, log.Name())
	}
	return os.Remove(log.Name())
}

func (s *Store) openLog(r Recipe) (*os.File, error) {
	dir := filepath.Join(s.Dir, logName)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of build logs: %w", err)
	}
	f, err := os.Create(filepath.Join(dir, r.Name+".log"))
	if err != nil {
		return nil, fmt.Errorf("open the build log: %w", err)
	}
	return f, nil
}

// BuildError is a build that failed. Its message names the way out.
type BuildError struct {
	Title string
	Cause error
	Tail  string // the last lines of the log
	Log   string // path of the whole log
}

func (e *BuildError) Error() string {
	msg := fmt.Sprintf("building the %s failed: %v", e.Title, e.Cause)
	if e.Tail != "" {
		msg += "\n" + indent(e.Tail)
	}
	return msg + "\nThe whole log is in " + e.Log + "; the next run continues from what is built."
}

func (e *BuildError) Unwrap() error { return e.Cause }

// explain turns the error of a build into one that a person can act on.
func (s *Store) explain(ctx context.Context, r Recipe, err error, log string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("building the %s was interrupted; the next run continues from what is built: %w", r.Title, ctx.Err())
	}
	tail := lastLines(log, 15)
	if errors.Is(err, syscall.ENOSPC) || strings.Contains(tail, "no space left on device") {
		return fmt.Errorf("the disk of %s is full (%s free): the %s needs %s; free some or set VELODROME_CACHE to a folder on another disk: %w",
			s.Dir, size(free(s.Dir)), r.Title, size(r.Space), syscall.ENOSPC)
	}
	if why := unreachable(tail); why != "" {
		err = fmt.Errorf("no package registry could be reached (%s); check the network and the proxy settings, then run the same command again", why)
	}
	return &BuildError{Title: r.Title, Cause: err, Tail: tail, Log: log}
}

// unreachable picks the part of a log that says that the network is the trouble.
func unreachable(tail string) string {
	for _, sign := range []string{"no such host", "Temporary failure in name resolution", "Temporary failure resolving", "network is unreachable",
		"connection refused", "i/o timeout", "TLS handshake timeout", "getaddrinfo ENOTFOUND", "getaddrinfo EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT"} {
		if strings.Contains(tail, sign) {
			return sign
		}
	}
	return ""
}

func enoughSpace(dir string, r Recipe) error {
	if have := free(dir); have >= 0 && have < r.Space {
		return fmt.Errorf("the disk of %s has %s free and the %s needs %s: free some or set VELODROME_CACHE to a folder on another disk: %w",
			dir, size(have), r.Title, size(r.Space), syscall.ENOSPC)
	}
	return nil
}

// free is the space on the disk of dir that a user may fill, in bytes; -1 if unknown.
func free(dir string) int64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return -1
	}
	return int64(st.Bavail) * int64(st.Bsize) // the size has another type on other systems
}

func size(b int64) string {
	if b < 10<<30 {
		return fmt.Sprintf("%d MB", b>>20)
	}
	return fmt.Sprintf("%d GB", b>>30)
}

// lastLines returns the last n lines of a file; nothing if it can't be read, since
// it only adds to an error that is there already.
func lastLines(path string, n int) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	const most = 16 << 10
	if st, err := f.Stat(); err == nil && st.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return ""
		}
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func indent(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }

// removeAll is os.RemoveAll for trees that hold folders without write permission,
// as copies out of Go's module cache do.
func removeAll(path string) error {
	if err := os.RemoveAll(path); err == nil {
		return nil
	}
	err := filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chmod(p, 0o755)
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.RemoveAll(path)
}
