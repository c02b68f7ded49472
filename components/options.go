package components

import (
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// with returns opts and more in a slice of its own: append alone could write into
// the caller's array, and one resource's options would show up at another's.
func with(opts []pulumi.ResourceOption, more ...pulumi.ResourceOption) []pulumi.ResourceOption {
	return slices.Concat(opts, more)
}
