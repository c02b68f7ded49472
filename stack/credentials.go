package stack

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"velodrome/components"
	"velodrome/stack/config"
)

// accounts are what velodrome:passwords can name, beside smtp, with the account that
// the password is derived for where it is not set.
var accounts = map[string]string{
	"grafanaAdmin":   components.AccountGrafanaAdmin,
	"influxdbAdmin":  components.AccountInfluxDBAdmin,
	"influxdbWriter": components.AccountInfluxDBWriter,
	"influxdbReader": components.AccountInfluxDBReader,
}

// accountSMTP is the login at a project's mail server. It has no derived password.
const accountSMTP = "smtp"

// checkPasswords reports what is wrong with the passwords that were set outright,
// without repeating any.
func checkPasswords(passwords map[string]map[string]string, projects []string) error {
	var faults []error
	known := append(sortedKeys(accounts), accountSMTP)
	for _, project := range sortedKeys(passwords) {
		if !slices.Contains(projects, project) {
			faults = append(faults, fmt.Errorf("velodrome:passwords.%s: config.yaml has no such project; it has %s",
				project, strings.Join(projects, ", ")))
		}
		for _, account := range sortedKeys(passwords[project]) {
			at := fmt.Sprintf("velodrome:passwords.%s.%s", project, account)
			if !slices.Contains(known, account) {
				faults = append(faults, fmt.Errorf("%s: unknown account; the accounts are %s", at, strings.Join(known, ", ")))
			}
			if p := passwords[project][account]; p == "" || strings.ContainsFunc(p, unprintable) {
				faults = append(faults, fmt.Errorf("%s: a password has one or more printable ASCII characters, and no other", at))
			}
		}
	}
	return errors.Join(faults...)
}

// unprintable tells of characters that one of the servers, or one of their clients,
// would not take in a password.
func unprintable(r rune) bool { return r < ' ' || r > '~' }

// credentials returns a project's passwords as Pulumi secrets.
func credentials(s Settings, stack string, p config.Project) (components.Credentials, error) {
	derive := components.Passwords{
		Key: s.SecretKey, Stack: stack, Project: p.Name, Generation: int(p.SecretsGeneration),
	}
	secrets := map[string]pulumi.StringInput{}
	for name, account := range accounts {
		password, set := s.Passwords[p.Name][name]
		if !set {
			var err error
			if password, err = derive.Derive(account); err != nil {
				return components.Credentials{}, err
			}
		}
		secrets[name] = secret(password)
	}
	derive.Generation = 1 // see AccountGrafanaKey
	grafanaKey, err := derive.Derive(components.AccountGrafanaKey)
	if err != nil {
		return components.Credentials{}, err
	}
	return components.Credentials{
		GrafanaAdmin: secrets["grafanaAdmin"], GrafanaSecretKey: secret(grafanaKey),
		InfluxDBAdmin: secrets["influxdbAdmin"], InfluxDBWriter: secrets["influxdbWriter"],
		InfluxDBReader: secrets["influxdbReader"],
	}, nil
}

func secret(s string) pulumi.StringOutput {
	return pulumi.ToSecret(pulumi.String(s)).(pulumi.StringOutput)
}
