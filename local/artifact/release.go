package artifact

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// pulumiReleases is where Pulumi publishes what its own installer and its CLI fetch.
const pulumiReleases = "https://get.pulumi.com/releases"

// releasePatience is how long the publisher may take to answer before a part is
// built here instead.
const releasePatience = 3 * time.Second

// release is a published archive that has what a recipe would build.
type release struct {
	path  string // below pulumiReleases
	top   string // folder of the archive that holds the files; empty: its root
	files []string
}

// releasedCommand is the CLI with its language hosts.
func releasedCommand() release {
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	return release{path: "sdk/pulumi-" + pulumiVersion + "-linux-" + arch + ".tar.gz", top: "pulumi", files: []string{"pulumi", "pulumi-language-go"}}
}

func releasedKubernetes() release {
	return release{path: "plugins/pulumi-resource-kubernetes-v" + kubernetesVersion + "-linux-" + runtime.GOARCH + ".tar.gz", files: []string{"pulumi-resource-kubernetes"}}
}

// preferReleased returns the recipe that downloads a part in place of the one that
// builds it, if the download can be had. What is in the cache already is taken as it
// is, without asking the network.
func (b *Builder) preferReleased(ctx context.Context, built Recipe, rel release) Recipe {
	downloaded := b.download(built, rel)
	if _, ok := b.store.Ready(downloaded); ok {
		return downloaded
	}
	if _, ok := b.store.Ready(built); ok {
		return built
	}
	if b.published(ctx, rel) {
		return downloaded
	}
	return built
}

// published says whether the archive is there, and asks nobody twice: where one is
// out of reach, so are the others.
func (b *Builder) published(ctx context.Context, rel release) bool {
	if b.offline {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, releasePatience)
	defer cancel()
	resp, err := request(ctx, http.MethodHead, b.releases+"/"+rel.path)
	if err != nil {
		b.offline = true
		return false
	}
	return resp.Body.Close() == nil
}

// request returns a response whose status is 200.
func request(ctx context.Context, method, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s %s: %s", method, url, resp.Status), resp.Body.Close())
	}
	return resp, nil
}

// download is a recipe that makes what built makes.
func (b *Builder) download(built Recipe, rel release) Recipe {
	return Recipe{
		Name: built.Name + "-release", Title: built.Title, Key: Hash(rel.path, "1"), Cost: 20 * time.Second, Space: 1 << 30,
		Build: func(ctx context.Context, job *Job) error {
			job.Step("downloading")
			resp, err := request(ctx, http.MethodGet, b.releases+"/"+rel.path)
			if err != nil {
				return fmt.Errorf("download: %w", err)
			}
			if err := errors.Join(unpackFiles(resp.Body, rel.top, job.Dir), resp.Body.Close()); err != nil {
				return fmt.Errorf("unpack %s: %w", rel.path, err)
			}
			for _, f := range rel.files {
				if !exists(filepath.Join(job.Dir, f)) {
					return fmt.Errorf("%s has no %s", rel.path, f)
				}
			}
			return nil
		},
	}
}

// unpackFiles unpacks the regular files that are directly in one folder of a
// compressed archive.
func unpackFiles(archive io.Reader, top, to string) error {
	z, err := gzip.NewReader(archive)
	if err != nil {
		return err
	}
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return z.Close()
		}
		if err != nil {
			return err
		}
		dir, file := path.Split(path.Clean("/" + h.Name))
		if h.Typeflag != tar.TypeReg || strings.Trim(dir, "/") != top {
			continue
		}
		f, err := os.OpenFile(filepath.Join(to, file), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644|fs.FileMode(h.Mode)&0o111)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, tr)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
}
