package config

import (
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Grammar is what may be written for a value: the loader and the schema for
// editors both go by it.
type Grammar struct {
	// Types are JSON's types: "string", "integer".
	Types []string

	// Pattern is a regular expression that Go and JavaScript read alike.
	Pattern string

	// Examples are values that hold.
	Examples []string
}

// scalar is a value that is written as one word.
type scalar interface {
	// set takes over what is written. The error ends a sentence that begins
	// with the text, and holds the way out: `is not a size, give one such as …`.
	set(text string) error

	// Grammar is what may be written.
	Grammar() Grammar
}

const (
	// ProjectName is the pattern of a project's name.
	ProjectName = `^[a-z]([-a-z0-9]{0,51}[a-z0-9])?$`

	// DatabaseName is the pattern of a database's name.
	DatabaseName = `^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`

	dnsLabel        = `[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`
	quantityPattern = `^([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?$`
	spanPattern     = `([0-9]+(ms|y|w|d|h|m|s))+`
)

var (
	str        = []string{"string"}
	wordOrInt  = []string{"string", "integer"}
	wordOrReal = []string{"string", "number"}

	domainGrammar     = Grammar{str, `^(` + dnsLabel + `\.)+` + dnsLabel + `\.?$`, []string{"velodrome.k8s.io"}}
	ipv4Grammar       = Grammar{[]string{"string", "null"}, `^(([0-9]{1,3}\.){3}[0-9]{1,3})?$`, []string{"104.197.200.129"}}
	generationGrammar = Grammar{[]string{"integer"}, `^[1-9][0-9]{0,6}$`, []string{"1"}}
	bytesGrammar      = Grammar{wordOrInt, quantityPattern, []string{"100Gi"}}
	cpuGrammar        = Grammar{wordOrReal, quantityPattern, []string{"500m", "2"}}
	sizeGrammar       = Grammar{str, `^[1-9][0-9]{0,14}(B|KB|MB|GB|TB|PB)$`, []string{"85GB"}}
	durationGrammar   = Grammar{str, `^` + spanPattern + `$`, []string{"35064h", "90d", "4y"}}
	retentionGrammar  = Grammar{wordOrInt, `^(inf|0|` + spanPattern + `)$`, []string{"inf", "90d", "52w", "3y"}}
	pathGrammar       = Grammar{str, `^.+$`, []string{"dashboards/team", "dashboards/home.json"}}
	uidGrammar        = Grammar{str, `^[A-Za-z0-9_-]{1,40}$`, []string{"home"}}
	pluginGrammar     = Grammar{str, `^[a-z0-9]+(-[a-z0-9]+)*(@[0-9A-Za-z][0-9A-Za-z.+-]*)?$`, []string{"grafana-clock-panel", "grafana-clock-panel@2.1.8"}}
	hostPortGrammar   = Grammar{str, `^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?:[0-9]{1,5}$`, []string{"smtp.sendgrid.net:2525"}}
	addressGrammar    = Grammar{str, `^[^@\s<>"]+@[^@\s<>"]+$`, []string{"grafana@k8s.io"}}
	textGrammar       = Grammar{str, `^[^\x00-\x1f\x7f]*$`, []string{"apikey"}}
	analyticsGrammar  = Grammar{[]string{"string", "null"}, `^[A-Za-z0-9-]{0,64}$`, []string{"UA-12345678-9", "G-ABC1234567"}}

	domainRE     = regexp.MustCompile(domainGrammar.Pattern)
	quantityRE   = regexp.MustCompile(quantityPattern)
	sizeRE       = regexp.MustCompile(sizeGrammar.Pattern)
	uidRE        = regexp.MustCompile(uidGrammar.Pattern)
	pluginRE     = regexp.MustCompile(pluginGrammar.Pattern)
	hostPortRE   = regexp.MustCompile(hostPortGrammar.Pattern)
	addressRE    = regexp.MustCompile(addressGrammar.Pattern)
	analyticsRE  = regexp.MustCompile(analyticsGrammar.Pattern)
	generationRE = regexp.MustCompile(generationGrammar.Pattern)
)

// Domain is a DNS name, fully qualified, in lower case, without the dot at its
// end.
type Domain string

// Grammar is what may be written.
func (Domain) Grammar() Grammar { return domainGrammar }

func (d *Domain) set(text string) error {
	name := strings.TrimSuffix(text, ".")
	switch {
	case domainRE.MatchString(strings.ToLower(name)) && name != strings.ToLower(name):
		return fmt.Errorf("has capitals, write %q", strings.ToLower(name))
	case !domainRE.MatchString(name) || len(name) > 253:
		return errors.New("is not a domain name, give one in full, without protocol and path, such as velodrome.k8s.io")
	}
	*d = Domain(name)
	return nil
}

// IPv4 is a public IPv4 address in dotted form; empty: reserve one.
type IPv4 string

// Grammar is what may be written.
func (IPv4) Grammar() Grammar { return ipv4Grammar }

func (ip *IPv4) set(text string) error {
	if text == "" {
		return nil
	}
	const wayOut = "give the public IPv4 address that is reserved for the site, or take the key out to have one reserved"
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return errors.New("is not an IP address, " + wayOut)
	case !a.Is4():
		return errors.New("is not an IPv4 address, " + wayOut)
	case !public(a):
		return errors.New("is not a public address, " + wayOut)
	}
	*ip = IPv4(a.String())
	return nil
}

// notPublic are the blocks of IANA's registry of special-purpose IPv4
// addresses that no load balancer on the Internet can have.
var notPublic = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
	"172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4")

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}

func public(a netip.Addr) bool {
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// Generation counts the rotations of a project's passwords, from 1.
type Generation int

// Grammar is what may be written.
func (Generation) Grammar() Grammar { return generationGrammar }

func (g *Generation) set(text string) error {
	n, err := strconv.Atoi(text)
	if !generationRE.MatchString(text) || err != nil || n > 1_000_000 {
		return errors.New("is not a generation, give a whole number from 1 to 1000000")
	}
	*g = Generation(n)
	return nil
}

// Bytes is a Kubernetes quantity in bytes.
type Bytes string

// Grammar is what may be written.
func (Bytes) Grammar() Grammar { return bytesGrammar }

func (b *Bytes) set(text string) error {
	if _, ok := quantity(text); !ok {
		return errors.New(badBytes(text))
	}
	*b = Bytes(text)
	return nil
}

// Int64 is the number of bytes, rounded up; 0 for what is no quantity.
func (b Bytes) Int64() int64 {
	v, ok := quantity(string(b))
	if !ok {
		return 0
	}
	n := new(big.Int).Add(v.Num(), new(big.Int).Sub(v.Denom(), big.NewInt(1)))
	return n.Div(n, v.Denom()).Int64()
}

var otherUnits = regexp.MustCompile(`^-?([0-9]+(?:\.[0-9]+)?) ?([kKmMgGtTpPeE])[iI]?[bB]?$`)

// badBytes turns the spellings of other tools into Kubernetes' own.
func badBytes(text string) string {
	const say = "is not a size as Kubernetes writes it, "
	if m := otherUnits.FindStringSubmatch(text); m != nil {
		return say + fmt.Sprintf("write %q", m[1]+strings.ToUpper(m[2])+"i")
	}
	return say + `give a number with a unit, such as "100Gi"`
}

// CPU is a Kubernetes quantity in cores.
type CPU string

// Grammar is what may be written.
func (CPU) Grammar() Grammar { return cpuGrammar }

func (c *CPU) set(text string) error {
	v, ok := quantity(text)
	if !ok || v.Cmp(big.NewRat(1, 1000)) < 0 || v.Cmp(big.NewRat(1024, 1)) > 0 {
		return errors.New(`is not a number of cores, give one from 1m to 1024, such as "500m" for half a core`)
	}
	*c = CPU(text)
	return nil
}

// quantity is the value of a Kubernetes quantity that is not negative.
func quantity(text string) (*big.Rat, bool) {
	m := quantityRE.FindStringSubmatch(text)
	if m == nil || len(text) > 32 {
		return nil, false
	}
	digits, suffix := strings.TrimSuffix(m[1], "."), m[3]
	if len(suffix) > 1 && !strings.HasSuffix(suffix, "i") { // an exponent
		digits, suffix = digits+suffix, ""
	}
	v, ok := new(big.Rat).SetString(digits)
	if !ok {
		return nil, false
	}
	return v.Mul(v, scale(suffix)), true
}

// scale is the factor that a quantity's suffix stands for.
func scale(suffix string) *big.Rat {
	if suffix == "" {
		return big.NewRat(1, 1)
	}
	if small := strings.Index("mun", suffix); small >= 0 {
		return new(big.Rat).SetFrac(big.NewInt(1), power(1000, small+1))
	}
	base := 1000
	if strings.HasSuffix(suffix, "i") {
		base = 1024
	}
	return new(big.Rat).SetInt(power(base, 1+strings.Index("KMGTPE", strings.ToUpper(suffix[:1]))))
}

func power(base, n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(int64(base)), big.NewInt(int64(n)), nil)
}

// Size is a size in Prometheus's own grammar, whose units are powers of 1024.
type Size string

// Grammar is what may be written.
func (Size) Grammar() Grammar { return sizeGrammar }

func (s *Size) set(text string) error {
	if !sizeRE.MatchString(text) {
		return errors.New(`is not a size as Prometheus writes it, give a whole number with B, KB, MB, GB, TB or PB (powers of 1024), such as "85GB"`)
	}
	*s = Size(text)
	return nil
}

// bytes is the value of a valid size.
func (s Size) bytes() *big.Int {
	digits := strings.TrimRight(string(s), "BKMGTP")
	v, ok := new(big.Int).SetString(digits, 10)
	if !ok {
		return new(big.Int)
	}
	unit := strings.TrimSuffix(string(s[len(digits):]), "B")
	if unit == "" {
		return v
	}
	return v.Mul(v, power(1024, 1+strings.Index("KMGTP", unit)))
}

// Duration is a positive span of time.
type Duration time.Duration

// Grammar is what may be written.
func (Duration) Grammar() Grammar { return durationGrammar }

// smallestBlock is what Prometheus writes its samples in at least.
const smallestBlock = 2 * time.Hour

func (d *Duration) set(text string) error {
	v, err := model.ParseDuration(text)
	switch {
	case err != nil:
		return errors.New(`is not a duration, give whole numbers with s, m, h, d, w or y, the larger first, such as "90d" or "1y6w"`)
	case time.Duration(v) < smallestBlock:
		return errors.New(`is shorter than Prometheus's smallest block, give "2h" or more`)
	}
	*d = Duration(v)
	return nil
}

// String is the duration as Prometheus writes it, such as 1461d.
func (d Duration) String() string { return model.Duration(d).String() }

// Retention is how long a database keeps its points; 0: for ever.
type Retention time.Duration

// Grammar is what may be written.
func (Retention) Grammar() Grammar { return retentionGrammar }

func (r *Retention) set(text string) error {
	if text == "0" || strings.EqualFold(text, "inf") {
		*r = 0
		return nil
	}
	v, err := model.ParseDuration(text)
	switch {
	case err != nil:
		return errors.New(`is not a duration, give "inf", or whole numbers with s, m, h, d, w or y, the larger first, such as "90d" or "1y6w"`)
	case time.Duration(v) < time.Hour:
		return errors.New(`is shorter than InfluxDB allows, give "1h" or more, or "inf" for ever`)
	case time.Duration(v)%time.Second != 0:
		return errors.New("has a part of a second, give whole seconds")
	}
	*r = Retention(v)
	return nil
}

// String is the retention as InfluxQL writes a duration: whole seconds in the
// largest unit that holds them, or INF.
func (r Retention) String() string {
	if r == 0 {
		return "INF"
	}
	for _, u := range []struct {
		unit string
		span time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}} {
		if time.Duration(r)%u.span == 0 {
			return strconv.FormatInt(int64(time.Duration(r)/u.span), 10) + u.unit
		}
	}
	return strconv.FormatInt(int64(time.Duration(r)/time.Second), 10) + "s"
}

// Path is a path; in what Load returns it is joined to the folder of
// config.yaml.
type Path string

// Grammar is what may be written.
func (Path) Grammar() Grammar { return pathGrammar }

func (p *Path) set(text string) error {
	if text == "" || strings.ContainsRune(text, 0) {
		return errors.New("is not a path, give that of a JSON file or of a folder, relative to config.yaml")
	}
	*p = Path(text)
	return nil
}

// UID is the uid of a Grafana dashboard.
type UID string

// Grammar is what may be written.
func (UID) Grammar() Grammar { return uidGrammar }

func (u *UID) set(text string) error {
	if !uidRE.MatchString(text) {
		return errors.New(`is not the uid of a dashboard, give 1 to 40 letters, digits, "-" and "_"`)
	}
	*u = UID(text)
	return nil
}

// Plugin is a plugin of Grafana's catalogue, `id` or `id@version`.
type Plugin string

// Grammar is what may be written.
func (Plugin) Grammar() Grammar { return pluginGrammar }

func (p *Plugin) set(text string) error {
	if len(text) > 128 || !pluginRE.MatchString(text) {
		return errors.New(`is not a plugin, give its id, or id@version, such as "grafana-clock-panel@2.1.8"`)
	}
	*p = Plugin(text)
	return nil
}

// ID is the plugin's name in Grafana's catalogue.
func (p Plugin) ID() string {
	id, _, _ := strings.Cut(string(p), "@")
	return id
}

// Version is the version to install; empty: the latest.
func (p Plugin) Version() string {
	_, version, _ := strings.Cut(string(p), "@")
	return version
}

// HostPort is `host:port`.
type HostPort string

// Grammar is what may be written.
func (HostPort) Grammar() Grammar { return hostPortGrammar }

func (h *HostPort) set(text string) error {
	_, port, err := net.SplitHostPort(text)
	n, convErr := strconv.Atoi(port)
	if err != nil || convErr != nil || n < 1 || n > 65535 || len(text) > 260 || !hostPortRE.MatchString(text) {
		return errors.New(`is not a server, give host:port, such as "smtp.sendgrid.net:2525"`)
	}
	*h = HostPort(text)
	return nil
}

// Address is a mail address.
type Address string

// Grammar is what may be written.
func (Address) Grammar() Grammar { return addressGrammar }

func (a *Address) set(text string) error {
	if len(text) > 254 || !addressRE.MatchString(text) {
		return errors.New(`is not a mail address, give one without a name, such as "grafana@k8s.io"`)
	}
	*a = Address(text)
	return nil
}

// Text is any text of one line.
type Text string

// Grammar is what may be written.
func (Text) Grammar() Grammar { return textGrammar }

func (t *Text) set(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(text) > 254 {
		return errors.New("is not a text of one line, of at most 254 characters and without control characters")
	}
	*t = Text(text)
	return nil
}

// AnalyticsID is an id of Google Analytics; empty: none.
type AnalyticsID string

// Grammar is what may be written.
func (AnalyticsID) Grammar() Grammar { return analyticsGrammar }

func (a *AnalyticsID) set(text string) error {
	if !analyticsRE.MatchString(text) {
		return errors.New(`is not an id of Google Analytics, give one such as "UA-12345678-9" or "G-ABC1234567", or nothing`)
	}
	*a = AnalyticsID(text)
	return nil
}

// Ignored is a key that old files have and that means nothing any more.
type Ignored struct{}
