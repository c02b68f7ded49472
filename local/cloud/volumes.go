package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// Provisioner is the name by which storage classes ask for these volumes.
const Provisioner = "velodrome.local/folder"

// volumes makes, grows and removes volumes: a folder each. They are `local` volumes
// and not `hostPath` ones, since the kubelet sets the owning group (fsGroup) of the
// former only, and the pods run as users of their own.
type volumes struct {
	client      kubernetes.Interface
	claims      corelisters.PersistentVolumeClaimLister
	pvs         corelisters.PersistentVolumeLister
	dir         string // as this process sees it
	nodeDir     string // as the node sees it
	node        string
	queue       workqueue.TypedRateLimitingInterface[string] // claims that may have grown
	provisioner *controller.ProvisionController
}

func newVolumes(client kubernetes.Interface, factory informers.SharedInformerFactory, cfg Config) (*volumes, error) {
	core := factory.Core().V1()
	v := &volumes{
		client: client, claims: core.PersistentVolumeClaims().Lister(), pvs: core.PersistentVolumes().Lister(),
		dir: cfg.Volumes, nodeDir: cfg.NodeVolumes, node: cfg.Node,
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](200*time.Millisecond, 15*time.Second)),
	}
	enqueue := func(o any) {
		if key, err := cache.MetaNamespaceKeyFunc(o); err == nil {
			v.queue.Add(key)
		}
	}
	if _, err := core.PersistentVolumeClaims().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, o any) { enqueue(o) },
	}); err != nil {
		return nil, fmt.Errorf("watch the claims: %w", err)
	}
	v.provisioner = controller.NewProvisionController(context.Background(), client, Provisioner, v,
		controller.LeaderElection(false),
		controller.ClaimsInformer(core.PersistentVolumeClaims().Informer()),
		controller.VolumesInformer(core.PersistentVolumes().Informer()),
		controller.ClassesInformer(factory.Storage().V1().StorageClasses().Informer()),
		controller.Threadiness(4),
		controller.FailedProvisionThreshold(0), // a full disk may be emptied: never give up
		controller.FailedDeleteThreshold(0),
		controller.ResyncPeriod(10*time.Minute),
	)
	return v, nil
}

func (v *volumes) run(ctx context.Context) {
	go func() {
		<-ctx.Done()
		v.queue.ShutDown()
	}()
	go v.provisioner.Run(ctx)
	for {
		key, quit := v.queue.Get()
		if quit {
			return
		}
		if err := v.grow(ctx, key); err != nil {
			fmt.Println("grow the volume of claim", key+":", err)
			v.queue.AddRateLimited(key)
		} else {
			v.queue.Forget(key)
		}
		v.queue.Done(key)
	}
}

// Provision makes the folder of a claim's volume.
func (v *volumes) Provision(_ context.Context, o controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	if o.PVC.Spec.VolumeMode != nil && *o.PVC.Spec.VolumeMode == v1.PersistentVolumeBlock {
		return nil, controller.ProvisioningFinished, errors.New("a volume here is a folder; volumeMode Block is not to be had")
	}
	name, err := v.folder(o)
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if err := os.MkdirAll(filepath.Join(v.dir, name), 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("make the folder of the volume: %w", err)
	}
	// As a new disk's: whoever the pod runs as, if it has no fsGroup, may write.
	if err := os.Chmod(filepath.Join(v.dir, name), 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("open the folder of the volume: %w", err)
	}
	return persistentVolume(o, v.nodeDir+"/"+name, v.node), controller.ProvisioningFinished, nil
}

// folder names the folder of a claim's new volume: namespace_claim_volume. For a
// class that retains it is an older one of the same claim, if no volume is on it any
// more: what a cluster leaves that was removed without its volumes.
func (v *volumes) folder(o controller.ProvisionOptions) (string, error) {
	claim := o.PVC.Namespace + "_" + o.PVC.Name + "_"
	if o.StorageClass.ReclaimPolicy == nil || *o.StorageClass.ReclaimPolicy != v1.PersistentVolumeReclaimRetain {
		return claim + o.PVName, nil
	}
	entries, err := os.ReadDir(v.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look for a kept volume: %w", err)
	}
	known, err := v.knownFolders()
	if err != nil {
		return "", err
	}
	var newest fs.FileInfo
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), claim) || slices.Contains(known, e.Name()) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return "", fmt.Errorf("look for a kept volume: %w", err)
		}
		if newest == nil || info.ModTime().After(newest.ModTime()) {
			newest = info
		}
	}
	if newest != nil {
		return newest.Name(), nil
	}
	return claim + o.PVName, nil
}

// knownFolders are those of all volumes that the cluster knows.
func (v *volumes) knownFolders() ([]string, error) {
	pvs, err := v.client.CoreV1().PersistentVolumes().List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the volumes: %w", err)
	}
	var out []string
	for _, pv := range pvs.Items {
		if pv.Spec.Local != nil {
			out = append(out, filepath.Base(pv.Spec.Local.Path))
		}
	}
	return out, nil
}

// persistentVolume is the object of a volume.
func persistentVolume(o controller.ProvisionOptions, path, node string) *v1.PersistentVolume {
	mode := v1.PersistentVolumeFilesystem
	reclaim := v1.PersistentVolumeReclaimDelete
	if o.StorageClass.ReclaimPolicy != nil {
		reclaim = *o.StorageClass.ReclaimPolicy
	}
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: v1.PersistentVolumeSpec{
			Capacity:                      v1.ResourceList{v1.ResourceStorage: o.PVC.Spec.Resources.Requests[v1.ResourceStorage]},
			AccessModes:                   o.PVC.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: reclaim,
			MountOptions:                  o.StorageClass.MountOptions,
			VolumeMode:                    &mode,
			PersistentVolumeSource:        v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: path}},
			NodeAffinity: &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
				MatchExpressions: []v1.NodeSelectorRequirement{{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{node}}},
			}}}},
		},
	}
}

// Delete removes the folder of a volume that nobody claims any more.
func (v *volumes) Delete(_ context.Context, pv *v1.PersistentVolume) error {
	name, ok := volumeName(pv, v.nodeDir)
	if !ok {
		return &controller.IgnoredError{Reason: "its folder is not among the volumes"}
	}
	if err := os.RemoveAll(filepath.Join(v.dir, name)); err != nil {
		return fmt.Errorf("remove the folder of the volume: %w", err)
	}
	return nil
}

// volumeName is the name of a volume's folder, if that is among the volumes. Who may
// make a PersistentVolume may name any path in it.
func volumeName(pv *v1.PersistentVolume, dir string) (string, bool) {
	if pv.Spec.Local == nil {
		return "", false
	}
	name, ok := strings.CutPrefix(pv.Spec.Local.Path, dir+"/")
	return name, ok && filepath.IsLocal(name) && name != "." && !strings.Contains(name, "/")
}

// grow makes a bound claim's volume as big as the claim asks for. The folder is on
// the host's disk and has no size of its own, so that it is a matter of record.
func (v *volumes) grow(ctx context.Context, key string) error {
	ns, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return nil // no such key is ever added
	}
	claim, err := v.claims.PersistentVolumeClaims(ns).Get(name)
	if err != nil || claim.Status.Phase != v1.ClaimBound || claim.DeletionTimestamp != nil {
		return nil // gone, or looked at again when it is bound
	}
	want, have := claim.Spec.Resources.Requests[v1.ResourceStorage], claim.Status.Capacity[v1.ResourceStorage]
	if want.Cmp(have) <= 0 {
		return nil
	}
	pv, err := v.pvs.Get(claim.Spec.VolumeName)
	if err != nil {
		return err
	}
	if pv.Annotations["pv.kubernetes.io/provisioned-by"] != Provisioner {
		return nil
	}
	size := map[string]any{"capacity": map[string]any{string(v1.ResourceStorage): want.String()}}
	if at := pv.Spec.Capacity[v1.ResourceStorage]; want.Cmp(at) > 0 {
		patch, err := json.Marshal(map[string]any{"spec": size})
		if err != nil {
			return err
		}
		if _, err := v.client.CoreV1().PersistentVolumes().Patch(ctx, pv.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("resize volume %s: %w", pv.Name, err)
		}
	}
	patch, err := json.Marshal(map[string]any{"status": size})
	if err != nil {
		return err
	}
	if _, err := v.client.CoreV1().PersistentVolumeClaims(ns).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("resize the claim: %w", err)
	}
	return nil
}
