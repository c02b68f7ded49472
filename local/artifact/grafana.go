package artifact

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Grafana is in no distribution's packages, and its module on the Go proxy is an
// untagged commit shortly before 10.0: the newest that is complete enough to build.
const (
	grafanaModule  = "github.com/grafana/grafana"
	grafanaCommit  = "v1.9.2-0.20230609164553-81d85ce8028d"
	grafanaVersion = "10.0.0-preview"
	wireCommand    = "github.com/google/wire/cmd/wire@v0.7.0"
)

//go:embed files/webpack.js
var webpackDriver string

// grafanaServer is the one binary.
func (b *Builder) grafanaServer() Recipe {
	compiler := b.compiler()
	return Recipe{
		Name: "grafana-server", Title: "Grafana server", Key: Hash(grafanaCommit, wireCommand, "1"), Cost: 4 * time.Minute, Space: 4 << 30, Needs: compiler.needs,
		Build: func(ctx context.Context, job *Job) error {
			src, err := grafanaSource(ctx, job)
			if err != nil {
				return err
			}
			job.Step("generating its wiring")
			bin := filepath.Join(job.Work, "bin")
			env := append([]string{"GOBIN=" + bin, "GOFLAGS=-mod=mod"}, goEnv...)
			steps := []Command{
				{Dir: job.Work, Env: append([]string{"GOBIN=" + bin}, goEnv...), Args: []string{"go", "install", wireCommand}},
				{Dir: src, Env: env, Args: []string{filepath.Join(bin, "wire"), "gen", "-tags", "oss", "./pkg/server"}},
			}
			for _, c := range steps {
				if err := job.Run(ctx, c); err != nil {
					return err
				}
			}
			job.Step("building")
			// SQLite is C.
			env = append(append(env, "CGO_ENABLED=1"), compiler.env()...)
			return job.Run(ctx, Command{Dir: src, Env: env, Args: []string{"go", "build", "-buildvcs=false", "-tags", "oss",
				"-ldflags", "-s -w -X main.version=" + grafanaVersion, "-o", filepath.Join(job.Dir, "grafana"), "./pkg/cmd/grafana"}})
		},
	}
}

// grafanaSource brings a copy of Grafana's module that can be written to.
func grafanaSource(ctx context.Context, job *Job) (string, error) {
	job.Step("downloading")
	out, err := job.Output(ctx, Command{Dir: job.Work, Env: goEnv, Args: []string{"go", "mod", "download", "-json", grafanaModule + "@" + grafanaCommit}})
	if err != nil {
		fmt.Fprintln(job.Log, out)
		return "", err
	}
	dir := regexp.MustCompile(`"Dir": "([^"]+)"`).FindStringSubmatch(out)
	if dir == nil {
		return "", errors.New("the go command did not say where it put Grafana's source")
	}
	src := filepath.Join(job.Work, "grafana")
	if err := copyTree(dir[1], src); err != nil {
		return "", fmt.Errorf("copy Grafana's source: %w", err)
	}
	return src, nil
}

// copyTree copies regular files and folders, so that their owner may write to them.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		at := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(at, 0o755)
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return os.WriteFile(at, b, 0o644)
	})
}

// grafanaWeb is the web page and the files that the server reads.
func (b *Builder) grafanaWeb() Recipe {
	node := b.node()
	return Recipe{
		Name: "grafana-web", Title: "Grafana web page", Key: Hash(grafanaCommit, webpackDriver, "1"), Cost: 4 * time.Minute, Space: 5 << 30, Needs: node.needs,
		Build: func(ctx context.Context, job *Job) error {
			src, err := grafanaSource(ctx, job)
			if err != nil {
				return err
			}
			if err := mendWebSource(src); err != nil {
				return fmt.Errorf("prepare the sources of Grafana's web page: %w", err)
			}
			driver := filepath.Join(src, "scripts", "webpack", "velodrome.js")
			if err := os.WriteFile(driver, []byte(webpackDriver), 0o644); err != nil {
				return err
			}
			run := func(args ...string) error {
				return job.Run(ctx, Command{Dir: src, Env: append(b.yarnEnv(), node.env()...), Args: append(slices.Clone(node.command), args...)})
			}
			job.Step("downloading its libraries")
			if err := run(".yarn/releases/yarn-3.4.1.cjs", "install", "--mode=skip-build"); err != nil {
				return err
			}
			job.Step("building")
			// As "yarn node" does, but in one process, so that none is left if this one is killed.
			if err := run("--require", "./.pnp.cjs", "--experimental-loader", "./.pnp.loader.mjs", driver); err != nil {
				return err
			}
			job.Step("collecting")
			return collectGrafana(src, job.Dir)
		},
	}
}

// yarnEnv keeps what yarn downloads in the cache, for a build that was interrupted.
func (b *Builder) yarnEnv() []string {
	return []string{
		"YARN_GLOBAL_FOLDER=" + filepath.Join(b.cfg.Cache, npmName), "YARN_ENABLE_GLOBAL_CACHE=true",
		// Two libraries are named by address in the lock file; the registry has them by version.
		"YARN_ENABLE_IMMUTABLE_INSTALLS=false",
		"YARN_ENABLE_TELEMETRY=false", "YARN_ENABLE_PROGRESS_BARS=false", "YARN_ENABLE_COLORS=false",
		"NODE_ENV=production", "NODE_OPTIONS=--max-old-space-size=6144",
	}
}

// byAddress are libraries that package.json names by an address outside the
// registry, and versions of them that the registry has.
var byAddress = map[string]string{"tether-drop": "1.4.2", "xlsx": "0.18.5"}

// workspaces are the parts of the repository that the page is made of. The others
// are for Grafana's developers.
var workspaces = []string{"packages/grafana-data", "packages/grafana-e2e-selectors", "packages/grafana-runtime", "packages/grafana-schema", "packages/grafana-ui"}

// buildTools are the development dependencies that a build runs. The others, for
// tests, checks and documentation, are three quarters of all there is to download.
var buildTools = []string{"@babel/runtime", "@grafana/tsconfig", "autoprefixer", "blob-polyfill", "browserslist", "common-tags", "copy-webpack-plugin",
	"css-loader", "css-minimizer-webpack-plugin", "csstype", "esbuild", "esbuild-loader", "esbuild-plugin-browserslist", "expose-loader", "html-loader",
	"html-webpack-plugin", "lodash", "mini-css-extract-plugin", "ngtemplate-loader", "postcss", "postcss-loader", "react", "react-dom",
	"react-simple-compat", "rudder-sdk-js", "sass", "sass-loader", "style-loader", "webpack", "webpack-manifest-plugin", "webpack-merge"}

// trimPackage rewrites a package.json: what is only for development goes, what has
// an address gets a version. The lock file still decides all other versions.
func trimPackage(file string, root bool) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	for _, kind := range []string{"dependencies", "devDependencies"} {
		list, _ := fields[kind].(map[string]any)
		for name := range list {
			if version, ok := byAddress[name]; ok {
				list[name] = version
			}
			if kind == "devDependencies" && !slices.Contains(buildTools, name) {
				delete(list, name)
			}
		}
	}
	if root {
		fields["workspaces"] = map[string]any{"packages": workspaces}
	}
	if b, err = json.MarshalIndent(fields, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// leftOut are scripts that a Go module leaves out, since they are in folders called
// vendor. Only the parts of Grafana that are written for AngularJS run them, and
// those are off; the build only wants them to be there.
var leftOut = []string{"bootstrap/bootstrap.js", "tagsinput/bootstrap-tagsinput.js",
	"flot/jquery.flot.js", "flot/jquery.flot.dashes.js", "flot/jquery.flot.stackpercent.js", "flot/jquery.flot.selection.js", "flot/jquery.flot.time.js",
	"flot/jquery.flot.fillbelow.js", "flot/jquery.flot.stack.js", "flot/jquery.flot.crosshair.js", "flot/jquery.flot.gauge.js"}

// mendWebSource makes the changes that the module's copy of the sources needs.
func mendWebSource(src string) error {
	if err := trimPackage(filepath.Join(src, "package.json"), true); err != nil {
		return err
	}
	for _, w := range workspaces {
		if err := trimPackage(filepath.Join(src, w, "package.json"), false); err != nil {
			return err
		}
	}
	for _, f := range leftOut {
		at := filepath.Join(src, "public", "vendor", f)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, []byte("// Left out: see leftOut in local/artifact.\n"), 0o644); err != nil {
			return err
		}
	}
	// The file of PostCSS settings is left out too. It names one plugin that matters.
	return edit(filepath.Join(src, "scripts", "webpack", "sass.rule.js"), regexp.MustCompile(`config: path\.resolve\(__dirname\)`),
		`config: false, plugins: [require('autoprefixer')]`)
}

// edit replaces what matches in a file, and fails if nothing does.
func edit(file string, what *regexp.Regexp, by string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !what.Match(b) {
		return fmt.Errorf("%s has no %s", filepath.Base(file), what)
	}
	return os.WriteFile(file, what.ReplaceAll(b, []byte(by)), 0o644)
}

// collectGrafana copies what the server reads at run time: its default settings and
// the public folder without the TypeScript.
func collectGrafana(src, to string) error {
	return errors.Join(
		copyTree(filepath.Join(src, "conf"), filepath.Join(to, "conf")),
		filepath.WalkDir(filepath.Join(src, "public"), func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(src, p)
			if err != nil {
				return err
			}
			if d.IsDir() {
				switch rel {
				case "public/test", "public/sass", "public/vendor":
					return filepath.SkipDir
				}
				return nil
			}
			if !servedFile(rel) {
				return nil
			}
			at := filepath.Join(to, rel)
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				return err
			}
			return copyFile(p, at)
		}),
	)
}

// servedFile says whether the server, or a browser through it, asks for the file.
func servedFile(rel string) bool {
	switch filepath.Ext(rel) {
	case ".map", ".ts", ".tsx", ".scss", ".snap":
		return false
	}
	// Of the sources of the page only the descriptions and pictures of plugins are read.
	return !strings.HasPrefix(rel, "public/app/") || strings.HasPrefix(rel, "public/app/plugins/")
}

// grafanaPart is the image.
func (b *Builder) grafanaPart() part {
	server, web := b.grafanaServer(), b.grafanaWeb()
	const home = "/usr/share/grafana"
	return part{
		name: "grafana", version: func(unpacked) string { return grafanaVersion }, needs: []Recipe{server, web}, cost: 5 * time.Second,
		fill: func(u unpacked, t tree) error {
			t.accounts(account{"grafana", 472, home})
			t.file("run.sh", grafanaEntrypoint, 0o755)
			t.file("etc/grafana/grafana.ini", "# Settings come from GF_ variables or from a file that is mounted here.\n", 0o644)
			for _, d := range []string{"datasources", "dashboards", "notifiers", "plugins", "access-control", "alerting"} {
				t.dir("etc/grafana/provisioning/"+d, open)
			}
			for _, d := range []string{"var/lib/grafana", "var/lib/grafana/plugins", "var/log/grafana"} {
				t.dir(d, open)
			}
			from := b.store.dir(web)
			bin := filepath.Join(b.store.dir(server), "grafana")
			t.take(home+"/bin/grafana", bin, 0o755)
			return firstError(u.libraries(t, bin), u.shell(t), u.certificates(t), u.zones(t),
				t.takeDir(clean(home+"/conf"), filepath.Join(from, "conf")), t.takeDir(clean(home+"/public"), filepath.Join(from, "public")))
		},
		config: v1.Config{User: "472:0", WorkingDir: home, Entrypoint: []string{"/run.sh"}, ExposedPorts: ports("3000/tcp"),
			Env: []string{"PATH=" + home + "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
				"GF_PATHS_CONFIG=/etc/grafana/grafana.ini", "GF_PATHS_DATA=/var/lib/grafana", "GF_PATHS_HOME=" + home, "GF_PATHS_LOGS=/var/log/grafana",
				"GF_PATHS_PLUGINS=/var/lib/grafana/plugins", "GF_PATHS_PROVISIONING=/etc/grafana/provisioning",
				// The page's parts for AngularJS are not in this build.
				"GF_SECURITY_ANGULAR_SUPPORT_ENABLED=false"}},
	}
}
