package gcp

import "maps"

// object is a piece of JSON.
type object = map[string]any

// schema is Pulumi's description of a package, for the part of the real one
// that there is here. Pulumi's tools ask for it; a program in Go needs none.
func schema() object {
	resources := object{}
	for token, k := range kinds {
		inputs, required := object{}, []string{}
		for _, f := range k.fields() {
			inputs[f.name] = typeOf(f.shape)
			if f.required {
				required = append(required, f.name)
			}
		}
		properties := maps.Clone(inputs)
		for name, s := range k.outputs() {
			properties[name] = typeOf(s)
		}
		resources[token] = object{"properties": properties, "inputProperties": inputs, "requiredInputs": required}
	}
	settings := object{}
	for name := range configKeys {
		settings[name] = typeOf(text)
	}
	settings["defaultLabels"] = typeOf(table)
	delete(settings, "version")
	delete(settings, "pluginDownloadURL")
	return object{
		"name":      "gcp",
		"version":   PluginVersion,
		"provider":  object{"properties": settings, "inputProperties": settings},
		"resources": resources,
		"functions": object{managedZoneFunction: object{
			"inputs": object{"properties": object{"name": typeOf(text), "project": typeOf(text)}, "required": []string{"name"}},
			"outputs": object{"properties": object{
				"description": typeOf(text), "dnsName": typeOf(text), "id": typeOf(text), "managedZoneId": typeOf(text),
				"name": typeOf(text), "nameServers": typeOf(texts), "project": typeOf(text), "visibility": typeOf(text),
			}},
		}},
	}
}

func typeOf(s shape) object {
	switch s {
	case integer:
		return object{"type": "integer"}
	case texts:
		return object{"type": "array", "items": object{"type": "string"}}
	case table:
		return object{"type": "object", "additionalProperties": object{"type": "string"}}
	}
	return object{"type": "string"}
}
