// Command pulumi-resource-gcp is the Pulumi plugin "gcp" over Velodrome's
// stand-in for Google Cloud. Pulumi starts it; it prints its port and serves
// until Pulumi ends it.
package main

import (
	"fmt"
	"os"

	"velodrome/local/gcp"
)

func main() {
	if err := gcp.Serve(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-gcp:", err)
		os.Exit(1)
	}
}
