// Command pulumi-resource-kubernetes is Pulumi's own Kubernetes provider, built
// from its Go module. The provider's main package cannot be built from there,
// since it embeds files that its release build generates; what it does is three lines.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-kubernetes:", err)
		os.Exit(1)
	}
}

// serve reads the schema and the Terraform mapping from beside the executable,
// where the build puts them: they are 20 MB and belong to the provider's module.
func serve() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	schema, err := os.ReadFile(filepath.Join(filepath.Dir(exe), "schema.json"))
	if err != nil {
		return err
	}
	mapping, err := os.ReadFile(filepath.Join(filepath.Dir(exe), "terraform-mapping.json"))
	if err != nil {
		return err
	}
	provider.Serve("kubernetes", version.Version, schema, mapping)
	return nil
}
