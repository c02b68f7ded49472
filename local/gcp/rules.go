package gcp

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// The patterns and the values in this file are those of Google's discovery
// documents; a test holds them against testdata/discovery.json.
const (
	namePattern    = `[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?`
	regionPattern  = `[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?`
	projectPattern = `(?:(?:[-a-z0-9]{1,63}\.)*(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?):)?(?:[0-9]{1,19}|(?:[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?))`
)

// Labels have no pattern in the discovery documents; the rule is the one that
// Google's error messages state.
const (
	labelKeyPattern   = `[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}`
	labelValuePattern = `[\p{Ll}\p{Lo}\p{N}_-]{0,63}`
	maxLabels         = 64
)

var (
	nameRule       = whole(namePattern)
	regionRule     = whole(regionPattern)
	projectRule    = whole(projectPattern)
	labelKeyRule   = whole(labelKeyPattern)
	labelValueRule = whole(labelValuePattern)

	// realRegion is what the names of GCP's regions look like (us-central1,
	// northamerica-northeast2). Their list grows, so that none is kept here.
	realRegion = regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+$`)

	addressTypes = []string{"EXTERNAL", "INTERNAL"}
	networkTiers = []string{"PREMIUM", "STANDARD"}
	ipVersions   = []string{"IPV4", "IPV6"}
	endpoints    = []string{"VM", "NETLB"}

	// recordTypes are those of Cloud DNS that the DNS library can hold as well
	// (Cloud DNS has ALIAS and IPSECVPNKEY besides).
	recordTypes = []string{"A", "AAAA", "CAA", "CNAME", "DNSKEY", "DS", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA", "SPF", "SRV", "SSHFP", "SVCB", "TLSA", "TXT"}
)

func whole(pattern string) *regexp.Regexp {
	return regexp.MustCompile(`^(?:` + pattern + `)$`)
}

// APIError is a refusal in the words of Google's API, as its Go client prints it.
type APIError struct {
	Code    int
	Message string
	Reason  string
}

func (e *APIError) Error() string {
	return fmt.Sprintf("googleapi: Error %d: %s, %s", e.Code, e.Message, e.Reason)
}

func invalid(format string, args ...any) *APIError {
	return &APIError{400, fmt.Sprintf(format, args...), "invalid"}
}

func invalidPattern(field, value, pattern string) *APIError {
	return invalid("Invalid value for field '%s': '%s'. Must be a match of regex '(?:%s)'", field, value, pattern)
}

func alreadyExists(resource string) *APIError {
	return &APIError{409, fmt.Sprintf("The resource '%s' already exists", resource), "alreadyExists"}
}

func notFound(resource string) *APIError {
	return &APIError{404, fmt.Sprintf("The resource '%s' was not found", resource), "notFound"}
}

func quotaExceeded(quota int, region string) *APIError {
	return &APIError{403, fmt.Sprintf("Quota 'STATIC_ADDRESSES' exceeded.  Limit: %.1f in region %s.", float64(quota), region), "quotaExceeded"}
}

func addressInUse(address, user string) *APIError {
	return &APIError{400, fmt.Sprintf("The address resource '%s' is already being used by '%s'", address, user), "resourceInUseByAnotherResource"}
}

func ipInUse(ip string) *APIError {
	return &APIError{400, fmt.Sprintf("IP '%s' is already being used by another resource.", ip), "ipInUseByAnotherResource"}
}

func checkProject(project string) error {
	if !projectRule.MatchString(project) {
		return invalidPattern("project", project, projectPattern)
	}
	return nil
}

func checkRegion(region string) error {
	switch {
	case !regionRule.MatchString(region):
		return invalidPattern("region", region, regionPattern)
	case !realRegion.MatchString(region):
		return invalid("Invalid value for field 'region': '%s'. Unknown region.", region)
	}
	return nil
}

func checkName(name string) error {
	if !nameRule.MatchString(name) {
		return invalidPattern("resource.name", name, namePattern)
	}
	return nil
}

func checkLabels(labels map[string]string) error {
	const bound = " can only contain lowercase letters, numeric characters, underscores and dashes."
	const rest = " can be at most 63 characters long. International characters are allowed."
	if len(labels) > maxLabels {
		return invalid("Invalid value for field 'resource.labels': ''. The number of labels must be at most %d.", maxLabels)
	}
	for _, k := range sortedKeys(labels) {
		if !labelKeyRule.MatchString(k) {
			return invalid("Invalid value for field 'resource.labels': ''. Label key '%s' violates format constraints. The key must start with a lowercase character,%s The key%s", k, bound, rest)
		}
		if !labelValueRule.MatchString(labels[k]) {
			return invalid("Invalid value for field 'resource.labels': ''. Label value '%s' violates format constraints. The value%s The value%s", labels[k], bound, rest)
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// given are the ranges from which the stand-in hands out addresses: those kept
// for documentation, which no host on the internet has, so that a packet that
// strays from this machine reaches nobody. No two of their addresses share
// the last three octets.
var given = []netip.Prefix{
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
}

// reserved are the IPv4 ranges that are unicast by their bits and yet public to
// nobody (the private, loopback and link-local ones are known to netip).
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
}

// checkExternal parses an address that someone asks for by number.
func checkExternal(address string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return ip, invalid("Invalid value for field 'resource.address': '%s'. Must be a valid IP address.", address)
	}
	public := ip.Is4() && ip.IsGlobalUnicast() && !ip.IsPrivate() &&
		!slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(ip) })
	if !public {
		return ip, invalid("Invalid value for field 'resource.address': '%s'. Must be an external IPv4 address.", address)
	}
	return ip, nil
}

// Loopback is where this machine serves the address A.B.C.D: 127.B.C.D.
func Loopback(address string) (string, error) {
	ip, err := netip.ParseAddr(address)
	if err != nil || !ip.Is4() {
		return "", fmt.Errorf("%q is not an IPv4 address", address)
	}
	b := ip.As4()
	b[0] = 127
	return netip.AddrFrom4(b).String(), nil
}

// lastSegment is the name in a link or a path, and a bare name itself.
func lastSegment(link string) string {
	return link[strings.LastIndexByte(link, '/')+1:]
}
