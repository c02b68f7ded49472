package gcp

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// config is what the provider's configuration says.
type config struct {
	project, region string
	labels          map[string]string // put on everything that has labels
}

// configKeys are the settings of the real plugin that mean something, or nothing
// that matters, here. Those that name another endpoint are taken besides.
var configKeys = map[string]bool{
	"accessToken": true, "addTerraformAttributionLabel": true, "batching": true, "billingProject": true,
	"credentials": true, "defaultLabels": true, "disableGooglePartnerName": true, "googlePartnerName": true,
	"impersonateServiceAccount": true, "impersonateServiceAccountDelegates": true, "project": true, "region": true,
	"requestReason": true, "requestTimeout": true, "scopes": true, "terraformAttributionLabelAdditionStrategy": true,
	"universeDomain": true, "userProjectOverride": true, "zone": true,
	// Pulumi's own.
	"version": true, "pluginDownloadURL": true,
}

// The environment variables from which the real plugin takes settings that the
// program does not give, the first that is set.
var (
	projectVariables = []string{"GOOGLE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"}
	regionVariables  = []string{"GOOGLE_REGION", "GCLOUD_REGION", "CLOUDSDK_COMPUTE_REGION"}
	zoneVariables    = []string{"GOOGLE_ZONE", "GCLOUD_ZONE", "CLOUDSDK_COMPUTE_ZONE"}
)

func firstSet(given string, variables []string) string {
	for _, v := range variables {
		if given == "" {
			given = os.Getenv(v)
		}
	}
	return given
}

func newConfig(in props) config {
	region := firstSet(lastSegment(in.text("region")), regionVariables)
	if zone := firstSet(in.text("zone"), zoneVariables); region == "" {
		region = regionOfZone(zone)
	}
	return config{project: firstSet(in.text("project"), projectVariables), region: region, labels: in.table("defaultLabels")}
}

// regionOfZone cuts the letter off: us-central1-a is in us-central1.
func regionOfZone(zone string) string {
	if i := strings.LastIndexByte(zone, '-'); i > 0 {
		return zone[:i]
	}
	return ""
}

// checkConfig checks the provider's configuration.
func checkConfig(name string, in props) []*pulumirpc.CheckFailure {
	var failures []*pulumirpc.CheckFailure
	fail := func(property, reason string) {
		failures = append(failures, &pulumirpc.CheckFailure{
			Reason: fmt.Sprintf("could not validate provider configuration: %s. Examine values at '%s.%s'.", reason, name, property)})
	}
	for _, key := range sortedKeys(in) {
		if !configKeys[key] && !strings.HasSuffix(key, "CustomEndpoint") && !strings.HasPrefix(key, "__") {
			fail(key, "Invalid or unknown key")
		}
	}
	if p, ok := in["project"].(string); ok && p != "" && !projectRule.MatchString(p) {
		fail("project", fmt.Sprintf("%q (%q) doesn't match regexp %q", "project", p, projectRule))
	}
	if r, ok := in["region"].(string); ok && r != "" && !realRegion.MatchString(lastSegment(r)) {
		fail("region", fmt.Sprintf("%q (%q) is not the name of a region, as us-central1 is", "region", r))
	}
	return failures
}

func (c config) projectOf(in props) (string, error) {
	if p := in.text("project"); p != "" {
		return p, nil
	}
	if c.project != "" {
		return c.project, nil
	}
	return "", errors.New("project: required field is not set")
}

func (c config) regionOf(in props) (string, error) {
	if r := in.text("region"); r != "" {
		return lastSegment(r), nil
	}
	if c.region != "" {
		return c.region, nil
	}
	return "", errors.New("Cannot determine region: set in this resource, or set provider-level 'region' or 'zone'.") //nolint:staticcheck // the real plugin's words
}

// withLabels adds the provider's labels to a resource's own, which win.
func (c config) withLabels(own map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, c.labels)
	maps.Copy(out, own)
	return out
}
