package artifact

import (
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func newBuilderForTest(t *testing.T) *Builder {
	t.Helper()
	b, err := New(Config{Repo: filepath.Join("..", ".."), Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	// Port 1 of this machine: no test may reach the network.
	b.releases = "http://127.0.0.1:1"
	b.official = map[string]string{}
	return b
}

func TestOfficialImageIsTakenWhereARegistryAnswers(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	ref := strings.TrimPrefix(server.URL, "http://") + "/influxdb:1.12.4"
	want, err := random.Image(100, 2)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, want); err != nil {
		t.Fatal(err)
	}
	b := newBuilderForTest(t)
	b.official = map[string]string{"influxdb": ref}
	images, err := b.Images(t.Context(), "influxdb")
	if err != nil {
		t.Fatal(err)
	}
	if len(images) != 1 || images[0].Part != "influxdb" || !strings.HasPrefix(images[0].Ref, "velodrome.local/influxdb:1.12.4-") {
		t.Fatalf("got %+v", images)
	}
	// What was fetched once is used without the registry.
	server.Close()
	again, err := b.Images(t.Context(), "influxdb")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(images, again); diff != "" {
		t.Error(diff)
	}
}

func TestImageIsBuiltWhereNoRegistryAnswers(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	host := strings.TrimPrefix(server.URL, "http://")
	defer server.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	for what, ref := range map[string]string{
		"the registry lacks the image": host + "/influxdb:1.12.4",
		"no one listens":               strings.TrimPrefix(closed.URL, "http://") + "/influxdb:1.12.4",
	} {
		t.Run(what, func(t *testing.T) {
			b := newBuilderForTest(t)
			b.official = map[string]string{"influxdb": ref}
			rs, err := b.imageRecipes(t.Context(), []string{"influxdb"})
			if err != nil {
				t.Fatal(err)
			}
			if len(rs) != 1 || rs[0].Name != "image-influxdb" {
				t.Errorf("got %v", rs[0].Name)
			}
		})
	}
}

// The program's list is read as source; this fails when it takes another form.
func TestEveryPinnedImageOfTheProgramIsFound(t *testing.T) {
	refs, err := officialRefs(filepath.Join("..", "..", "components", "images.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range partOfField {
		if _, err := name.ParseReference(refs[part]); err != nil {
			t.Errorf("%s: %q: %v", part, refs[part], err)
		}
	}
}

func TestUnknownImageIsRefused(t *testing.T) {
	_, err := newBuilderForTest(t).Images(t.Context(), "mysql")
	want := `there is no image "mysql"; there are influxdb, prometheus, blackbox, nginx, pause, grafana`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
