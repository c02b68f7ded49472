// Command velodrome is the Pulumi program that declares every project of config.yaml.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"velodrome/stack"
)

func main() {
	pulumi.Run(stack.Deploy)
}
