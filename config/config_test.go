package config

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sample is the file of the proof of concept.
const sample = `nodes:
    - host: localhost
      port: 30000
    - host: localhost
      port: 30001
    - host: localhost
      port: 30002
    - host: localhost
      port: 30003

clients:
    - host: localhost
      port: 20001
    - host: localhost
      port: 20002

loss%: 0

ckpt_interval: 10

retry_times_before_view_change: 2

sync_interval: 5

misc:
    network_timeout: 5
`

// nodesOnly makes the shortest file for n replicas.
func nodesOnly(n int) string {
	b := strings.Builder{}
	b.WriteString("nodes:\n")
	for i := range n {
		b.WriteString("- {host: localhost, port: " + strconv.Itoa(30000+i) + "}\n")
	}
	return b.String()
}

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("pbft.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSampleOfTheProofOfConceptLoads(t *testing.T) {
	c := parse(t, sample)
	want := defaults()
	for i := range 4 {
		want.Nodes = append(want.Nodes, Node{"localhost", 30000 + i, 30100 + i})
	}
	want.Clients = []Endpoint{{"localhost", 20001}, {"localhost", 20002}}
	want.CheckpointInterval = 10
	want.SyncInterval = 5 * time.Second
	want.Pipeline, want.Depth = 30, diskDepth
	want.ClusterID = c.ClusterID
	want.Notes = []string{"pipeline lowered from 32 to 30: the window of 40 batches less one checkpoint interval"}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if c.F() != 1 || c.Window() != 40 || c.MaxOperationBytes() != 1<<20-4<<10 {
		t.Errorf("F %d, window %d, largest operation %d", c.F(), c.Window(), c.MaxOperationBytes())
	}
}

// The cluster id and the digest are on the wire: other values are another
// version of it.
func TestClusterIDAndDigestAreGolden(t *testing.T) {
	c := parse(t, sample)
	if got, want := hex.EncodeToString(c.ClusterID[:]), "3ad18a30c01e276a3a779a1a68647b24f89adb29d85df6dd7030aa9e3492be94"; got != want {
		t.Errorf("cluster id %s, want %s", got, want)
	}
	if got, want := c.Digest().Hex(), "0df376a03239d8b3b9805cd1a37c93a8a75b4f761bafe400a3c7b95cc58818a0"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestShippedFileIsTheSampleAndListsEveryKeyWithItsDefault(t *testing.T) {
	data, err := os.ReadFile("../pbft.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shipped := string(data)
	if !strings.HasPrefix(shipped, sample) {
		t.Error("pbft.yaml does not start with the sample of the proof of concept")
	}
	all := regexp.MustCompile(`(?m)^# ([a-z_]+: .*)$`).ReplaceAllString(shipped, "$1")
	for _, k := range keys {
		name := k.name[strings.LastIndex(k.name, ".")+1:]
		if !strings.Contains(all, "\n"+name+": ") && !strings.Contains(all, "    "+name+": ") {
			t.Errorf("pbft.yaml does not mention %s", k.name)
		}
	}
	if got, want := parse(t, all), parse(t, sample); !reflect.DeepEqual(got, want) {
		t.Errorf("with every optional key uncommented:\ngot  %+v\nwant %+v", got, want)
	}
}

func TestOneNodeNeedsNothingElse(t *testing.T) {
	c := parse(t, "nodes: [{host: 127.0.0.1, port: 1, peer_port: 2}]")
	if c.F() != 0 || len(c.Notes) != 0 || c.Nodes[0].Addr() != "127.0.0.1:1" || c.Nodes[0].PeerAddr() != "127.0.0.1:2" {
		t.Errorf("%+v", c)
	}
}

func TestSixtyFourNodesWorkWithDefaults(t *testing.T) {
	c := parse(t, nodesOnly(64))
	if c.F() != 21 || c.CheckpointInterval >= 128 || len(c.Notes) == 0 {
		t.Errorf("f %d, ckpt_interval %d, notes %q", c.F(), c.CheckpointInterval, c.Notes)
	}
	explicit := nodesOnly(64) + "ckpt_interval: " + strconv.Itoa(c.CheckpointInterval)
	if d := parse(t, explicit); d.CheckpointInterval != c.CheckpointInterval {
		t.Error("the lowered default is refused as a value")
	}
	if _, err := Parse("f", []byte(nodesOnly(64)+"ckpt_interval: "+strconv.Itoa(c.CheckpointInterval+1))); err == nil {
		t.Error("one more than the lowered default is accepted")
	}
}

func TestValuesAreRead(t *testing.T) {
	c := parse(t, nodesOnly(4)+`
"loss%": 12.5
sync_interval: .25
misc: {network_timeout: 1e1}
max_pending_bytes: 1 GiB
history_bytes: 1048577
state_machine: "true"
allow_reply_hosts: [Example.COM., "::1"]
cluster_id: 1234567890123456789012345678901234567890123456789012345678901234
`)
	if c.LossPercent != 12.5 || c.SyncInterval != 250*time.Millisecond || c.NetworkTimeout != 10*time.Second ||
		c.MaxPendingBytes != 1<<30 || c.HistoryBytes != 1<<20+1 || c.StateMachine != "true" ||
		!reflect.DeepEqual(c.AllowReplyHosts, []string{"example.com", "::1"}) || c.ClusterID[0] != 0x12 {
		t.Errorf("%+v", c)
	}
}

func TestBatchesAreLoweredToFitTheWindow(t *testing.T) {
	c := parse(t, nodesOnly(4)+"window_bytes: 100 MiB\ndepth: 40\n")
	if c.MaxBatchBytes != 100<<20/256 {
		t.Errorf("max_batch_bytes %d", c.MaxBatchBytes)
	}
	want := []string{
		"max_batch_bytes lowered from 1048576 to 409600: window_bytes, 104857600, must hold two checkpoint intervals of 128 batches",
		"depth lowered from 40 to 32, the pipeline",
	}
	if !reflect.DeepEqual(c.Notes, want) {
		t.Errorf("notes %q", c.Notes)
	}
}

func TestPrintedConfigurationReadsBack(t *testing.T) {
	for _, text := range []string{sample, nodesOnly(1), nodesOnly(64), nodesOnly(4) + "state_machine: 'null'\nloss%: 0.125\nmax_drift: 0.0625\nallow_reply_hosts: ['null', 'fe80::1']\n"} {
		c := parse(t, text)
		out, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		d := parse(t, string(out))
		c.Notes = nil // said once is enough
		if !reflect.DeepEqual(c, d) {
			t.Errorf("%s\ngives %+v\nwas   %+v", out, d, c)
		}
	}
}

func TestDigestChangesWithEveryAgreedValueOnly(t *testing.T) {
	base := parse(t, nodesOnly(4)).Digest()
	for _, tt := range []struct {
		line   string
		agreed bool
	}{
		{"ckpt_interval: 64", true},
		{"window_checkpoints: 3", true},
		{"client_window: 64", true},
		{"max_batch: 256", true},
		{"max_batch_bytes: 512 KiB", true},
		{"window_bytes: 512 MiB", true},
		{"reply_bytes: 32 KiB", true},
		{"max_cached_result: 1 KiB", true},
		{"max_clients: 7", true},
		{"state_machine: kv", true},
		{"loss%: 5", false},
		{"pipeline: 4", false},
		{"view_change_timeout: 9", false},
		{"max_pending: 30000", false},
		{"history_bytes: 1 MiB", false},
		{"clients: [{host: localhost, port: 9}]", false},
	} {
		if got := parse(t, nodesOnly(4)+tt.line).Digest() != base; got != tt.agreed {
			t.Errorf("%s: digest changed: %t, want %t", tt.line, got, tt.agreed)
		}
	}
}

func TestClusterIDFollowsTheNodesUnlessGiven(t *testing.T) {
	a := parse(t, nodesOnly(4))
	if b := parse(t, nodesOnly(4)+"loss%: 1\nclients: [{host: a, port: 1}]"); b.ClusterID != a.ClusterID {
		t.Error("the id depends on more than the nodes")
	}
	if b := parse(t, strings.Replace(nodesOnly(4), "30003", "30004", 1)); b.ClusterID == a.ClusterID {
		t.Error("other nodes have the same id")
	}
	if b := parse(t, strings.Replace(nodesOnly(4), "localhost", "LOCALHOST.", 1)); b.ClusterID != a.ClusterID {
		t.Error("the spelling of a host changes the id")
	}
}

func TestAddressesOutsideTheMachineNeedInsecure(t *testing.T) {
	for host, loopback := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.8.9.10": true, "'::1'": true, "'::ffff:127.0.0.1'": true,
		"10.0.0.1": false, "example.com": false, "localhost.example.com": false, "'fe80::1'": false, "127.0.0.1.example.com": false,
	} {
		c := parse(t, nodesOnly(3)+"- {host: "+host+", port: 40000}\n")
		err := c.CheckAddresses(false)
		if (err == nil) != loopback {
			t.Errorf("%s: %v", host, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "nodes[3].host") || !strings.Contains(err.Error(), "--insecure")) {
			t.Errorf("%s: error does not say where or what to do: %v", host, err)
		}
		if err := c.CheckAddresses(true); err != nil {
			t.Errorf("%s with insecure: %v", host, err)
		}
	}
}

func TestLoadNamesTheFileItCannotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent.yaml")
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
	path = filepath.Join(t.TempDir(), "pbft.yaml")
	if err := os.WriteFile(path, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Error(err)
	}
}

func TestOfflineIsTheConfigurationThatWroteADirectory(t *testing.T) {
	c, err := Parse("f", []byte("nodes: [{host: a.example, port: 1}]\nckpt_interval: 7\nmax_batch_bytes: 3 MiB\nstatus_budget: 4 MiB\nstate_machine: kv\n"))
	if err != nil {
		t.Fatal(err)
	}
	agreed := map[string]string{}
	for _, v := range c.Agreed() {
		agreed[v.Name] = v.Value
	}
	again, err := Offline(c.ClusterID, agreed)
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest() != c.Digest() {
		t.Errorf("agreed values are %v, want %v", again.Agreed(), c.Agreed())
	}
	agreed["shoe_size"] = "42"
	if _, err := Offline(c.ClusterID, agreed); err == nil || !strings.Contains(err.Error(), "shoe_size") {
		t.Errorf("a value of another version: %v", err)
	}
	delete(agreed, "shoe_size")
	agreed["replicas"] = "2"
	if _, err := Offline(c.ClusterID, agreed); err == nil {
		t.Error("two replicas were accepted")
	}
}
