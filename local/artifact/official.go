package artifact

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// registryPatience is how long a container registry may take to answer before the
// images are built here instead.
const registryPatience = 3 * time.Second

// partOfField names the parts as the fields of components.Images.
var partOfField = map[string]string{"InfluxDB": "influxdb", "Prometheus": "prometheus", "Prober": "blackbox", "Grafana": "grafana", "Nginx": "nginx"}

// officialRefs reads the pinned images out of the program's source, which is the one
// place that names them. To import it would compile all of Pulumi's SDK into this
// program.
func officialRefs(file string) (map[string]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("read the list of images: %w", err)
	}
	refs := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		field, isName := kv.Key.(*ast.Ident)
		value, isText := kv.Value.(*ast.BasicLit)
		if !isName || !isText {
			return true
		}
		if ref, err := strconv.Unquote(value.Value); err == nil && partOfField[field.Name] != "" {
			refs[partOfField[field.Name]] = ref
		}
		return true
	})
	return refs, nil
}

// preferOfficial replaces the recipe of each part whose official image can be had by
// one that fetches it. What is in the cache already is taken as it is, without
// asking the network.
func (b *Builder) preferOfficial(ctx context.Context, built []Recipe) ([]Recipe, error) {
	refs := b.official
	if refs == nil {
		var err error
		if refs, err = officialRefs(filepath.Join(b.cfg.Repo, "components", "images.go")); err != nil {
			return nil, err
		}
	}
	var answers *bool
	out := make([]Recipe, 0, len(built))
	for _, r := range built {
		part := strings.TrimPrefix(r.Name, "image-")
		ref, ok := refs[part]
		if !ok {
			out = append(out, r)
			continue
		}
		official := b.officialImage(part, ref)
		if _, ok := b.store.Ready(official); ok {
			out = append(out, official)
			continue
		}
		if _, ok := b.store.Ready(r); ok {
			out = append(out, r)
			continue
		}
		if answers == nil {
			yes := registryAnswers(ctx, ref)
			answers = &yes
		}
		if *answers {
			r = official
		}
		out = append(out, r)
	}
	return out, nil
}

// registryAnswers says whether the image can be had, and quickly.
func registryAnswers(ctx context.Context, ref string) bool {
	r, err := name.ParseReference(ref)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, registryPatience)
	defer cancel()
	_, err = remote.Head(r, remote.WithContext(ctx), remote.WithRetryBackoff(remote.Backoff{Steps: 1}))
	return err == nil
}

// officialImage fetches an image, and keeps it under a local name like those that
// are built, so that a pod's image says whose content it is either way.
func (b *Builder) officialImage(part, ref string) Recipe {
	return Recipe{
		Name: "official-" + part, Title: part + " image", Key: Hash(ref, runtime.GOARCH, "1"), Cost: 20 * time.Second, Space: 2 << 30,
		Build: func(ctx context.Context, job *Job) error {
			job.Step("fetching " + ref)
			r, err := name.ParseReference(ref)
			if err != nil {
				return fmt.Errorf("the image %s: %w", ref, err)
			}
			img, err := remote.Image(r, remote.WithContext(ctx), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
			if err != nil {
				return fmt.Errorf("fetch the image %s: %w", ref, err)
			}
			return saveImage(job.Dir, part, versionOf(r), img)
		},
	}
}

// versionOf is what the tag of the local name says: the official tag, or the
// beginning of the digest.
func versionOf(r name.Reference) string {
	if d, ok := r.(name.Digest); ok {
		return strings.TrimPrefix(d.DigestStr(), "sha256:")[:12]
	}
	return strings.TrimPrefix(r.Identifier(), "v")
}
