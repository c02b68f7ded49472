// Package config reads config.yaml, the one file in which a Velodrome's
// projects are declared, and reports every fault in it at once.
package config

// Options are what the stack knows and the file does not.
type Options struct {
	// Zone is the DNS name of the stack's managed zone, such as `k8s.io.`.
	// Empty: there is none, and no domain is compared with it.
	Zone string

	// Only names the projects that the stack includes (`velodrome:projects`).
	// Empty: all. The whole file is checked all the same.
	Only []string
}

// Config is a file that is sound, with every default filled in.
type Config struct {
	// Projects by name, in the order of their names.
	Projects []Project

	// Warnings are what the user should know of, though it does not stop them.
	Warnings []string
}
