package components

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"

	"gopkg.in/yaml.v3"
)

// prometheusRules are the alerts that any site needs.
//
//go:embed rules.yml
var prometheusRules string

// siteScrapeConfig are the jobs and rules that Prometheus has beside the project's.
//
//go:embed prometheus_site.yml
var siteScrapeConfig []byte

// capacityRule returns the rule that tells the size of the volume, which no server
// tells: what the alert on a full disk compares with.
func capacityRule(v Volume) string {
	return fmt.Sprintf(`groups:
  - name: velodrome-capacity
    rules:
      - record: velodrome_volume_capacity_bytes
        expr: vector(%d)
        labels: {app: prometheus}
`, v.Bytes)
}

// prometheusConfig returns the project's prometheus.yml with the jobs and the rules
// of the site added; all else in it stays as written.
func prometheusConfig(project string) (string, error) {
	root, err := yamlMapping([]byte(project))
	if err != nil {
		return "", err
	}
	site, err := yamlMapping(siteScrapeConfig)
	if err != nil {
		return "", fmt.Errorf("the site's own jobs: %w", err)
	}
	for _, key := range []string{"rule_files", "scrape_configs"} {
		appendSequence(root, key, value(site, key))
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(root), e.Close()); err != nil {
		return "", err
	}
	return b.String(), nil
}

func yamlMapping(text []byte) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if doc.Kind == 0 || doc.Content[0].Tag == "!!null" {
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}, nil
	}
	if doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("it is no mapping of keys to values")
	}
	return doc.Content[0], nil
}

// value returns the value of a key of a mapping, nil if it has none.
func value(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// appendSequence adds the items of a list to the list at key, which is made where
// there is none.
func appendSequence(mapping *yaml.Node, key string, items *yaml.Node) {
	list := value(mapping, key)
	if list == nil {
		list = &yaml.Node{}
		mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, list)
	}
	if list.Kind == yaml.AliasNode {
		// An alias is resolved, so that what it stands for does not grow elsewhere too.
		*list = *list.Alias
		list.Anchor = ""
	}
	if list.Kind != yaml.SequenceNode {
		*list = yaml.Node{Kind: yaml.SequenceNode}
	}
	list.Content = append(append([]*yaml.Node{}, list.Content...), items.Content...)
}
