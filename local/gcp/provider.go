package gcp

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// PluginVersion is the release of the real plugin that the stand-in answers to.
const PluginVersion = "7.38.0"

const managedZoneFunction = "gcp:dns/getManagedZone:getManagedZone"

var kinds = map[string]kind{
	"gcp:compute/address:Address": addressKind{},
	"gcp:dns/recordSet:RecordSet": recordKind{},
}

// Provider is the plugin "gcp" as Pulumi's engine talks to it, over a Store.
// The engine calls it in parallel.
type Provider struct {
	pulumirpc.UnimplementedResourceProviderServer

	store *Store

	mu      sync.RWMutex
	config  config
	secrets bool // the engine takes secrets marked as such
}

// NewProvider makes a plugin over a store.
func NewProvider(store *Store) *Provider {
	return &Provider{store: store}
}

func (p *Provider) settings() config {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.config
}

// send puts properties on the wire as the engine takes them.
func (p *Provider) send(out props, hidden secrets) (*structpb.Struct, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if !p.secrets {
		hidden = nil
	}
	return encode(out, hidden)
}

// kindOf finds the type of a resource by its URN
// (urn:pulumi:stack::project::parent$type::name).
func kindOf(urn string) (k kind, name string, err error) {
	parts := strings.SplitN(urn, "::", 4)
	if len(parts) < 4 {
		return nil, "", status.Errorf(codes.InvalidArgument, "%q is not the URN of a resource", urn)
	}
	token := parts[2][strings.LastIndexByte(parts[2], '$')+1:]
	if k = kinds[token]; k == nil {
		return nil, "", status.Errorf(codes.NotFound, "the stand-in for GCP has no resource %s; it has %s", token, strings.Join(sortedKeys(kinds), ", "))
	}
	return k, parts[3], nil
}

// Handshake agrees with the engine on how values travel.
func (p *Provider) Handshake(context.Context, *pulumirpc.ProviderHandshakeRequest) (*pulumirpc.ProviderHandshakeResponse, error) {
	return &pulumirpc.ProviderHandshakeResponse{AcceptSecrets: true, AcceptOutputs: true}, nil
}

// GetPluginInfo tells the plugin's version.
func (p *Provider) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: PluginVersion}, nil
}

// Attach is called where the engine did not start the plugin itself.
func (p *Provider) Attach(context.Context, *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// Cancel has nothing to end: each call takes milliseconds.
func (p *Provider) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// GetMapping has none: no converter comes here.
func (p *Provider) GetMapping(context.Context, *pulumirpc.GetMappingRequest) (*pulumirpc.GetMappingResponse, error) {
	return &pulumirpc.GetMappingResponse{}, nil
}

// GetMappings has none either.
func (p *Provider) GetMappings(context.Context, *pulumirpc.GetMappingsRequest) (*pulumirpc.GetMappingsResponse, error) {
	return &pulumirpc.GetMappingsResponse{}, nil
}

// GetSchema describes the part of the real plugin that there is here.
func (p *Provider) GetSchema(context.Context, *pulumirpc.GetSchemaRequest) (*pulumirpc.GetSchemaResponse, error) {
	b, err := json.Marshal(schema())
	if err != nil {
		return nil, fmt.Errorf("encode the schema: %w", err)
	}
	return &pulumirpc.GetSchemaResponse{Schema: string(b)}, nil
}

// CheckConfig checks the provider's configuration.
func (p *Provider) CheckConfig(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	in, hidden := decode(req.GetNews())
	failures := checkConfig(req.GetUrn()[strings.LastIndexByte(req.GetUrn(), ':')+1:], in)
	// The engine takes secrets from this call whatever it says later.
	inputs, err := encode(in, hidden)
	return &pulumirpc.CheckResponse{Inputs: inputs, Failures: failures}, err
}

// DiffConfig compares two configurations of the provider. None of its settings
// makes it another provider: what moves with them are the resources.
func (p *Provider) DiffConfig(_ context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	old, _ := decode(req.GetOldInputs())
	in, _ := decode(req.GetNews())
	res := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE, HasDetailedDiff: true, DetailedDiff: map[string]*pulumirpc.PropertyDiff{}}
	all := maps.Clone(old)
	maps.Copy(all, in)
	for _, key := range sortedKeys(all) {
		for path, kind := range (field{name: key}).diff(in, old[key], in[key]) {
			res.Changes = pulumirpc.DiffResponse_DIFF_SOME
			res.Diffs = append(res.Diffs, key)
			res.DetailedDiff[path] = &pulumirpc.PropertyDiff{Kind: kind, InputDiff: true}
		}
	}
	return res, nil
}

// Configure takes the provider's configuration.
func (p *Provider) Configure(_ context.Context, req *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	in, _ := decode(req.GetArgs())
	if labels, ok := in["defaultLabels"].(string); ok {
		// Configuration travels as text; what is not text, as JSON in it.
		object := map[string]any{}
		if err := json.Unmarshal([]byte(labels), &object); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "could not validate provider configuration: 'default_labels' is not a map of labels: %v", err)
		}
		in["defaultLabels"] = object
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.config = newConfig(in)
	p.secrets = req.GetAcceptSecrets()
	return &pulumirpc.ConfigureResponse{AcceptSecrets: true, AcceptOutputs: true, SupportsPreview: true}, nil
}

// Check completes and checks the inputs of a resource.
func (p *Provider) Check(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	k, name, err := kindOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	olds, _ := decode(req.GetOlds())
	news, hidden := decode(req.GetNews())
	in, failures := checkInputs(k, name, suffix(req.GetRandomSeed()), olds, news)
	inputs, err := p.send(in, hidden)
	return &pulumirpc.CheckResponse{Inputs: inputs, Failures: failures}, err
}

// suffix is seven letters and digits of the engine's random bytes.
func suffix(seed []byte) string {
	const length = 7
	return (hex.EncodeToString(seed) + strings.Repeat("0", length))[:length]
}

// Diff compares a resource with what is wanted.
func (p *Provider) Diff(_ context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	k, _, err := kindOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	old, _ := decode(req.GetOlds())
	in, _ := decode(req.GetNews())
	return diff(k, p.settings(), old, in), nil
}

// Create makes a resource, or foretells it.
func (p *Provider) Create(_ context.Context, req *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	k, _, err := kindOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	in, hidden := decode(req.GetProperties())
	res := &pulumirpc.CreateResponse{}
	var out props
	if req.GetPreview() {
		out = k.plan(p.settings(), in)
	} else if res.Id, out, err = k.create(p.store, p.settings(), in); err != nil {
		return nil, rpcError(err)
	}
	res.Properties, err = p.send(out, hidden.spread())
	return res, err
}

// spread hides what repeats a hidden property.
func (h secrets) spread() secrets {
	out := maps.Clone(h)
	if h["labels"] {
		out["effectiveLabels"], out["pulumiLabels"] = true, true
	}
	return out
}

// Read looks at a resource as it is, for a refresh or an import.
func (p *Provider) Read(_ context.Context, req *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	k, _, err := kindOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	old, hiddenOld := decode(req.GetProperties())
	oldIn, hidden := decode(req.GetInputs())
	maps.Copy(hidden, hiddenOld)
	id, out, err := k.read(p.store, p.settings(), req.GetId(), old)
	if err != nil {
		return nil, rpcError(err)
	}
	if id == "" {
		return &pulumirpc.ReadResponse{}, nil
	}
	res := &pulumirpc.ReadResponse{Id: id}
	if len(old) > 0 {
		res.Id = req.GetId()
	}
	if res.Properties, err = p.send(out, hidden); err != nil {
		return nil, err
	}
	res.Inputs, err = p.send(inputsFrom(k, oldIn, out), hidden)
	return res, err
}

// inputsFrom are the inputs that would bring about what there is: those that
// were given before, as they are now, or all of them for an import.
func inputsFrom(k kind, old, out props) props {
	in := props{defaultsKey: []any{}}
	for _, f := range k.fields() {
		was, given := old[f.name]
		switch now := out[f.name]; {
		case !isEmpty(now) && (given || len(old) == 0):
			in[f.name] = now
		case given && isEmpty(was):
			in[f.name] = was
		}
	}
	if made, ok := old[defaultsKey]; ok {
		in[defaultsKey] = made
	}
	return in
}

// Update changes a resource in place, or foretells it.
func (p *Provider) Update(_ context.Context, req *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	k, _, err := kindOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	old, _ := decode(req.GetOlds())
	in, hidden := decode(req.GetNews())
	var out props
	if req.GetPreview() {
		out = k.replan(p.settings(), old, in)
	} else if out, err = k.update(p.store, p.settings(), req.GetId(), old, in); err != nil {
		return nil, rpcError(err)
	}
	res := &pulumirpc.UpdateResponse{}
	res.Properties, err = p.send(out, hidden.spread())
	return res, err
}

// Delete removes a resource; one that is gone already is a success.
func (p *Provider) Delete(_ context.Context, req *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	k, _, err := kindOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	old, _ := decode(req.GetProperties())
	if err := k.remove(p.store, req.GetId(), old); err != nil {
		return nil, rpcError(err)
	}
	return &emptypb.Empty{}, nil
}

// Invoke answers the one function that there is: the look-up of a managed zone.
func (p *Provider) Invoke(_ context.Context, req *pulumirpc.InvokeRequest) (*pulumirpc.InvokeResponse, error) {
	if req.GetTok() != managedZoneFunction {
		return nil, status.Errorf(codes.NotFound, "the stand-in for GCP has no function %s; it has %s", req.GetTok(), managedZoneFunction)
	}
	args, hidden := decode(req.GetArgs())
	if args.text("name") == "" {
		return &pulumirpc.InvokeResponse{Failures: []*pulumirpc.CheckFailure{{Reason: "Missing required property 'name'"}}}, nil
	}
	project, err := p.settings().projectOf(args)
	if err != nil {
		return nil, rpcError(err)
	}
	z, err := p.store.Zone(project, args.text("name"))
	if err != nil {
		return nil, rpcError(err)
	}
	out := props{
		"description": z.Description, "dnsName": z.DNSName, "id": z.ID(), "managedZoneId": z.Number(),
		"name": z.Name, "nameServers": z.NameServers(), "project": z.Project, "visibility": "public",
	}
	res := &pulumirpc.InvokeResponse{}
	res.Return, err = p.send(out, hidden)
	return res, err
}

// rpcError keeps a message free of gRPC's own words.
func rpcError(err error) error {
	return status.Error(codes.Unknown, err.Error())
}
