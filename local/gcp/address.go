package gcp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// computeLink is the base of the links of Compute Engine.
const computeLink = "https://www.googleapis.com/compute/v1/"

// Address is a regional static external IPv4 address.
type Address struct {
	Project     string            `json:"project"`
	Region      string            `json:"region"`
	Name        string            `json:"name"`
	Address     string            `json:"address"`
	NetworkTier string            `json:"networkTier"`
	IPVersion   string            `json:"ipVersion,omitempty"`
	Description string            `json:"description,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Created     time.Time         `json:"created"`
	// Users are the Services that are served at the address, as namespace/name.
	Users []string `json:"users,omitempty"`
}

// Ephemeral is an address that a Service has without a reservation: it goes
// when the Service goes, unless it is reserved (promoted) before.
type Ephemeral struct {
	Address string `json:"address"`
	User    string `json:"user"`
}

// ID is the path of the address, unique in the store.
func (a Address) ID() string {
	return fmt.Sprintf("projects/%s/regions/%s/addresses/%s", a.Project, a.Region, a.Name)
}

// SelfLink is the URL of the address.
func (a Address) SelfLink() string { return computeLink + a.ID() }

// Status is IN_USE while something is served at the address, else RESERVED.
func (a Address) Status() string {
	if len(a.Users) > 0 {
		return "IN_USE"
	}
	return "RESERVED"
}

// UserLinks are the URLs of the forwarding rules that use the address.
func (a Address) UserLinks() []string {
	links := make([]string, len(a.Users))
	for i, u := range a.Users {
		links[i] = computeLink + a.forwardingRule(u)
	}
	return links
}

// forwardingRule names the rule that serves a Service. GKE calls it by a hash;
// here it can be read.
func (a Address) forwardingRule(user string) string {
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(user))
	return fmt.Sprintf("projects/%s/regions/%s/forwardingRules/%s", a.Project, a.Region, readable)
}

// CreationTimestamp is the time of the reservation as Compute Engine prints it.
func (a Address) CreationTimestamp() string {
	return a.Created.In(time.FixedZone("", -8*60*60)).Format("2006-01-02T15:04:05.000-07:00")
}

// LabelFingerprint changes with each change of the labels.
func (a Address) LabelFingerprint() (string, error) {
	b, err := json.Marshal(nonNil(a.Labels))
	if err != nil {
		return "", fmt.Errorf("encode the labels of %s: %w", a.ID(), err)
	}
	sum := sha256.Sum256(b)
	return base64.StdEncoding.EncodeToString(sum[:8]), nil
}

// Addresses are all the reserved addresses, ordered by project, region and name.
func (s *Store) Addresses() ([]Address, error) {
	st, err := s.read()
	if err != nil {
		return nil, err
	}
	return st.Addresses, nil
}

// Address looks one address up; absent is a 404.
func (s *Store) Address(project, region, name string) (Address, error) {
	st, err := s.read()
	if err != nil {
		return Address{}, err
	}
	i := st.address(project, region, name)
	if i < 0 {
		return Address{}, notFound(Address{Project: project, Region: region, Name: name}.ID())
	}
	return st.Addresses[i], nil
}

func (st *state) address(project, region, name string) int {
	return slices.IndexFunc(st.Addresses, func(a Address) bool {
		return a.Project == project && a.Region == region && a.Name == name
	})
}

// Reserve makes a static address. With want.Address empty it takes a free one;
// else it takes that very one, which must not be reserved under another name.
// One that a Service has as its ephemeral address is promoted.
func (s *Store) Reserve(want Address) (Address, error) {
	err := s.change(func(st *state) error {
		a, err := st.reserve(want)
		want = a
		return err
	})
	return want, err
}

func (st *state) reserve(a Address) (Address, error) {
	if err := checkAddress(a); err != nil {
		return a, err
	}
	if st.address(a.Project, a.Region, a.Name) >= 0 {
		return a, alreadyExists(a.ID())
	}
	if a.Address != "" {
		if err := st.available(a.Address); err != nil {
			return a, err
		}
	}
	if st.held(a.Project, a.Region) >= st.quota() {
		return a, quotaExceeded(st.quota(), a.Region)
	}
	if a.Address == "" {
		ip, err := st.next()
		if err != nil {
			return a, err
		}
		a.Address = ip
	}
	if a.NetworkTier == "" {
		a.NetworkTier = "PREMIUM"
	}
	a.Users = nil
	st.Ephemeral = slices.DeleteFunc(st.Ephemeral, func(e Ephemeral) bool {
		if e.Address != a.Address {
			return false
		}
		a.Users = append(a.Users, e.User)
		return true
	})
	a.Created = time.Now().UTC()
	a.Labels = maps.Clone(a.Labels)
	st.Addresses = append(st.Addresses, a)
	return a, nil
}

// checkAddress holds the rules that need no state.
func checkAddress(a Address) error {
	if err := checkProject(a.Project); err != nil {
		return err
	}
	if err := checkRegion(a.Region); err != nil {
		return err
	}
	if err := checkName(a.Name); err != nil {
		return err
	}
	if err := checkLabels(a.Labels); err != nil {
		return err
	}
	if a.NetworkTier != "" && !slices.Contains(networkTiers, a.NetworkTier) {
		return invalid("Invalid value for field 'resource.networkTier': '%s'. Must be one of [%s].", a.NetworkTier, strings.Join(networkTiers, ", "))
	}
	return nil
}

// held counts the static addresses of a project in a region.
func (st *state) held(project, region string) int {
	n := 0
	for _, a := range st.Addresses {
		if a.Project == project && a.Region == region {
			n++
		}
	}
	return n
}

// available tells whether an address that is asked for by number can be had.
func (st *state) available(address string) error {
	ip, err := checkExternal(address)
	if err != nil {
		return err
	}
	for _, a := range st.Addresses {
		if a.Address == address {
			return invalid("Invalid value for field 'resource.address': '%s'.  Specified IP address is already reserved.", address)
		}
	}
	for _, taken := range st.taken() {
		if taken != ip && tail(taken) == tail(ip) {
			return invalid("Invalid value for field 'resource.address': '%s'. On this machine it would share a loopback address with %s, since their last three numbers are the same", address, taken)
		}
	}
	return nil
}

// taken are all the addresses that something has.
func (st *state) taken() []netip.Addr {
	var all []netip.Addr
	add := func(address string) {
		if ip, err := netip.ParseAddr(address); err == nil && ip.Is4() {
			all = append(all, ip)
		}
	}
	for _, a := range st.Addresses {
		add(a.Address)
	}
	for _, e := range st.Ephemeral {
		add(e.Address)
	}
	return all
}

// tail is the part of an address that tells its loopback address from others.
func tail(ip netip.Addr) [3]byte {
	b := ip.As4()
	return [3]byte(b[1:])
}

// next hands out a free address, the one least recently handed out first.
func (st *state) next() (string, error) {
	used := map[[3]byte]bool{}
	for _, ip := range st.taken() {
		used[tail(ip)] = true
	}
	const each = 254 // without the network and the broadcast address
	for range len(given) * each {
		n := st.Handed % (len(given) * each)
		st.Handed++
		b := given[n/each].Addr().As4()
		b[3] = byte(n%each + 1)
		ip := netip.AddrFrom4(b)
		if !used[tail(ip)] {
			return ip.String(), nil
		}
	}
	return "", fmt.Errorf("the stand-in for GCP has handed out all of its %d addresses; delete addresses that nobody needs", len(given)*each)
}

// SetLabels replaces the labels of an address.
func (s *Store) SetLabels(project, region, name string, labels map[string]string) (Address, error) {
	var a Address
	err := s.change(func(st *state) error {
		i := st.address(project, region, name)
		if i < 0 {
			return notFound(Address{Project: project, Region: region, Name: name}.ID())
		}
		if err := checkLabels(labels); err != nil {
			return err
		}
		st.Addresses[i].Labels = maps.Clone(labels)
		a = st.Addresses[i]
		return nil
	})
	return a, err
}

// Unreserve deletes a static address. One that something is served at stays.
func (s *Store) Unreserve(project, region, name string) error {
	return s.change(func(st *state) error {
		i := st.address(project, region, name)
		if i < 0 {
			return notFound(Address{Project: project, Region: region, Name: name}.ID())
		}
		if a := st.Addresses[i]; len(a.Users) > 0 {
			return addressInUse(a.ID(), a.forwardingRule(a.Users[0]))
		}
		st.Addresses = slices.Delete(st.Addresses, i, i+1)
		return nil
	})
}

// Use marks an address as serving a user (a Service, as namespace/name). It must
// be reserved, or be the user's own ephemeral one, and serve nobody else.
// Whatever the user had before is released. To use it again changes nothing.
func (s *Store) Use(ip, user string) error {
	return s.change(func(st *state) error {
		i := slices.IndexFunc(st.Addresses, func(a Address) bool { return a.Address == ip })
		if i < 0 {
			if slices.Contains(st.Ephemeral, Ephemeral{Address: ip, User: user}) {
				return nil
			}
			return fmt.Errorf("requested ip %q is neither static nor assigned to the LB", ip)
		}
		users := st.Addresses[i].Users
		if len(users) > 0 && !slices.Equal(users, []string{user}) {
			return ipInUse(ip)
		}
		st.release(user)
		st.Addresses[i].Users = []string{user}
		return nil
	})
}

// Release ends every use of an address by the user. A static address becomes
// RESERVED, an ephemeral one is free again.
func (s *Store) Release(user string) error {
	return s.change(func(st *state) error {
		st.release(user)
		return nil
	})
}

func (st *state) release(user string) {
	for i := range st.Addresses {
		a := &st.Addresses[i]
		a.Users = slices.DeleteFunc(slices.Clone(a.Users), func(u string) bool { return u == user })
	}
	st.Ephemeral = slices.DeleteFunc(st.Ephemeral, func(e Ephemeral) bool { return e.User == user })
}

// NextEphemeral gives a user that asks for no address an ephemeral one, the
// same as before if it has one.
func (s *Store) NextEphemeral(user string) (string, error) {
	var ip string
	err := s.change(func(st *state) error {
		if i := slices.IndexFunc(st.Ephemeral, func(e Ephemeral) bool { return e.User == user }); i >= 0 {
			ip = st.Ephemeral[i].Address
			return nil
		}
		if i := slices.IndexFunc(st.Addresses, func(a Address) bool { return slices.Contains(a.Users, user) }); i >= 0 {
			ip = st.Addresses[i].Address
			return nil
		}
		next, err := st.next()
		if err != nil {
			return err
		}
		ip = next
		st.Ephemeral = append(st.Ephemeral, Ephemeral{Address: next, User: user})
		return nil
	})
	return ip, err
}
