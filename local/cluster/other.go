//go:build !linux

package cluster

import "context"

// Check says that this is not Linux.
func Check(Config) error { return ErrUnsupported }

// Start needs Linux.
func Start(context.Context, Config) error { return ErrUnsupported }

// Stop needs Linux.
func Stop(context.Context, Config) error { return ErrUnsupported }

// Remove needs Linux.
func Remove(context.Context, Config, bool) error { return ErrUnsupported }

// Get needs Linux.
func Get(Config) (Status, error) { return Status{}, ErrUnsupported }

// RunHelper needs Linux.
func RunHelper([]string) error { return ErrUnsupported }
