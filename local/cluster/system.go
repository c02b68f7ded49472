package cluster

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// systemYAML is what every cluster has: cluster DNS, storage classes, and the rights
// of the parts that Kubernetes does not know.
//
//go:embed system.yaml
var systemYAML string

// resources maps the kinds in systemYAML to the paths of the API.
var resources = map[string]schema.GroupVersionResource{
	"ServiceAccount":     {Version: "v1", Resource: "serviceaccounts"},
	"ConfigMap":          {Version: "v1", Resource: "configmaps"},
	"Service":            {Version: "v1", Resource: "services"},
	"Deployment":         {Group: "apps", Version: "v1", Resource: "deployments"},
	"ClusterRole":        {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	"ClusterRoleBinding": {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
	"StorageClass":       {Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"},
}

// systemObjects reads systemYAML with its variables filled in.
func systemObjects() ([]*unstructured.Unstructured, error) {
	text := strings.NewReplacer(
		"$(DNS_IP)", dnsServiceIP,
		"$(DNS_IMAGE)", dnsImage,
		"$(DOMAIN)", clusterDomain,
		"$(UPSTREAM)", nodeIP+":"+upstreamDNSPort,
	).Replace(systemYAML)
	var out []*unstructured.Unstructured
	for i, doc := range strings.Split(text, "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
			return nil, fmt.Errorf("read object %d of system.yaml: %w", i+1, err)
		}
		if _, ok := resources[o.GetKind()]; !ok {
			return nil, fmt.Errorf("object %d of system.yaml is of an unknown kind %q", i+1, o.GetKind())
		}
		out = append(out, o)
	}
	return out, nil
}

// applySystem brings the cluster's own objects to what they should be.
func applySystem(ctx context.Context, client dynamic.Interface) error {
	objects, err := systemObjects()
	if err != nil {
		return err
	}
	for _, o := range objects {
		var to dynamic.ResourceInterface = client.Resource(resources[o.GetKind()])
		if ns := o.GetNamespace(); ns != "" {
			to = client.Resource(resources[o.GetKind()]).Namespace(ns)
		}
		if _, err := to.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: "velodrome-local", Force: true}); err != nil {
			return fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}
