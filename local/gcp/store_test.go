package gcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	project = "velodrome-test"
	region  = "us-central1"
)

// TestMain makes the test binary the other process, or the plugin, of a test.
func TestMain(m *testing.M) {
	var err error
	switch os.Getenv("VELODROME_GCP_TEST") {
	case "":
		os.Exit(m.Run())
	case "reserve":
		path, pathErr := DefaultPath()
		if err = pathErr; err == nil {
			err = reserveMany(Open(path), os.Getenv("VELODROME_GCP_TEST_NAME"), 10)
		}
	case "serve":
		err = Serve(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func reserveMany(s *Store, prefix string, n int) error {
	for i := range n {
		if _, err := s.Reserve(Address{Project: project, Region: region, Name: fmt.Sprintf("%s-%d", prefix, i)}); err != nil {
			return err
		}
	}
	return nil
}

func newStore(t *testing.T) *Store {
	t.Helper()
	return Open(filepath.Join(t.TempDir(), "state", "gcp.json"))
}

func zoneStore(t *testing.T) *Store {
	t.Helper()
	s := newStore(t)
	if err := s.EnsureZone(project, "zone", "example.test."); err != nil {
		t.Fatal(err)
	}
	return s
}

func reserve(t *testing.T, s *Store, a Address) Address {
	t.Helper()
	if a.Project == "" {
		a.Project = project
	}
	if a.Region == "" {
		a.Region = region
	}
	got, err := s.Reserve(a)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestBadAddressIsRefusedInGooglesWords(t *testing.T) {
	const where = "googleapi: Error 400: Invalid value for field "
	s := newStore(t)
	reserve(t, s, Address{Name: "taken", Address: "104.197.200.129"})
	for name, c := range map[string]struct {
		a    Address
		want string
	}{
		"a name with an upper-case letter": {Address{Name: "Foo"}, where + "'resource.name': 'Foo'. Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)', invalid"},
		"a name with an underscore":        {Address{Name: "foo_bar"}, where + "'resource.name': 'foo_bar'. Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)', invalid"},
		"a name that ends in a dash":       {Address{Name: "foo-"}, where + "'resource.name': 'foo-'. Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)', invalid"},
		"a name of 64 letters":             {Address{Name: strings.Repeat("a", 64)}, where + "'resource.name': '" + strings.Repeat("a", 64) + "'. Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)', invalid"},
		"no name":                          {Address{}, where + "'resource.name': ''. Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)', invalid"},
		"a project with an underscore":     {Address{Name: "a", Project: "a_b"}, where + "'project': 'a_b'. Must be a match of regex '(?:" + projectPattern + ")', invalid"},
		"a region in upper case":           {Address{Name: "a", Region: "US"}, where + "'region': 'US'. Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)', invalid"},
		"a region that is a zone":          {Address{Name: "a", Region: "us-central1-a"}, where + "'region': 'us-central1-a'. Unknown region., invalid"},
		"a word for an address":            {Address{Name: "a", Address: "velodrome"}, where + "'resource.address': 'velodrome'. Must be a valid IP address., invalid"},
		"a range for an address":           {Address{Name: "a", Address: "34.1.2.0/24"}, where + "'resource.address': '34.1.2.0/24'. Must be a valid IP address., invalid"},
		"a private address":                {Address{Name: "a", Address: "10.0.0.1"}, where + "'resource.address': '10.0.0.1'. Must be an external IPv4 address., invalid"},
		"a loopback address":               {Address{Name: "a", Address: "127.0.0.1"}, where + "'resource.address': '127.0.0.1'. Must be an external IPv4 address., invalid"},
		"a multicast address":              {Address{Name: "a", Address: "224.0.0.1"}, where + "'resource.address': '224.0.0.1'. Must be an external IPv4 address., invalid"},
		"a carrier's address":              {Address{Name: "a", Address: "100.64.0.1"}, where + "'resource.address': '100.64.0.1'. Must be an external IPv4 address., invalid"},
		"a link-local address":             {Address{Name: "a", Address: "169.254.1.1"}, where + "'resource.address': '169.254.1.1'. Must be an external IPv4 address., invalid"},
		"an IPv6 address":                  {Address{Name: "a", Address: "2001:4860::1"}, where + "'resource.address': '2001:4860::1'. Must be an external IPv4 address., invalid"},
		"an address of another name":       {Address{Name: "a", Address: "104.197.200.129"}, where + "'resource.address': '104.197.200.129'.  Specified IP address is already reserved., invalid"},
		"an address with a known ending":   {Address{Name: "a", Address: "35.197.200.129"}, where + "'resource.address': '35.197.200.129'. On this machine it would share a loopback address with 104.197.200.129, since their last three numbers are the same, invalid"},
		"a name that is taken":             {Address{Name: "taken"}, "googleapi: Error 409: The resource 'projects/velodrome-test/regions/us-central1/addresses/taken' already exists, alreadyExists"},
		"an unknown tier":                  {Address{Name: "a", NetworkTier: "GOLD"}, where + "'resource.networkTier': 'GOLD'. Must be one of [PREMIUM, STANDARD]., invalid"},
		"a label's key in upper case":      {Address{Name: "a", Labels: map[string]string{"App": "x"}}, where + "'resource.labels': ''. Label key 'App' violates format constraints. The key must start with a lowercase character, can only contain lowercase letters, numeric characters, underscores and dashes. The key can be at most 63 characters long. International characters are allowed., invalid"},
		"a label's value with a dot":       {Address{Name: "a", Labels: map[string]string{"app": "x.y"}}, where + "'resource.labels': ''. Label value 'x.y' violates format constraints. The value can only contain lowercase letters, numeric characters, underscores and dashes. The value can be at most 63 characters long. International characters are allowed., invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.a.Project == "" {
				c.a.Project = project
			}
			if c.a.Region == "" {
				c.a.Region = region
			}
			if _, err := s.Reserve(c.a); message(err) != c.want {
				t.Errorf("got  %s\nwant %s", message(err), c.want)
			}
		})
	}
	if all, err := s.Addresses(); err != nil || len(all) != 1 {
		t.Errorf("after the refusals there are %v, %v; want just the first", all, err)
	}
}

func TestNewAddressesHaveLoopbackAddressesOfTheirOwn(t *testing.T) {
	s := newStore(t)
	if err := s.SetQuota(1000); err != nil {
		t.Fatal(err)
	}
	// Ask for what would be handed out first, and for what would share its ending.
	reserve(t, s, Address{Name: "asked", Address: "203.0.113.1"})
	reserve(t, s, Address{Name: "shared", Address: "34.0.113.2"})
	seen := map[string]string{}
	for i := range 300 {
		reserve(t, s, Address{Name: fmt.Sprintf("n%d", i)})
	}
	all, err := s.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		at, err := Loopback(a.Address)
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := seen[at]; taken {
			t.Errorf("%s and %s are both at %s", a.Name, other, at)
		}
		seen[at] = a.Name
	}
}

func TestAddressesRunOutWithAClearMessage(t *testing.T) {
	st := &state{Addresses: []Address{}}
	for i := range 762 {
		ip, err := st.next()
		if err != nil {
			t.Fatalf("address %d: %v", i, err)
		}
		st.Ephemeral = append(st.Ephemeral, Ephemeral{Address: ip, User: fmt.Sprint(i)})
	}
	const want = "the stand-in for GCP has handed out all of its 762 addresses; delete addresses that nobody needs"
	if _, err := st.next(); message(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestReleasedAddressIsNotHandedToTheNextWhoAsks(t *testing.T) {
	s := newStore(t)
	first := reserve(t, s, Address{Name: "one"})
	if err := s.Unreserve(project, region, "one"); err != nil {
		t.Fatal(err)
	}
	if second := reserve(t, s, Address{Name: "two"}); second.Address == first.Address {
		t.Errorf("both got %s", first.Address)
	}
	if again := reserve(t, s, Address{Name: "three", Address: first.Address}); again.Address != first.Address {
		t.Errorf("asked for %s, got %s", first.Address, again.Address)
	}
}

func TestQuotaCountsARegionOfAProject(t *testing.T) {
	s := newStore(t)
	if err := reserveMany(s, "a", DefaultQuota); err != nil {
		t.Fatal(err)
	}
	one := Address{Project: project, Region: region, Name: "more"}
	const want = "googleapi: Error 403: Quota 'STATIC_ADDRESSES' exceeded.  Limit: 8.0 in region us-central1., quotaExceeded"
	if _, err := s.Reserve(one); message(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	reserve(t, s, Address{Name: "more", Region: "europe-west1"})
	reserve(t, s, Address{Name: "more", Project: "another"})
	if err := s.SetQuota(9); err != nil {
		t.Fatal(err)
	}
	reserve(t, s, one)
	if err := s.SetQuota(-1); message(err) != "the quota of static addresses must be 0 or more, not -1" {
		t.Errorf("SetQuota(-1): %v", err)
	}
}

func TestAddressServesOneService(t *testing.T) {
	s := newStore(t)
	a := reserve(t, s, Address{Name: "ip", Address: "104.197.200.129"})
	if a.Status() != "RESERVED" {
		t.Errorf("a new address is %s", a.Status())
	}
	must(t, s.Use(a.Address, "velodrome-x/nginx"))
	must(t, s.Use(a.Address, "velodrome-x/nginx"))
	const busy = "googleapi: Error 400: IP '104.197.200.129' is already being used by another resource., ipInUseByAnotherResource"
	if err := s.Use(a.Address, "velodrome-y/nginx"); message(err) != busy {
		t.Errorf("got %v, want %s", err, busy)
	}
	const strange = `requested ip "8.8.8.8" is neither static nor assigned to the LB`
	if err := s.Use("8.8.8.8", "velodrome-y/nginx"); message(err) != strange {
		t.Errorf("got %v, want %s", err, strange)
	}
	a, err := s.Address(project, region, "ip")
	if err != nil {
		t.Fatal(err)
	}
	const rule = "https://www.googleapis.com/compute/v1/projects/velodrome-test/regions/us-central1/forwardingRules/velodrome-x-nginx"
	if a.Status() != "IN_USE" || !slices.Equal(a.UserLinks(), []string{rule}) {
		t.Errorf("it is %s by %v, want IN_USE by %s", a.Status(), a.UserLinks(), rule)
	}
	const kept = "googleapi: Error 400: The address resource 'projects/velodrome-test/regions/us-central1/addresses/ip' is already being used by 'projects/velodrome-test/regions/us-central1/forwardingRules/velodrome-x-nginx', resourceInUseByAnotherResource"
	if err := s.Unreserve(project, region, "ip"); message(err) != kept {
		t.Errorf("got %v, want %s", err, kept)
	}
	must(t, s.Release("velodrome-x/nginx"))
	must(t, s.Unreserve(project, region, "ip"))
	const gone = "googleapi: Error 404: The resource 'projects/velodrome-test/regions/us-central1/addresses/ip' was not found, notFound"
	if err := s.Unreserve(project, region, "ip"); message(err) != gone {
		t.Errorf("got %v, want %s", err, gone)
	}
}

func TestServiceMovesToTheAddressThatItAsksFor(t *testing.T) {
	s := newStore(t)
	first, second := reserve(t, s, Address{Name: "a"}), reserve(t, s, Address{Name: "b"})
	must(t, s.Use(first.Address, "x/nginx"))
	must(t, s.Use(second.Address, "x/nginx"))
	if a, err := s.Address(project, region, "a"); err != nil || a.Status() != "RESERVED" {
		t.Errorf("the address that it left is %s, %v", a.Status(), err)
	}
	if b, err := s.Address(project, region, "b"); err != nil || b.Status() != "IN_USE" {
		t.Errorf("the address that it took is %s, %v", b.Status(), err)
	}
}

func TestEphemeralAddressIsPromotedInUse(t *testing.T) {
	s := newStore(t)
	ip, err := s.NextEphemeral("x/nginx")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.NextEphemeral("x/nginx"); err != nil || again != ip {
		t.Errorf("the second time it is %s, %v; want %s", again, err, ip)
	}
	if other, err := s.NextEphemeral("y/nginx"); err != nil || other == ip {
		t.Errorf("another Service got %s, %v", other, err)
	}
	must(t, s.Use(ip, "x/nginx"))
	a := reserve(t, s, Address{Name: "kept", Address: ip})
	if a.Status() != "IN_USE" || !slices.Equal(a.Users, []string{"x/nginx"}) {
		t.Errorf("promoted, it is %s by %v", a.Status(), a.Users)
	}
	must(t, s.Release("x/nginx"))
	if a, err := s.Address(project, region, "kept"); err != nil || a.Status() != "RESERVED" {
		t.Errorf("after the Service has gone it is %s, %v", a.Status(), err)
	}
	must(t, s.Release("y/nginx"))
	if st, err := s.read(); err != nil || len(st.Ephemeral) != 0 {
		t.Errorf("ephemeral addresses stay: %v, %v", st.Ephemeral, err)
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	s := zoneStore(t)
	a := reserve(t, s, Address{Name: "ip", Description: "x", Labels: map[string]string{"app": "nginx"}})
	must(t, s.Change(project, "zone", []Record{{Name: "www.example.test.", Type: "A", TTL: 300, Rrdatas: []string{a.Address}}}, nil))
	again := Open(s.Path())
	b, err := again.Address(project, region, "ip")
	if err != nil || b.Address != a.Address || b.Description != "x" || b.Labels["app"] != "nginx" || !b.Created.Equal(a.Created) {
		t.Errorf("got %+v, %v; want %+v", b, err, a)
	}
	if r, err := again.Record(project, "zone", "www.example.test.", "A"); err != nil || r.TTL != 300 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestDamagedStateTellsTheWayOut(t *testing.T) {
	const out = "; move the file away to begin with none, then `pulumi refresh` and `pulumi up` reserve the addresses and make the records again"
	for name, c := range map[string]struct{ content, want string }{
		"cut short":  {`{"version":1,"addr`, "is damaged: unexpected end of JSON input" + out},
		"empty":      {"", "is damaged: it is empty" + out},
		"not JSON":   {"hello", "is damaged: invalid character 'h' looking for beginning of value" + out},
		"wrong type": {`{"version":1,"addresses":"x"}`, "is damaged: json: cannot unmarshal string into Go struct field state.addresses of type []gcp.Address" + out},
		"newer":      {`{"version":7}`, "has layout 7 and this program knows 1; use the version of Velodrome that wrote it, or move the file away to begin with none"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gcp.json")
			must(t, os.WriteFile(path, []byte(c.content), 0o600))
			want := "the state of the stand-in for GCP, " + path + ", " + c.want
			if _, err := Open(path).Addresses(); message(err) != want {
				t.Errorf("reading: got  %s\nwant %s", message(err), want)
			}
			if _, err := Open(path).Reserve(Address{Project: project, Region: region, Name: "a"}); message(err) != want {
				t.Errorf("writing: got  %s\nwant %s", message(err), want)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != c.content {
				t.Errorf("the damaged file was touched: %q, %v", b, err)
			}
		})
	}
}

func TestFailedWriteLeavesTheOldState(t *testing.T) {
	s := newStore(t)
	reserve(t, s, Address{Name: "a"})
	// A folder where the new content would go makes the write fail, whoever runs the test.
	must(t, os.Mkdir(s.Path()+".new", 0o700))
	_, err := s.Reserve(Address{Project: project, Region: region, Name: "b"})
	if !strings.HasPrefix(message(err), "write the state of the stand-in for GCP (nothing was changed; is the disk full?): ") {
		t.Errorf("got %v", err)
	}
	if all, err := s.Addresses(); err != nil || len(all) != 1 {
		t.Errorf("got %v, %v", all, err)
	}
}

func TestProcessesAtOnceLoseNothing(t *testing.T) {
	s := newStore(t)
	must(t, s.SetQuota(1000))
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for i := range 4 {
		wg.Go(func() { errs <- reserveMany(Open(s.Path()), fmt.Sprintf("thread%d", i), 10) })
		wg.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "VELODROME_GCP_TEST=reserve", fmt.Sprintf("VELODROME_GCP_TEST_NAME=process%d", i), "VELODROME_GCP_STATE="+s.Path())
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	all, err := s.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	ips := map[string]bool{}
	for _, a := range all {
		ips[a.Address] = true
	}
	if len(all) != 80 || len(ips) != 80 {
		t.Errorf("80 reservations brought %d addresses, %d of them different", len(all), len(ips))
	}
}

func TestUnchangedStateIsNotWritten(t *testing.T) {
	s := newStore(t)
	a := reserve(t, s, Address{Name: "a"})
	must(t, s.Use(a.Address, "x/nginx"))
	before, err := os.Stat(s.Path())
	must(t, err)
	must(t, s.Use(a.Address, "x/nginx"))
	must(t, s.Release("nobody"))
	after, err := os.Stat(s.Path())
	must(t, err)
	if !os.SameFile(before, after) {
		t.Error("the file was replaced by the same content")
	}
}

func TestStateIsForItsOwnerOnly(t *testing.T) {
	s := newStore(t)
	reserve(t, s, Address{Name: "a"})
	info, err := os.Stat(s.Path())
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v", info.Mode())
	}
}

func TestPathOfTheState(t *testing.T) {
	for _, v := range []string{"VELODROME_GCP_STATE", "VELODROME_STATE", "XDG_STATE_HOME"} {
		t.Setenv(v, "")
	}
	t.Setenv("HOME", "/home/someone")
	for _, c := range []struct{ variable, value, want string }{
		{"", "", "/home/someone/.local/state/velodrome/gcp.json"},
		{"XDG_STATE_HOME", "/xdg", "/xdg/velodrome/gcp.json"},
		{"VELODROME_STATE", "/state", "/state/gcp.json"},
		{"VELODROME_GCP_STATE", "/a/file", "/a/file"},
	} {
		if c.variable != "" {
			t.Setenv(c.variable, c.value)
		}
		if got, err := DefaultPath(); err != nil || got != c.want {
			t.Errorf("with %s=%s: got %s, %v; want %s", c.variable, c.value, got, err, c.want)
		}
	}
}

func TestZoneIsMadeOnce(t *testing.T) {
	s := zoneStore(t)
	must(t, s.EnsureZone(project, "zone", "example.test."))
	must(t, s.EnsureZone(project, "zone", "other.test."))
	must(t, s.Change(project, "zone", []Record{{Name: "a.other.test.", Type: "A", TTL: 1, Rrdatas: []string{"1.2.3.4"}}}, nil))
	const want = "the managed zone projects/velodrome-test/managedZones/zone is for other.test. and holds 1 record sets; delete these before it can be for example.test."
	if err := s.EnsureZone(project, "zone", "example.test."); message(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if zones, err := s.Zones(); err != nil || len(zones) != 1 {
		t.Errorf("got %v, %v", zones, err)
	}
	for _, c := range []struct{ project, name, dnsName, want string }{
		{project, "Zone", "a.test.", "make the managed zone: googleapi: Error 400: Invalid value for 'entity.managedZone.name': 'Zone', invalid"},
		{project, "zone", "a.test", "make the managed zone: googleapi: Error 400: Invalid value for 'entity.managedZone.dnsName': 'a.test', invalid"},
		{project, "zone", "a..test.", "make the managed zone: googleapi: Error 400: Invalid value for 'entity.managedZone.dnsName': 'a..test.', invalid"},
	} {
		if err := s.EnsureZone(c.project, c.name, c.dnsName); message(err) != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestBadRecordIsRefusedInGooglesWords(t *testing.T) {
	s := zoneStore(t)
	a := Record{Name: "a.example.test.", Type: "A", TTL: 300, Rrdatas: []string{"203.0.113.1"}}
	must(t, s.Change(project, "zone", []Record{a, {Name: "c.example.test.", Type: "CNAME", TTL: 300, Rrdatas: []string{"a.example.test."}}}, nil))
	const bad = "googleapi: Error 400: Invalid value for 'entity.change.additions[0]."
	const set = "googleapi: Error 400: The resource record set 'entity.change.additions[0]' "
	for name, c := range map[string]struct {
		add  Record
		want string
	}{
		"a name outside the zone":      {Record{Name: "www.elsewhere.test."}, bad + "name': 'www.elsewhere.test.', invalid"},
		"a name that ends like one":    {Record{Name: "badexample.test."}, bad + "name': 'badexample.test.', invalid"},
		"a name without the last dot":  {Record{Name: "www.example.test"}, bad + "name': 'www.example.test', invalid"},
		"a name with an empty label":   {Record{Name: "www..example.test."}, bad + "name': 'www..example.test.', invalid"},
		"a name with a space":          {Record{Name: "w w.example.test."}, bad + "name': 'w w.example.test.', invalid"},
		"a name in upper case":         {Record{Name: "WWW.example.test."}, bad + "name': 'WWW.example.test.', invalid"},
		"a star inside a name":         {Record{Name: "a.*.example.test."}, bad + "name': 'a.*.example.test.', invalid"},
		"a label of 64 letters":        {Record{Name: strings.Repeat("a", 64) + ".example.test."}, bad + "name': '" + strings.Repeat("a", 64) + ".example.test.', invalid"},
		"an unknown type":              {Record{Type: "GROUP"}, bad + "type': 'GROUP', invalid"},
		"a type in lower case":         {Record{Type: "a"}, bad + "type': 'a', invalid"},
		"a TTL below zero":             {Record{TTL: -1}, bad + "ttl': '-1', invalid"},
		"no data":                      {Record{Rrdatas: []string{}}, bad + "rrdata': '<empty>', invalid"},
		"letters for an address":       {Record{Rrdatas: []string{"1.2.3.4", "X.X.X.X"}}, bad + "rrdata[1]': 'X.X.X.X', invalid"},
		"a leading zero":               {Record{Rrdatas: []string{"1.2.3.04"}}, bad + "rrdata[0]': '1.2.3.04', invalid"},
		"an address twice":             {Record{Rrdatas: []string{"1.2.3.4", "1.2.3.4"}}, bad + "rrdata[1]': '1.2.3.4', invalid"},
		"an IPv6 address in an A":      {Record{Rrdatas: []string{"::1"}}, bad + "rrdata[0]': '::1', invalid"},
		"an IPv4 address in an AAAA":   {Record{Type: "AAAA"}, bad + "rrdata[0]': '203.0.113.9', invalid"},
		"a second line in data":        {Record{Type: "TXT", Rrdatas: []string{"a\nb. 1 IN A 1.2.3.4"}}, bad + "rrdata[0]': 'a\nb. 1 IN A 1.2.3.4', invalid"},
		"a CNAME without the last dot": {Record{Type: "CNAME", Rrdatas: []string{"a.example.test"}}, bad + "rrdata[0]': 'a.example.test', invalid"},
		"two CNAMEs":                   {Record{Type: "CNAME", Rrdatas: []string{"a.example.test.", "b.example.test."}}, set + "is only permitted to have one record because it is of type 'CNAME'., invalidRecordCount"},
		"a CNAME beside an A":          {Record{Name: "a.example.test.", Type: "CNAME", Rrdatas: []string{"b.example.test."}}, set + "is invalid because the DNS name 'a.example.test.' may have either one CNAME resource record set or resource record sets of other types, but not both., cnameResourceRecordSetConflict"},
		"an A beside a CNAME":          {Record{Name: "c.example.test."}, set + "is invalid because the DNS name 'c.example.test.' may have either one CNAME resource record set or resource record sets of other types, but not both., cnameResourceRecordSetConflict"},
		"a CNAME at the top":           {Record{Name: "example.test.", Type: "CNAME", Rrdatas: []string{"b.example.test."}}, set + "is invalid because the DNS name 'example.test.' may have either one CNAME resource record set or resource record sets of other types, but not both., cnameResourceRecordSetConflict"},
		"an SOA below the top":         {Record{Type: "SOA", Rrdatas: []string{"a. b. 1 2 3 4 5"}}, set + "is invalid because a zone must contain exactly one resource record set of type 'SOA' at the apex., invalidZoneApex"},
		"a wildcard of type NS":        {Record{Name: "*.example.test.", Type: "NS", Rrdatas: []string{"ns.example.test."}}, set + "has the wrong type to be a wildcard., wildcardNotAllowed"},
		"one that is there":            {a, "googleapi: Error 409: The resource 'entity.change.additions[0]' named 'a.example.test. (A)' already exists, alreadyExists"},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.add
			if r.Name == "" {
				r.Name = "new.example.test."
			}
			if r.Type == "" {
				r.Type = "A"
			}
			if r.Rrdatas == nil {
				r.Rrdatas = []string{"203.0.113.9"}
			}
			if err := s.Change(project, "zone", []Record{r}, nil); message(err) != c.want {
				t.Errorf("got  %s\nwant %s", message(err), c.want)
			}
		})
	}
	soa := Zone{Project: project, Name: "zone", DNSName: "example.test."}.apex()[1]
	for name, c := range map[string]struct {
		zone string
		del  Record
		want string
	}{
		"in no zone":          {"nope", a, "googleapi: Error 404: The 'parameters.managedZone' resource named 'nope' does not exist., notFound"},
		"that is not there":   {"zone", Record{Name: "x.example.test.", Type: "A"}, "googleapi: Error 404: The 'entity.change.deletions[0]' resource named 'x.example.test. (A)' does not exist., notFound"},
		"that is otherwise":   {"zone", Record{Name: "a.example.test.", Type: "A", TTL: 1, Rrdatas: a.Rrdatas}, "googleapi: Error 412: Precondition not met for 'entity.change.deletions[0]', conditionNotMet"},
		"that each zone has":  {"zone", soa, "googleapi: Error 400: The resource record set 'entity.change.deletions[0]' is invalid because a zone must contain exactly one resource record set of type 'SOA' at the apex., invalidZoneApex"},
		"with nothing at all": {"zone", Record{}, "googleapi: Error 404: The 'entity.change.deletions[0]' resource named ' ()' does not exist., notFound"},
	} {
		t.Run("deletion of one "+name, func(t *testing.T) {
			if err := s.Change(project, c.zone, nil, []Record{c.del}); message(err) != c.want {
				t.Errorf("got  %s\nwant %s", message(err), c.want)
			}
		})
	}
	if z, err := s.Zone(project, "zone"); err != nil || len(z.Records) != 2 {
		t.Errorf("after the refusals there are %v, %v; want the first two", z.Records, err)
	}
}

func TestGoodRecordsOfEachTypeAreTaken(t *testing.T) {
	s := zoneStore(t)
	for typ, data := range map[string][]string{
		"A": {"203.0.113.1", "203.0.113.2"}, "AAAA": {"2001:db8::1"}, "CNAME": {"elsewhere.test."}, "MX": {"10 mail.example.test."},
		"TXT": {`"v=spf1 -all; really"`}, "NS": {"ns.elsewhere.test."}, "SRV": {"0 5 443 a.example.test."}, "CAA": {`0 issue "ca.test"`}, "PTR": {"a.example.test."},
	} {
		if err := s.Change(project, "zone", []Record{{Name: strings.ToLower(typ) + "._x.example.test.", Type: typ, TTL: 60, Rrdatas: data}}, nil); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
	}
	must(t, s.Change(project, "zone", []Record{{Name: "*.example.test.", Type: "A", TTL: 60, Rrdatas: []string{"203.0.113.1"}}}, nil))
}

func TestChangeOfRecordsIsAllOrNothing(t *testing.T) {
	s := zoneStore(t)
	good := Record{Name: "a.example.test.", Type: "A", TTL: 60, Rrdatas: []string{"203.0.113.1"}}
	bad := Record{Name: "b.example.test.", Type: "A", TTL: 60}
	if err := s.Change(project, "zone", []Record{good, bad}, nil); err == nil {
		t.Error("a change with a bad part was taken")
	}
	if z, err := s.Zone(project, "zone"); err != nil || len(z.Records) != 0 {
		t.Errorf("got %v, %v", z.Records, err)
	}
}

func TestErrorCanBeTold(t *testing.T) {
	_, err := newStore(t).Address(project, region, "nope")
	var api *APIError
	if !errors.As(err, &api) || api.Code != 404 {
		t.Errorf("got %v", err)
	}
}

func TestStateIsReadableByPeople(t *testing.T) {
	s := zoneStore(t)
	b, err := os.ReadFile(s.Path())
	must(t, err)
	if !json.Valid(b) || strings.Count(string(b), "\n") < 5 {
		t.Errorf("got %s", b)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
