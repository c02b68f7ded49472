package gcp

import (
	"fmt"
	"io"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// Serve runs the plugin over the store at DefaultPath, tells its port on out, as
// Pulumi expects of a plugin, and returns when it fails.
func Serve(out io.Writer) error {
	path, err := DefaultPath()
	if err != nil {
		return err
	}
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Init: func(srv *grpc.Server) error {
			pulumirpc.RegisterResourceProviderServer(srv, NewProvider(Open(path)))
			return nil
		},
	})
	if err != nil {
		return fmt.Errorf("serve the plugin: %w", err)
	}
	if _, err := fmt.Fprintln(out, handle.Port); err != nil {
		return fmt.Errorf("tell Pulumi the port: %w", err)
	}
	return <-handle.Done
}
