package artifact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Config says where things are.
type Config struct {
	Repo     string // the repository's root
	Cache    string // default: DefaultCache
	Progress *Progress
}

// Builder makes all that the local stack needs.
type Builder struct {
	cfg   Config
	store *Store
	// official are the references of the pinned images by part; nil: as the program has them.
	official map[string]string
}

// New returns a builder over the cache. It touches nothing yet.
func New(cfg Config) (*Builder, error) {
	if cfg.Cache == "" {
		var err error
		if cfg.Cache, err = DefaultCache(); err != nil {
			return nil, err
		}
	}
	if !exists(filepath.Join(cfg.Repo, "tools", "pulumi", "go.mod")) {
		return nil, fmt.Errorf("%s is not the repository of Velodrome: it has no tools/pulumi", cfg.Repo)
	}
	for _, p := range []*string{&cfg.Repo, &cfg.Cache} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return nil, fmt.Errorf("find the folder %s: %w", *p, err)
		}
		*p = abs
	}
	return &Builder{cfg: cfg, store: &Store{Dir: cfg.Cache, Progress: cfg.Progress}}, nil
}

// DefaultCache is $VELODROME_CACHE, or velodrome in the user's cache folder.
func DefaultCache() (string, error) {
	if dir := os.Getenv("VELODROME_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder (set VELODROME_CACHE to choose one): %w", err)
	}
	return filepath.Join(dir, "velodrome"), nil
}

// FindRepo returns the repository that dir is in.
func FindRepo(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for d := abs; ; d = filepath.Dir(d) {
		if exists(filepath.Join(d, "tools", "pulumi", "go.mod")) {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", errors.New("run this in the repository of Velodrome, or name its folder with --repo: there is no tools/pulumi in " + abs + " or above it")
		}
	}
}

// Everything is all that a machine without a cluster of its own needs.
type Everything struct {
	Tools   Tools
	Cluster Cluster
	Images  []Image
}

// Tools builds what runs the Pulumi program.
func (b *Builder) Tools(ctx context.Context) (Tools, error) {
	all, err := b.ensure(ctx, want{tools: true})
	return all.Tools, err
}

// Cluster builds the programs of the cluster.
func (b *Builder) Cluster(ctx context.Context) (Cluster, error) {
	all, err := b.ensure(ctx, want{cluster: true})
	return all.Cluster, err
}

// Images builds the container images; with names, only those.
func (b *Builder) Images(ctx context.Context, names ...string) ([]Image, error) {
	all, err := b.ensure(ctx, want{images: true, only: names})
	return all.Images, err
}

// Everything builds all of it, in the order that keeps two cores busiest.
func (b *Builder) Everything(ctx context.Context) (Everything, error) {
	return b.ensure(ctx, want{tools: true, cluster: true, images: true})
}

type want struct {
	tools, cluster, images bool
	only                   []string // parts of which the image is wanted; none: all
}

func (b *Builder) ensure(ctx context.Context, w want) (Everything, error) {
	var (
		all     Everything
		recipes []Recipe
		have    installed
		images  []Recipe
	)
	if w.images {
		var err error
		if images, err = b.imageRecipes(ctx, w.only); err != nil {
			return all, err
		}
		recipes = append(recipes, images...)
	}
	if w.tools {
		have = findInstalled(ctx)
		rs, err := b.toolRecipes(have)
		if err != nil {
			return all, err
		}
		recipes = append(recipes, rs...)
	}
	if w.cluster {
		rs, err := b.clusterRecipes()
		if err != nil {
			return all, err
		}
		recipes = append(recipes, rs...)
	}
	dirs, err := b.store.EnsureAll(ctx, recipes, lanes())
	if err != nil {
		return all, err
	}
	if w.tools {
		all.Tools = Tools{
			Bin:     firstOf(have.bin, dirs["pulumi"]),
			Plugins: map[string]string{kubernetesPlugin: firstOf(have.kubernetes, dirs["pulumi-resource-kubernetes"]), gcpPlugin: dirs["pulumi-resource-gcp"]},
		}
	}
	if w.cluster {
		all.Cluster = Cluster{Bin: dirs[kubeName], Root: dirs[systemName]}
	}
	for _, r := range images {
		img, err := readImage(dirs[r.Name])
		if err != nil {
			return all, err
		}
		all.Images = append(all.Images, img)
	}
	return all, nil
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// lanes is how many builds run at once: two, so that downloads and the
// single-threaded ends of one build are used by another; one where the memory is
// too small for two big compilations.
func lanes() int {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil && uint64(info.Totalram)*uint64(info.Unit) < 12<<30 {
		return 1
	}
	return 2
}
