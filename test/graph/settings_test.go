package graph

import (
	"maps"
	"strings"
	"testing"
)

const minimal = "projects:\n  kubernetes:\n    domain: velodrome.k8s.io\n"

// Bad settings get one message that says how to mend them, and nothing is declared.
func TestBadSettingsAreExplained(t *testing.T) {
	for name, c := range map[string]struct {
		set  settings
		file string
		want string
	}{
		"no secret key": {
			settings{"velodrome:secretKey": ""}, minimal,
			`Pulumi.test.yaml: velodrome:secretKey: it is not set; every password is derived from it. Set it once, and keep a copy where your team keeps its secrets:
  pulumi config set --secret velodrome:secretKey "$(openssl rand -base64 32)"`,
		},
		"a short key": {
			settings{"velodrome:secretKey": "c2hvcnQ="}, minimal,
			`Pulumi.test.yaml: velodrome:secretKey: it has 5 bytes, and 32 are needed. Set it with:
  pulumi config set --secret velodrome:secretKey "$(openssl rand -base64 32)"`,
		},
		"two at once": {
			settings{"velodrome:gcpProject": "", "velodrome:protect": "yes"}, minimal,
			`Pulumi.test.yaml: velodrome:gcpProject: it is not set. Set it with: pulumi config set velodrome:gcpProject my-gcp-project
Pulumi.test.yaml: velodrome:protect: "yes" is neither true nor false`,
		},
		"an unknown image": {
			settings{"velodrome:images": `{"influx":"influxdb:1.8"}`}, minimal,
			`Pulumi.test.yaml: velodrome:images: unknown part "influx"; the parts are blackbox, grafana, influxdb, nginx, prometheus`,
		},
		"a list that is none": {
			settings{"velodrome:projects": `"kubernetes"`}, minimal,
			`Pulumi.test.yaml: velodrome:projects: it has not the form that Pulumi.yaml describes: a string stands where a []string belongs`,
		},
		"a password for nobody": {
			settings{"velodrome:passwords": `{"kubernets":{"admin":"x"}}`}, minimal,
			`velodrome:passwords.kubernets: config.yaml has no such project; it has kubernetes
velodrome:passwords.kubernets.admin: unknown account; the accounts are grafanaAdmin, influxdbAdmin, influxdbReader, influxdbWriter, smtp`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := goodSettings()
			maps.Copy(s, c.set)
			r, err := declare(t, write(t, "config.yaml", c.file), s)
			if err == nil {
				t.Fatal("it was accepted")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("the message is:\n%s\nand should have:\n%s", err, c.want)
			}
			if len(r.all) > 0 {
				t.Errorf("%d resources were declared all the same", len(r.all))
			}
		})
	}
}

// A domain that the zone does not hold would be a record that nobody finds.
func TestDomainOutsideTheZoneIsRefused(t *testing.T) {
	r, err := declare(t, write(t, "config.yaml", "projects:\n  kubernetes:\n    domain: velodrome.example.com\n"), goodSettings())
	if err == nil || !strings.Contains(err.Error(), "config.yaml:3:13") {
		t.Errorf("the message is: %v", err)
	}
	for _, d := range r.all {
		if !strings.HasPrefix(string(d.urn.Type()), "pulumi:providers:") {
			t.Errorf("%s was declared all the same", d.urn)
		}
	}
}

// A stack that is meant for one team leaves the others alone.
func TestStackFilterLeavesTheOthersOut(t *testing.T) {
	s := goodSettings()
	s["velodrome:projects"] = `["kube"]`
	r, err := declare(t, write(t, "config.yaml", "projects: {kube: {}, kubernetes: {}}\n"), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range r.all {
		if p := d.project(); p != "kube" && p != "" {
			t.Errorf("%s was declared", d.urn)
		}
	}
}
