package components

// Namespace returns the namespace of a project, at most 63 characters (RFC 1123),
// which leaves 53 for the project's name.
func Namespace(project string) string { return "velodrome-" + project }

// AddressName returns the name of a project's static IP in GCP, a regional
// compute.Address: at most 63 characters (RFC 1035).
func AddressName(project string) string { return "velodrome-" + project }
