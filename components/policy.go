package components

import (
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// traffic is what a part may receive and send. All else is denied by the policy of
// its project; looking up names is allowed to every pod.
type traffic struct {
	// port that the apps in from reach.
	port int
	from []string
	// public ports are open to the whole world.
	public []int
	// to are the apps of this project that the part calls, with their ports.
	to map[string]int
	// anywhere lets the part call any address.
	anywhere bool
}

// newPolicy declares what a part may receive and send.
func (p part) newPolicy(ctx *pulumi.Context, t traffic, opts ...pulumi.ResourceOption) (*networkingv1.NetworkPolicy, error) {
	return networkingv1.NewNetworkPolicy(ctx, p.resource(), &networkingv1.NetworkPolicyArgs{
		Metadata: p.meta(),
		Spec: &networkingv1.NetworkPolicySpecArgs{
			PodSelector: &metav1.LabelSelectorArgs{MatchLabels: p.labels.selector()},
			PolicyTypes: pulumi.ToStringArray([]string{"Ingress", "Egress"}),
			Ingress:     p.ingress(t),
			Egress:      p.egress(t),
		},
	}, opts...)
}

func (p part) ingress(t traffic) networkingv1.NetworkPolicyIngressRuleArray {
	rules := networkingv1.NetworkPolicyIngressRuleArray{}
	if len(t.from) > 0 {
		peers := networkingv1.NetworkPolicyPeerArray{}
		for _, app := range t.from {
			peers = append(peers, p.peer(app))
		}
		rules = append(rules, &networkingv1.NetworkPolicyIngressRuleArgs{
			From: peers, Ports: tcp(t.port),
		})
	}
	if len(t.public) > 0 {
		rules = append(rules, &networkingv1.NetworkPolicyIngressRuleArgs{Ports: tcp(t.public...)})
	}
	return rules
}

func (p part) egress(t traffic) networkingv1.NetworkPolicyEgressRuleArray {
	if t.anywhere {
		return networkingv1.NetworkPolicyEgressRuleArray{&networkingv1.NetworkPolicyEgressRuleArgs{}}
	}
	rules := networkingv1.NetworkPolicyEgressRuleArray{}
	for _, app := range sortedKeys(t.to) {
		rules = append(rules, &networkingv1.NetworkPolicyEgressRuleArgs{
			To: networkingv1.NetworkPolicyPeerArray{p.peer(app)}, Ports: tcp(t.to[app]),
		})
	}
	return rules
}

func (p part) peer(app string) *networkingv1.NetworkPolicyPeerArgs {
	return &networkingv1.NetworkPolicyPeerArgs{
		PodSelector: &metav1.LabelSelectorArgs{
			MatchLabels: labels{project: p.Project, app: app}.selector(),
		},
	}
}

func tcp(ports ...int) networkingv1.NetworkPolicyPortArray {
	a := networkingv1.NetworkPolicyPortArray{}
	for _, n := range ports {
		a = append(a, &networkingv1.NetworkPolicyPortArgs{
			Protocol: pulumi.String("TCP"), Port: pulumi.Int(n),
		})
	}
	return a
}

// newDefaultPolicy denies all that no other policy of the namespace allows, but the
// look-up of names: at port 53 of any address, since where a cluster's DNS answers
// differs (a Service, a cache on the node, a metadata server).
func newDefaultPolicy(ctx *pulumi.Context, site Site, opts ...pulumi.ResourceOption) (*networkingv1.NetworkPolicy, error) {
	dns := networkingv1.NetworkPolicyPortArray{}
	for _, protocol := range []string{"UDP", "TCP"} {
		dns = append(dns, &networkingv1.NetworkPolicyPortArgs{
			Protocol: pulumi.String(protocol), Port: pulumi.Int(53),
		})
	}
	return networkingv1.NewNetworkPolicy(ctx, site.Project+"-default", &networkingv1.NetworkPolicyArgs{
		Metadata: &metav1.ObjectMetaArgs{
			Name:      pulumi.String("default"),
			Namespace: site.Namespace,
			Labels:    labels{project: site.Project}.object(),
		},
		Spec: &networkingv1.NetworkPolicySpecArgs{
			PodSelector: &metav1.LabelSelectorArgs{},
			PolicyTypes: pulumi.ToStringArray([]string{"Ingress", "Egress"}),
			Egress: networkingv1.NetworkPolicyEgressRuleArray{
				&networkingv1.NetworkPolicyEgressRuleArgs{Ports: dns},
			},
		},
	}, opts...)
}
