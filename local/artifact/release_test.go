package artifact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// archive makes a compressed tar of small programs.
func archive(t *testing.T, names ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	tw := tar.NewWriter(z)
	for _, n := range names {
		if err := tw.WriteHeader(&tar.Header{Name: n, Mode: 0o755, Size: int64(len(n)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestPulumiIsDownloadedWhereItsPublisherAnswers(t *testing.T) {
	command, plugin := releasedCommand(), releasedKubernetes()
	files := map[string][]byte{
		"/" + command.path: archive(t, "pulumi/pulumi", "pulumi/pulumi-language-go", "pulumi/nested/other", "pulumi/../../../outside"),
		"/" + plugin.path:  archive(t, "LICENSE", "pulumi-resource-kubernetes"),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if _, err := w.Write(b); err != nil && r.Method == http.MethodGet {
			t.Error(err)
		}
	}))
	defer server.Close()
	b := newBuilderForTest(t)
	b.releases = server.URL
	names := func() (out []string) {
		rs, err := b.toolRecipes(t.Context(), installed{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rs {
			out = append(out, r.Name)
		}
		return out
	}
	want := []string{"pulumi-resource-kubernetes-release", "pulumi-release", "pulumi-resource-gcp"}
	if diff := cmp.Diff(want, names()); diff != "" {
		t.Error(diff)
	}
	rs, err := b.toolRecipes(t.Context(), installed{})
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := b.store.EnsureAll(t.Context(), rs[:2], 2)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{
		filepath.Join(dirs["pulumi-release"], "pulumi"):                                         "pulumi/pulumi",
		filepath.Join(dirs["pulumi-release"], "pulumi-language-go"):                             "pulumi/pulumi-language-go",
		filepath.Join(dirs["pulumi-resource-kubernetes-release"], "pulumi-resource-kubernetes"): "pulumi-resource-kubernetes",
	} {
		got, err := os.ReadFile(at)
		if err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v", at, got, err)
		}
		if info, err := os.Stat(at); err == nil && info.Mode().Perm()&0o111 == 0 {
			t.Errorf("%s can't be run", at)
		}
	}
	// Later the network may be gone.
	server.Close()
	if diff := cmp.Diff(want, names()); diff != "" {
		t.Error(diff)
	}
}

func TestPulumiIsBuiltWhereItsPublisherDoesNotAnswer(t *testing.T) {
	b := newBuilderForTest(t)
	rs, err := b.toolRecipes(t.Context(), installed{})
	if err != nil {
		t.Fatal(err)
	}
	todo, err := b.store.missing(t.Context(), rs, map[string]string{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range todo {
		got = append(got, r.Name)
	}
	// The plugin comes before the command, which shares most of its packages.
	want := []string{"pulumi-resource-kubernetes", "pulumi-language-go", "pulumi", "pulumi-resource-gcp"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestIncompleteDownloadIsNotTakenForPulumi(t *testing.T) {
	for _, c := range []struct {
		name string
		body []byte
		want string
	}{
		{"cut short", archive(t, "pulumi/pulumi", "pulumi/pulumi-language-go")[:60], "unpack " + releasedCommand().path + ": unexpected EOF"},
		{"another archive", archive(t, "pulumi/pulumi"), releasedCommand().path + " has no pulumi-language-go"},
		{"a page", []byte("<html>log in to the network</html>"), "unpack " + releasedCommand().path + ": gzip: invalid header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(c.body) }))
			defer server.Close()
			b := newBuilderForTest(t)
			b.releases = server.URL
			_, err := b.store.Ensure(t.Context(), b.download(Recipe{Name: "pulumi", Title: "pulumi command"}, releasedCommand()))
			want := "building the pulumi command failed: " + c.want + "\nThe whole log is in " + filepath.Join(b.cfg.Cache, "log", "pulumi-release.log") + "; the next run continues from what is built."
			if err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}
