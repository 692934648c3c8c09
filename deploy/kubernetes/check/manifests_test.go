package check

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// scaledObject and triggerAuthentication are the parts of KEDA's types that the manifests use.
type scaledObject struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		ScaleTargetRef  struct{ Name string } `json:"scaleTargetRef"`
		MinReplicaCount *int32                `json:"minReplicaCount"`
		MaxReplicaCount *int32                `json:"maxReplicaCount"`
		CooldownPeriod  *int32                `json:"cooldownPeriod"`
		Triggers        []struct {
			Type              string            `json:"type"`
			Metadata          map[string]string `json:"metadata"`
			AuthenticationRef struct{ Name string }
		} `json:"triggers"`
	} `json:"spec"`
}

type triggerAuthentication struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		SecretTargetRef []struct{ Parameter, Name, Key string } `json:"secretTargetRef"`
	} `json:"spec"`
}

// set holds the objects of some folders, by kind.
type set struct {
	deployments []*apps.Deployment
	jobs        []*batch.Job
	services    []*core.Service
	budgets     []*policy.PodDisruptionBudget
	policies    []*networking.NetworkPolicy
	scalers     []*autoscaling.HorizontalPodAutoscaler
	streams     []*scaledObject
	text        string
}

// build renders a folder as kubectl does, and decodes each object strictly: an unknown field
// is an error.
func (s *set) build(t *testing.T, folder string) {
	t.Helper()
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join("..", folder))
	require.NoError(t, err)
	for _, r := range rendered.Resources() {
		text, err := r.AsYAML()
		require.NoError(t, err)
		s.text += string(text)
		var object any
		switch kind := r.GetApiVersion() + " " + r.GetKind(); kind {
		case "apps/v1 Deployment":
			object = keep(&s.deployments)
		case "batch/v1 Job":
			object = keep(&s.jobs)
		case "v1 Service":
			object = keep(&s.services)
		case "v1 ConfigMap":
			object = new(core.ConfigMap)
		case "policy/v1 PodDisruptionBudget":
			object = keep(&s.budgets)
		case "networking.k8s.io/v1 NetworkPolicy":
			object = keep(&s.policies)
		case "autoscaling/v2 HorizontalPodAutoscaler":
			object = keep(&s.scalers)
		case "keda.sh/v1alpha1 ScaledObject":
			object = keep(&s.streams)
		case "keda.sh/v1alpha1 TriggerAuthentication":
			object = new(triggerAuthentication)
		default:
			t.Fatalf("%s: no type for %s", folder, kind)
		}
		require.NoError(t, yaml.UnmarshalStrict(text, object, yaml.DisallowUnknownFields), "%s %s", folder, r.GetName())
	}
}

// keep adds a new object to a list and returns it.
func keep[T any](list *[]*T) *T {
	one := new(T)
	*list = append(*list, one)
	return one
}

func all(t *testing.T) *set {
	t.Helper()
	s := new(set)
	s.build(t, "gateway")
	s.build(t, "service")
	return s
}

// pods returns the pods of all workloads, by name.
func (s *set) pods() map[string]*core.PodTemplateSpec {
	pods := make(map[string]*core.PodTemplateSpec)
	for _, d := range s.deployments {
		pods[d.Name] = &d.Spec.Template
	}
	for _, j := range s.jobs {
		pods[j.Name] = &j.Spec.Template
	}
	return pods
}

// The level "restricted" of the pod security standards, and what goes beyond it.
func TestPodsAreRestricted(t *testing.T) {
	t.Parallel()
	for name, pod := range all(t).pods() {
		spec := pod.Spec
		require.NotNil(t, spec.SecurityContext, name)
		assert.True(t, *spec.SecurityContext.RunAsNonRoot, name)
		assert.Equal(t, core.SeccompProfileTypeRuntimeDefault, spec.SecurityContext.SeccompProfile.Type, name)
		assert.False(t, *spec.AutomountServiceAccountToken, name)
		assert.False(t, spec.HostNetwork || spec.HostPID || spec.HostIPC, name)
		for _, c := range spec.Containers {
			require.NotNil(t, c.SecurityContext, name)
			assert.False(t, *c.SecurityContext.AllowPrivilegeEscalation, name)
			assert.True(t, *c.SecurityContext.ReadOnlyRootFilesystem, name)
			assert.Equal(t, []core.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop, name)
			assert.False(t, c.Resources.Limits.Memory().IsZero(), name)
			assert.False(t, c.Resources.Requests.Cpu().IsZero(), name)
		}
		for _, v := range spec.Volumes {
			assert.True(t, v.Secret != nil || v.ConfigMap != nil, "%s: %s", name, v.Name)
		}
	}
}

func TestProbesAndStopping(t *testing.T) {
	t.Parallel()
	for _, d := range all(t).deployments {
		spec := d.Spec.Template.Spec
		c := spec.Containers[0]
		ports := make(map[string]bool)
		for _, p := range c.Ports {
			ports[p.Name] = true
		}
		for path, probe := range map[string]*core.Probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
			require.NotNil(t, probe, d.Name)
			assert.Equal(t, path, probe.HTTPGet.Path, d.Name)
			assert.True(t, ports[probe.HTTPGet.Port.String()], d.Name)
		}
		assert.Equal(t, "/healthz", c.StartupProbe.HTTPGet.Path)
		stops := seconds(t, c.Env, "MAILROOM_DRAIN") + seconds(t, c.Env, "MAILROOM_DRAIN_DELAY")
		assert.GreaterOrEqual(t, *spec.TerminationGracePeriodSeconds, stops+5, d.Name)
		if d.Name == "mailroom-gateway" {
			unready := int64(c.ReadinessProbe.PeriodSeconds * c.ReadinessProbe.FailureThreshold)
			assert.Greater(t, seconds(t, c.Env, "MAILROOM_DRAIN_DELAY"), unready, "it stops before the probe has failed")
		}
		assert.Zero(t, d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue(), d.Name)
	}
}

// seconds returns the value of a variable in seconds; 0: it is not set.
func seconds(t *testing.T, env []core.EnvVar, name string) int64 {
	t.Helper()
	for _, v := range env {
		if v.Name == name {
			d, err := time.ParseDuration(v.Value)
			require.NoError(t, err)
			return int64(d.Seconds())
		}
	}
	return 0
}

// Each selector finds the pods that it is for.
func TestSelectors(t *testing.T) {
	t.Parallel()
	s := all(t)
	pods := s.pods()
	found := func(selector labels.Selector) (names []string) {
		for name, pod := range pods {
			if selector.Matches(labels.Set(pod.Labels)) {
				names = append(names, name)
			}
		}
		return names
	}
	of := func(selector *meta.LabelSelector) []string {
		compiled, err := meta.LabelSelectorAsSelector(selector)
		require.NoError(t, err)
		return found(compiled)
	}
	for _, d := range s.deployments {
		assert.Equal(t, []string{d.Name}, of(d.Spec.Selector))
	}
	for _, b := range s.budgets {
		assert.Equal(t, []string{b.Name}, of(b.Spec.Selector))
	}
	for _, service := range s.services {
		assert.Equal(t, []string{"mailroom-gateway"}, found(labels.SelectorFromSet(service.Spec.Selector)))
	}
	for _, p := range s.policies {
		want := map[string][]string{
			"mailroom-closed": {"mailroom-functions", "mailroom-gateway", "users"}, "mailroom-ops": {"mailroom-functions", "mailroom-gateway", "users"},
			"mailroom-gateway": {"mailroom-gateway"},
		}[p.Name]
		assert.ElementsMatch(t, want, of(&p.Spec.PodSelector), p.Name)
	}
	for _, h := range s.scalers {
		assert.NotNil(t, pods[h.Spec.ScaleTargetRef.Name])
	}
}

func TestScalerOfStreams(t *testing.T) {
	t.Parallel()
	s := new(set)
	s.build(t, "keda")
	assert.Empty(t, s.scalers, "two autoscalers would fight")
	require.Len(t, s.streams, 1)
	require.Len(t, s.streams[0].Spec.Triggers, 1)
	trigger := s.streams[0].Spec.Triggers[0]
	assert.Equal(t, "mailroom:{users}:requests", trigger.Metadata["stream"])
	assert.Equal(t, "workers", trigger.Metadata["consumerGroup"])
	assert.Equal(t, "mailroom-keda", trigger.AuthenticationRef.Name)
}

// Each variable is a setting, and each secret is described.
func TestSettingsAndSecretsExist(t *testing.T) {
	t.Parallel()
	s := all(t)
	s.build(t, "keda")
	settings, err := os.ReadFile("../../../docs/reference/settings.md")
	require.NoError(t, err)
	for _, name := range regexp.MustCompile(`MAILROOM_[A-Z_]+`).FindAllString(s.text, -1) {
		assert.Contains(t, string(settings), "`"+name+"`")
	}
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	for _, name := range regexp.MustCompile(`(?:secretName|name): (mailroom-(?:api|admin|users|keda))\b`).FindAllSubmatch([]byte(s.text), -1) {
		assert.True(t, bytes.Contains(readme, name[1]), string(name[1]))
	}
}
