package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
)

func testIdentity() Identity {
	return Identity{Cluster: crypto.ClusterID{7}, Replica: 2, Incarnation: 1, Agreed: []config.Value{{Name: "replicas", Value: "4"}, {Name: "ckpt_interval", Value: "128"}}}
}

func TestADirectoryIsClaimedOnce(t *testing.T) {
	dir := t.TempDir()
	id := testIdentity()
	if isNew, err := claim(dir, &id); err != nil || !isNew {
		t.Fatalf("new=%t, %v", isNew, err)
	}
	if isNew, err := claim(dir, &id); err != nil || isNew {
		t.Fatalf("again: new=%t, %v", isNew, err)
	}
}

func TestADirectoryOfAnotherIsRefused(t *testing.T) {
	dir := t.TempDir()
	id := testIdentity()
	if _, err := claim(dir, &id); err != nil {
		t.Fatal(err)
	}
	for want, edit := range map[string]func(*Identity){
		"cluster is":           func(id *Identity) { id.Cluster[0]++ },
		"replica is 2":         func(id *Identity) { id.Replica = 3 },
		"incarnation is 1":     func(id *Identity) { id.Incarnation = 2 },
		"ckpt_interval is 128": func(id *Identity) { id.Agreed[1].Value = "64" },
		"max_batch is not":     func(id *Identity) { id.Agreed = append(id.Agreed, config.Value{Name: "max_batch", Value: "9"}) },
		"replicas is 4":        func(id *Identity) { id.Agreed = id.Agreed[1:] },
	} {
		other := testIdentity()
		edit(&other)
		if _, err := claim(dir, &other); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestADirectoryThatIsNoneIsRefused(t *testing.T) {
	for name, content := range map[string]string{
		"notes.txt": "mine",
		markerName:  "format: 2\n",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		id := testIdentity()
		if _, err := claim(dir, &id); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, markerName), []byte("format: 1\nshoe: 4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	id := testIdentity()
	if _, err := claim(dir, &id); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("unknown key: error %v", err)
	}
}
