package stack

import (
	"errors"
	"fmt"
	"strings"

	"velodrome/components"
)

// images returns the images of the parts with a stack's own in place of the
// defaults, or an error with all faults of the stack's.
func images(overrides map[string]string) (components.Images, error) {
	all := components.DefaultImages
	byPart := map[string]*string{
		"influxdb": &all.InfluxDB, "prometheus": &all.Prometheus, "blackbox": &all.Prober,
		"grafana": &all.Grafana, "nginx": &all.Nginx,
	}
	var faults []error
	for _, part := range sortedKeys(overrides) {
		image, ok := byPart[part]
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("unknown part %q; the parts are %s",
				part, strings.Join(sortedKeys(byPart), ", ")))
		case overrides[part] == "" || strings.ContainsAny(overrides[part], " \t\n"):
			faults = append(faults, fmt.Errorf("%q is no image for %s", overrides[part], part))
		default:
			*image = overrides[part]
		}
	}
	return all, errors.Join(faults...)
}
