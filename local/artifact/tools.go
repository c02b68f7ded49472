package artifact

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Versions of Pulumi's parts. They go with the go.mod files in tools/.
const (
	pulumiVersion     = "v3.228.0"
	kubernetesVersion = "4.29.0"
	gcpVersion        = "7.38.0"

	kubernetesModule = "github.com/pulumi/pulumi-kubernetes/provider/v4"

	kubernetesPlugin = "resource-kubernetes-v" + kubernetesVersion
	gcpPlugin        = "resource-gcp-v" + gcpVersion
)

// Tools is what runs the Pulumi program.
type Tools struct {
	Bin     string            // folder with pulumi and pulumi-language-go
	Plugins map[string]string // name of a plugin's folder in PULUMI_HOME/plugins to the folder that holds its files
}

// Install makes the plugins visible in a PULUMI_HOME. It links, since one of them
// has 340 MB, and is safe to repeat.
func (t Tools) Install(home string) error {
	for name, from := range t.Plugins {
		if err := linkFiles(from, filepath.Join(home, "plugins", name)); err != nil {
			return fmt.Errorf("install the plugin %s: %w", name, err)
		}
	}
	return nil
}

// linkFiles makes a folder that holds a link to each file of another one. Pulumi
// looks for folders, so a link to the folder itself would not do.
func linkFiles(from, to string) error {
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, f := range files {
		target, link := filepath.Join(from, f.Name()), filepath.Join(to, f.Name())
		if f.Name() == manifestName || f.IsDir() {
			continue
		}
		if have, err := os.Readlink(link); err == nil && have == target {
			continue
		}
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.Symlink(target, link); err != nil {
			return err
		}
	}
	return nil
}

// toolRecipes are the parts of Pulumi that have to be built, given what is installed.
func (b *Builder) toolRecipes(ctx context.Context, have installed) ([]Recipe, error) {
	var out, before []Recipe
	if have.kubernetes == "" {
		r, err := b.kubernetesPlugin()
		if err != nil {
			return nil, err
		}
		chosen := b.preferReleased(ctx, r, releasedKubernetes())
		if chosen.Name == r.Name {
			before = append(before, r)
		}
		out = append(out, chosen)
	}
	if have.bin == "" {
		r, err := b.pulumi()
		if err != nil {
			return nil, err
		}
		// Both at once would compile twice what they share.
		r.Needs = append(r.Needs, before...)
		out = append(out, b.preferReleased(ctx, r, releasedCommand()))
	}
	r, err := b.gcpPlugin()
	if err != nil {
		return nil, err
	}
	return append(out, r), nil
}

// kubernetesPlugin compiles nearly all that the CLI needs too, so it goes first.
func (b *Builder) kubernetesPlugin() (Recipe, error) {
	module := filepath.Join(b.cfg.Repo, "tools", "pulumi")
	src, err := Sources(module)
	if err != nil {
		return Recipe{}, err
	}
	return Recipe{
		Name: "pulumi-resource-kubernetes", Title: "Kubernetes plugin", Key: Hash(src, kubernetesVersion, "1"),
		Cost: 8*time.Minute + 15*time.Second, Space: 5 << 30,
		Build: func(ctx context.Context, job *Job) error {
			out := filepath.Join(job.Dir, "pulumi-resource-kubernetes")
			err := job.Run(ctx, goBuild(module, out, "./cmd/pulumi-resource-kubernetes",
				"-s -w -X "+kubernetesModule+"/pkg/version.Version="+kubernetesVersion))
			if err != nil {
				return err
			}
			job.Step("adding its schema")
			// Asked by package: about a module the go command would want to know its
			// time from the proxy, which does not tell it for this version.
			dir, err := job.Output(ctx, Command{Dir: module, Env: goEnv, Args: []string{"go", "list", "-f", "{{.Dir}}", kubernetesModule + "/pkg/version"}})
			if err != nil {
				return err
			}
			return addSchema(filepath.Join(strings.TrimSpace(dir), "..", "..", "cmd", "pulumi-resource-kubernetes"), job.Dir, kubernetesVersion)
		},
	}, nil
}

// addSchema puts the two files that the plugin reads beside it: the schema, as its
// release build has it (minified, with its version), and the Terraform mapping.
func addSchema(from, to, version string) error {
	b, err := os.ReadFile(filepath.Join(from, "schema.json"))
	if err != nil {
		return fmt.Errorf("read the plugin's schema: %w", err)
	}
	schema, err := stampSchema(b, version)
	if err != nil {
		return fmt.Errorf("put the version into the plugin's schema: %w", err)
	}
	if err := os.WriteFile(filepath.Join(to, "schema.json"), schema, 0o644); err != nil {
		return err
	}
	mapping, err := os.ReadFile(filepath.Join(from, "terraform-mapping.json"))
	if err != nil {
		return fmt.Errorf("read the plugin's Terraform mapping: %w", err)
	}
	return os.WriteFile(filepath.Join(to, "terraform-mapping.json"), mapping, 0o644)
}

// stampSchema minifies a schema and sets its version, leaving all else as it is.
func stampSchema(schema []byte, version string) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(schema, &fields); err != nil {
		return nil, err
	}
	v, err := json.Marshal(version)
	if err != nil {
		return nil, err
	}
	fields["version"] = v
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(fields); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// languageHost is in a module of its own since it does not compile against the
// CLI's version of Pulumi's packages.
func (b *Builder) languageHost() (Recipe, error) {
	module := filepath.Join(b.cfg.Repo, "tools", "langhost")
	src, err := Sources(module)
	if err != nil {
		return Recipe{}, err
	}
	return Recipe{
		Name: "pulumi-language-go", Title: "Go language host", Key: Hash(src, "1"),
		Cost: 90 * time.Second, Space: 2 << 30,
		Build: func(ctx context.Context, job *Job) error {
			return job.Run(ctx, goBuild(module, filepath.Join(job.Dir, "pulumi-language-go"),
				"github.com/pulumi/pulumi/sdk/go/pulumi-language-go/v3", "-s -w"))
		},
	}, nil
}

// pulumi is the CLI with the language host beside it, where it looks first.
func (b *Builder) pulumi() (Recipe, error) {
	module := filepath.Join(b.cfg.Repo, "tools", "pulumi")
	src, err := Sources(filepath.Join(module, "go.mod"), filepath.Join(module, "go.sum"))
	if err != nil {
		return Recipe{}, err
	}
	host, err := b.languageHost()
	if err != nil {
		return Recipe{}, err
	}
	return Recipe{
		Name: "pulumi", Title: "pulumi command", Key: Hash(src, host.Key, pulumiVersion, "1"), Needs: []Recipe{host},
		Cost: 70 * time.Second, Space: 2 << 30,
		Build: func(ctx context.Context, job *Job) error {
			err := job.Run(ctx, goBuild(module, filepath.Join(job.Dir, "pulumi"), "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
				"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version="+pulumiVersion))
			if err != nil {
				return err
			}
			const name = "pulumi-language-go"
			return copyFile(filepath.Join(b.store.dir(host), name), filepath.Join(job.Dir, name))
		},
	}, nil
}

// gcpPlugin is the stand-in for GCP.
func (b *Builder) gcpPlugin() (Recipe, error) {
	module := filepath.Join(b.cfg.Repo, "local")
	src, err := Sources(filepath.Join(module, "go.mod"), filepath.Join(module, "go.sum"), filepath.Join(module, "gcp"))
	if err != nil {
		return Recipe{}, err
	}
	return Recipe{
		Name: "pulumi-resource-gcp", Title: "stand-in for GCP", Key: Hash(src, "1"), Cost: 40 * time.Second, Space: 1 << 30,
		Build: func(ctx context.Context, job *Job) error {
			return job.Run(ctx, goBuild(module, filepath.Join(job.Dir, "pulumi-resource-gcp"), "./gcp/cmd/pulumi-resource-gcp", "-s -w"))
		},
	}, nil
}

// goEnv keeps a workspace file of the user out of the builds.
var goEnv = []string{"GOWORK=off"}

func goBuild(module, out, pkg, ldflags string) Command {
	return Command{Dir: module, Env: goEnv, Args: []string{"go", "build", "-buildvcs=false", "-ldflags", ldflags, "-o", out, pkg}}
}

// installed is what the machine has of Pulumi already; empty fields are to be built.
type installed struct {
	bin        string // folder of the CLI and the language host
	kubernetes string // folder of the Kubernetes plugin
}

// oldestPulumi is the oldest minor version 3.x of the CLI that is used when it is
// installed: it knows all that the program's SDK asks for.
const oldestPulumi = 200

// findInstalled looks for a Pulumi that will do. What lies in ours, the cache, is not
// installed: a shell that has `make env` finds it on its PATH, and in its PULUMI_HOME
// links to it.
func findInstalled(ctx context.Context, ours string) installed {
	var have installed
	exe, err := exec.LookPath("pulumi")
	if err != nil {
		return have
	}
	if exe, err = filepath.EvalSymlinks(exe); err != nil {
		return have
	}
	if isBelow(exe, ours) {
		return have
	}
	dir := filepath.Dir(exe)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, "version")
	cmd.Env = append(os.Environ(), "PULUMI_SKIP_UPDATE_CHECK=true")
	out, err := cmd.Output()
	if err != nil || !newEnough(string(out)) || !exists(filepath.Join(dir, "pulumi-language-go")) {
		return have
	}
	have.bin = dir
	home := os.Getenv("PULUMI_HOME")
	if home == "" {
		user, err := os.UserHomeDir()
		if err != nil {
			return have
		}
		home = filepath.Join(user, ".pulumi")
	}
	plugin := filepath.Join(home, "plugins", kubernetesPlugin)
	if file, err := filepath.EvalSymlinks(filepath.Join(plugin, "pulumi-resource-kubernetes")); err == nil && !isBelow(file, ours) && !exists(plugin+".partial") {
		have.kubernetes = filepath.Dir(file)
	}
	return have
}

// isBelow tells whether a file, whose path has no links, is somewhere below a folder.
func isBelow(file, folder string) bool {
	if real, err := filepath.EvalSymlinks(folder); err == nil {
		folder = real
	}
	rel, err := filepath.Rel(folder, file)
	return err == nil && filepath.IsLocal(rel)
}

// newEnough reads what `pulumi version` prints.
func newEnough(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(strings.TrimSpace(version), "v%d.%d", &major, &minor); err != nil {
		return false
	}
	return major == 3 && minor >= oldestPulumi
}
