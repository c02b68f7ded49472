package artifact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// packages are Debian packages to unpack.
type packages struct {
	Want    []string
	Without []string // patterns of packages that Want depends on and that are left out
	// Links are what the packages' own scripts would make when they are installed.
	Links map[string]string
}

// links lists the links, for the key.
func (p packages) links() string {
	var out []string
	for at, target := range p.Links {
		out = append(out, at+" "+target)
	}
	sort.Strings(out)
	return strings.Join(out, ",")
}

// debian is a folder into which the packages, and all that they depend on, are
// unpacked. Nothing is installed: no script of a package runs, and the host's
// package database is neither changed nor asked what is there already.
func (b *Builder) debian(name, title string, p packages) Recipe {
	return Recipe{
		Name: name, Title: title, Key: Hash(append(append([]string{runtime.GOARCH, hostRelease(), "4", p.links()}, p.Want...), p.Without...)...),
		Cost: 15 * time.Second, Space: 1 << 30,
		Build: func(ctx context.Context, job *Job) error {
			for _, tool := range []string{"apt-get", "dpkg-deb"} {
				if _, err := exec.LookPath(tool); err != nil {
					return fmt.Errorf("%s is not here: the local cluster takes its parts from the packages of Debian or Ubuntu and works on those systems: %w", tool, err)
				}
			}
			debs := filepath.Join(b.cfg.Cache, debsName)
			if err := os.MkdirAll(filepath.Join(debs, "partial"), 0o755); err != nil {
				return fmt.Errorf("make the folder for packages: %w", err)
			}
			// apt-get gives up at once where another one is at work in its folder.
			l := flock.New(filepath.Join(debs, lockName))
			if _, err := l.TryLockContext(ctx, 200*time.Millisecond); err != nil {
				return fmt.Errorf("wait for another download of packages: %w", err)
			}
			defer func() { _ = l.Unlock() }()
			files, err := downloadPackages(ctx, job, debs, p)
			if err != nil {
				return err
			}
			job.Step("unpacking")
			for _, f := range files {
				if err := job.Run(ctx, Command{Args: []string{"dpkg-deb", "-x", filepath.Join(debs, f), job.Dir}}); err != nil {
					return err
				}
			}
			if err := os.WriteFile(filepath.Join(job.Dir, packageList), []byte(strings.Join(files, "\n")+"\n"), 0o644); err != nil {
				return fmt.Errorf("note the packages: %w", err)
			}
			for at, target := range p.Links {
				if err := os.Symlink(target, filepath.Join(job.Dir, at)); err != nil {
					return fmt.Errorf("make the link %s: %w", at, err)
				}
			}
			return prune(job.Dir)
		},
	}
}

// hostRelease tells one release of the system from another, since the packages'
// libraries have to match the host's.
func hostRelease() string {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// downloadPackages brings the packages into a folder and returns their file names.
// Where apt's lists are empty or too old to name what the mirrors have, it renews them.
func downloadPackages(ctx context.Context, job *Job, debs string, p packages) ([]string, error) {
	try := func() ([]string, error) {
		job.Step("downloading")
		// apt-get names only what it would download, so it is asked over an empty folder.
		list, err := job.Output(ctx, Command{Args: aptGet(filepath.Join(job.Work, "empty"), append([]string{"--print-uris", "install"}, p.Want...)...)})
		if err != nil {
			return nil, err
		}
		if err := job.Run(ctx, Command{Args: aptGet(debs, append([]string{"--download-only", "install"}, p.Want...)...)}); err != nil {
			return nil, err
		}
		return packageFiles(list, p.Without)
	}
	files, err := try()
	if err == nil || ctx.Err() != nil {
		return files, err
	}
	fmt.Fprintln(job.Log, err)
	job.Step("renewing the package lists")
	if err := job.Run(ctx, Command{Args: []string{"apt-get", "update"}}); err != nil {
		return nil, errors.Join(errors.New("the lists of packages can't be renewed"), err)
	}
	return try()
}

// aptGet is apt-get over an empty package database, so that it names every
// dependency, with a download folder of our own.
func aptGet(debs string, args ...string) []string {
	return append([]string{"apt-get", "--yes", "--no-install-recommends",
		"-o", "Dir::State::status=/dev/null", "-o", "Dir::Cache::archives=" + debs, "-o", "Debug::NoLocking=true",
		"-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
		"-o", "APT::Sandbox::User=", "-o", "APT::Get::AllowUnauthenticated=false"}, args...)
}

// packageFiles reads the file names out of what `apt-get --print-uris` prints:
//
//	'http://mirror/pool/r/runc_1_amd64.deb' runc_1_amd64.deb 2709960 MD5Sum:…
func packageFiles(list string, without []string) ([]string, error) {
	var out []string
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		if len(f) < 3 || !strings.HasPrefix(f[0], "'") || !strings.HasSuffix(f[1], ".deb") {
			continue
		}
		name, _, _ := strings.Cut(f[1], "_")
		drop := false
		for _, w := range without {
			match, err := path.Match(w, name)
			if err != nil {
				return nil, fmt.Errorf("pattern %q: %w", w, err)
			}
			drop = drop || match
		}
		if !drop {
			out = append(out, f[1])
		}
	}
	if len(out) == 0 {
		return nil, errors.New("apt-get named no package")
	}
	return out, nil
}

// prune removes what nobody reads in an unpacked tree.
func prune(dir string) error {
	for _, d := range []string{"doc", "man", "info", "locale", "lintian", "bug"} {
		if err := os.RemoveAll(filepath.Join(dir, "usr", "share", d)); err != nil {
			return fmt.Errorf("remove documentation: %w", err)
		}
	}
	return nil
}
