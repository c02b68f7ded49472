package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// importLanes is how many images are unpacked at a time: unpacking is half reading,
// half writing, so that two keep the disk busy and leave a processor to the others.
const importLanes = 2

// importImages gives the node the images that it does not have yet, the cluster's
// own among them, as soon as containerd answers.
func importImages(ctx context.Context, cfg Config, report func(done, all int)) error {
	own, err := systemImages(cfg)
	if err != nil {
		return err
	}
	archives := append(own, cfg.Images...)
	todo, err := notImported(cfg, archives)
	if err != nil {
		return err
	}
	if len(todo) == 0 {
		return nil
	}
	if !await(ctx, socketAccepts(cfg.path("containerd.sock"))) {
		return fmt.Errorf("wait for containerd: %w", context.Cause(ctx))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan string)
	var lanes sync.WaitGroup
	var mu sync.Mutex
	done := 0
	report(0, len(todo))
	for range importLanes {
		lanes.Add(1)
		go func() {
			defer lanes.Done()
			for archive := range queue {
				if err := importImage(ctx, cfg, archive); err != nil {
					cancel(err)
					continue
				}
				mu.Lock()
				done++
				report(done, len(todo))
				mu.Unlock()
			}
		}()
	}
	for _, archive := range todo {
		select {
		case queue <- archive:
		case <-ctx.Done():
		}
	}
	close(queue)
	lanes.Wait()
	return context.Cause(ctx)
}

// importMark is the file that says that an archive, as it is now, was imported. It
// lies in containerd's own folder, so that it goes when the images go.
func importMark(cfg Config, archive string) (string, error) {
	st, err := os.Stat(archive)
	if err != nil {
		return "", fmt.Errorf("read image: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", archive, st.Size(), st.ModTime().UnixNano()))
	return cfg.path("containerd", "imported", hex.EncodeToString(sum[:16])), nil
}

func notImported(cfg Config, archives []string) ([]string, error) {
	var out []string
	for _, a := range archives {
		mark, err := importMark(cfg, a)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(mark); errors.Is(err, fs.ErrNotExist) {
			out = append(out, a)
		} else if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func importImage(ctx context.Context, cfg Config, archive string) error {
	mark, err := importMark(cfg, archive)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(cfg.Root, "usr/bin/ctr"), "--address", cfg.path("containerd.sock"), "--namespace", "k8s.io",
		"images", "import", archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("import image %s: %w: %s", archive, err, lastLine(out))
	}
	return writeFile(mark, []byte(archive+"\n"), 0o644)
}

func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// systemImages makes the archives of the images that are one binary each.
func systemImages(cfg Config) ([]string, error) {
	var out []string
	for _, image := range []struct{ ref, binary string }{{pauseImage, "pause"}, {dnsImage, "coredns"}} {
		archive, err := systemImage(cfg, image.ref, filepath.Join(cfg.Bin, image.binary))
		if err != nil {
			return nil, fmt.Errorf("make image %s: %w", image.ref, err)
		}
		out = append(out, archive)
	}
	return out, nil
}

// systemImage makes an image of one static binary, unless the one that is there is
// of the same binary.
func systemImage(cfg Config, ref, binary string) (string, error) {
	st, err := os.Stat(binary)
	if err != nil {
		return "", err
	}
	archive := cfg.path("images", fmt.Sprintf("%s-%d-%d.tar", filepath.Base(binary), st.Size(), st.ModTime().UnixNano()))
	if _, err := os.Stat(archive); err == nil {
		return archive, nil
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return "", err
	}
	image, err := binaryImage(filepath.Base(binary), content)
	if err != nil {
		return "", err
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		return "", err
	}
	old, err := filepath.Glob(cfg.path("images", filepath.Base(binary)+"-*"))
	if err != nil {
		return "", err
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(cfg.path("images"), 0o755); err != nil {
		return "", err
	}
	if err := tarball.WriteToFile(archive+".new", tag, image); err != nil {
		return "", err
	}
	return archive, os.Rename(archive+".new", archive)
}

// binaryImage is an image with nothing but one program.
func binaryImage(program string, content []byte) (v1.Image, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: program, Mode: 0o755, Size: int64(len(content)), ModTime: time.Unix(0, 0)}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	// Uncompressed: it is read once, on this machine.
	image, err := mutate.AppendLayers(empty.Image, static.NewLayer(layer.Bytes(), types.DockerUncompressedLayer))
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	config.Config.Entrypoint = []string{"/" + program}
	return mutate.ConfigFile(image, config)
}

// readParts reads what pid 1 says of the parts.
func readParts(cfg Config) map[string]PartStatus {
	out := map[string]PartStatus{}
	b, err := os.ReadFile(cfg.path(partsFile))
	if err != nil {
		return out
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return map[string]PartStatus{}
	}
	return out
}
