package artifact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	// releases is where Pulumi publishes; offline says that it did not answer.
	releases string
	offline  bool
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
	return &Builder{releases: pulumiReleases, cfg: cfg, store: &Store{Dir: cfg.Cache, Progress: cfg.Progress}}, nil
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

// Want says what is to be there.
type Want struct {
	Tools   bool
	Cluster bool
	Images  bool
	Parts   []string // the images that are wanted; none: all
}

// Have is what was asked for; the rest is empty.
type Have struct {
	Tools   Tools
	Cluster Cluster
	Images  []Image
}

// Tools builds what runs the Pulumi program.
func (b *Builder) Tools(ctx context.Context) (Tools, error) {
	have, err := b.Ensure(ctx, Want{Tools: true})
	return have.Tools, err
}

// Cluster builds the programs of the cluster.
func (b *Builder) Cluster(ctx context.Context) (Cluster, error) {
	have, err := b.Ensure(ctx, Want{Cluster: true})
	return have.Cluster, err
}

// Images builds or fetches the container images; with names, only those.
func (b *Builder) Images(ctx context.Context, parts ...string) ([]Image, error) {
	have, err := b.Ensure(ctx, Want{Images: true, Parts: parts})
	return have.Images, err
}

// Ensure builds what is wanted and not there yet. One call for all of it gives the
// best use of the cores and a progress over the whole.
func (b *Builder) Ensure(ctx context.Context, w Want) (Have, error) {
	var (
		have    Have
		recipes []Recipe
		images  []Recipe
		found   installed
	)
	if w.Tools {
		found = findInstalled(ctx, b.cfg.Cache)
		rs, err := b.toolRecipes(ctx, found)
		if err != nil {
			return have, err
		}
		recipes = append(recipes, rs...)
	}
	if w.Cluster {
		rs, err := b.clusterRecipes()
		if err != nil {
			return have, err
		}
		recipes = append(recipes, rs...)
	}
	if w.Images {
		var err error
		if images, err = b.imageRecipes(ctx, w.Parts); err != nil {
			return have, err
		}
		recipes = append(recipes, images...)
	}
	dirs, err := b.store.EnsureAll(ctx, recipes, lanes())
	if err != nil {
		return have, err
	}
	if w.Tools {
		have.Tools = Tools{
			Bin: firstOf(found.bin, dirs["pulumi"], dirs["pulumi-release"]),
			Plugins: map[string]string{
				kubernetesPlugin: firstOf(found.kubernetes, dirs["pulumi-resource-kubernetes"], dirs["pulumi-resource-kubernetes-release"]),
				gcpPlugin:        dirs["pulumi-resource-gcp"],
			},
		}
	}
	if w.Cluster {
		have.Cluster = Cluster{Bin: dirs[kubeName], Root: dirs[systemName]}
	}
	for _, r := range images {
		img, err := readImage(dirs[r.Name])
		if err != nil {
			return have, err
		}
		have.Images = append(have.Images, img)
	}
	return have, nil
}

// Clean deletes all that was built or downloaded.
func (b *Builder) Clean(ctx context.Context) error { return b.store.Clean(ctx) }

// firstOf is the first string that is not empty.
func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// lanes is how many builds run at once: two, so that downloads and the
// single-threaded ends of one build are used by another; one where the memory is
// too small for two big compilations.
func lanes() int {
	if m := memory(); m > 0 && m < 12<<30 {
		return 1
	}
	return 2
}
