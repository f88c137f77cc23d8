package storage

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/storage/file"
)

// Format is the version of everything in a data directory.
const Format = 1

// markerName is the file that says whose directory it is.
const markerName = "replica.yaml"

const markerHead = "# The data directory of one replica. It is one promise: never edit it, copy it\n" +
	"# back, or give it to another replica. docs/operations.md says what to do instead.\n"

// Identity says whose data a directory holds, and under which rules it was
// written.
type Identity struct {
	Cluster     crypto.ClusterID
	Replica     int
	Incarnation uint32
	Agreed      []config.Value // what all replicas must agree on
}

// marker is an Identity in its file.
type marker struct {
	Format      int               `yaml:"format"`
	Cluster     string            `yaml:"cluster"`
	Replica     int               `yaml:"replica"`
	Incarnation uint32            `yaml:"incarnation"`
	Agreed      map[string]string `yaml:"agreed"`
}

func (id *Identity) marker() *marker {
	m := &marker{
		Format: Format, Cluster: hex.EncodeToString(id.Cluster[:]), Replica: id.Replica, Incarnation: id.Incarnation,
		Agreed: map[string]string{},
	}
	for _, v := range id.Agreed {
		m.Agreed[v.Name] = v.Value
	}
	return m
}

// readMarker reads the marker of dir, nil if there is none.
func readMarker(dir string) (*marker, error) {
	name := filepath.Join(dir, markerName)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("marker of the data directory: %w", err)
	}
	m := &marker{}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(m); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s is damaged: %w", name, err)
	}
	if m.Format != Format {
		return nil, fmt.Errorf("%s: format %d, this program reads format %d: run the version that wrote it", name, m.Format, Format)
	}
	return m, nil
}

// claim makes dir the directory of id, or checks that it is. It reports whether
// it was empty.
func claim(dir string, id *Identity) (isNew bool, err error) {
	want := id.marker()
	have, err := readMarker(dir)
	if err != nil {
		return false, err
	}
	if have != nil {
		return false, have.match(filepath.Join(dir, markerName), want)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("data directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() != lockName && e.Name() != "lost+found" && filepath.Ext(e.Name()) != ".tmp" {
			return false, fmt.Errorf("data directory %s holds %s but no %s: it is not one of this service, or was damaged; name another data_dir, or an empty one", dir, e.Name(), markerName)
		}
	}
	text, err := yaml.Marshal(want)
	if err != nil {
		return false, fmt.Errorf("marker: %w", err)
	}
	return true, file.WriteFileAtomic(filepath.Join(dir, markerName), append([]byte(markerHead), text...))
}

// match compares a marker with what the configuration says.
func (m *marker) match(name string, want *marker) error {
	differs := func(what string, have, wanted any) error {
		return fmt.Errorf("%s: %s is %v, the configuration has %v: this is the data of another replica, or the configuration was changed; go back to it, or name another data_dir", name, what, have, wanted)
	}
	switch {
	case m.Cluster != want.Cluster:
		return differs("cluster", m.Cluster, want.Cluster)
	case m.Replica != want.Replica:
		return differs("replica", m.Replica, want.Replica)
	case m.Incarnation != want.Incarnation:
		return differs("incarnation", m.Incarnation, want.Incarnation)
	}
	for _, k := range names(m.Agreed, want.Agreed) {
		if m.Agreed[k] != want.Agreed[k] {
			return differs(k, quoted(m.Agreed[k]), quoted(want.Agreed[k]))
		}
	}
	return nil
}

func quoted(s string) string {
	if s == "" {
		return "not there"
	}
	return s
}

// names are the keys of both, sorted.
func names(a, b map[string]string) (out []string) {
	for k := range a {
		out = append(out, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}
