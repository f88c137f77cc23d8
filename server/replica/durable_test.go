package replica_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/replica"
	"github.com/pbft-go/pbft/server/replica/replicatest"
)

// submit sends a request, again if a view change stands in its way: primaries that
// restart abdicate, also after they were ready.
func submit(t *testing.T, c *replicatest.Cluster, to int, number uint64) {
	t.Helper()
	for {
		_, err := pbftv1.NewClientServiceClient(c.Conn(to)).Submit(t.Context(), &pbftv1.SubmitRequest{
			Client: "me", Number: number, Op: fmt.Append(nil, "op ", number),
		})
		switch status.Code(err) {
		case codes.OK:
			return
		case codes.Unavailable:
			c.WaitReady(to)
		default:
			t.Fatalf("request %d at replica %d: %v", number, to, err)
		}
	}
}

// TestAClusterThatWasStoppedGoesOn stops all replicas, and starts them again.
func TestAClusterThatWasStoppedGoesOn(t *testing.T) {
	c := replicatest.Start(t, 4, "durability: disk\nckpt_interval: 4\n")
	for number := range uint64(10) {
		submit(t, c, int(number%4), number)
	}
	c.RestartAll()
	if s := c.Status(0); s.GetDurability() != "disk" || s.GetLogBytes() == 0 || s.GetDataDir() == "" || len(s.GetSyncs().GetCounts()) == 0 {
		t.Errorf("status says durability %q, data in %q, %d bytes of log", s.GetDurability(), s.GetDataDir(), s.GetLogBytes())
	}
	for number := range uint64(12) {
		submit(t, c, 3, number) // the first ten are answered from what was kept
	}
	until(t, "replica 3 has executed 12 requests, each once", func() bool { return len(c.Dump(3)) == 12 })
}

// TestADataDirectoryIsExaminedAndDumped while no replica uses it, and not while
// one does.
func TestADataDirectoryIsExaminedAndDumped(t *testing.T) {
	c := replicatest.Start(t, 1, "durability: disk\nckpt_interval: 4\n")
	for number := range uint64(6) {
		submit(t, c, 0, number)
	}
	dir := c.Config.ReplicaDir(0)
	var out bytes.Buffer
	if err := replica.Check(dir, &out); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a directory in use: %v", err)
	}
	c.StopReplica(0)
	out.Reset()
	if err := replica.Check(dir, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"replica 0 of 1", "orderly stop", "committed up to 6"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("check lacks %q:\n%s", want, &out)
		}
	}
	out.Reset()
	first, err := replica.Dump(dir, &out)
	if err != nil || first != 1 || !strings.HasPrefix(out.String(), `[[["me", 0], "op 0"], `) || !strings.HasSuffix(out.String(), `[["me", 5], "op 5"]]`+"\n") {
		t.Errorf("dump from batch %d on: %s, %v", first, &out, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "log", "*.log"))
	if err != nil || len(files) != 1 {
		t.Fatalf("log files %v, %v", files, err)
	}
	harm(t, files[0], 3*4096+200)
	if err := replica.Check(dir, &out); err == nil || !strings.Contains(err.Error(), files[0]) {
		t.Errorf("a damaged log: %v", err)
	}
	if _, err := replica.New(replica.Options{Config: c.Config, Index: 0}); err == nil || !strings.Contains(err.Error(), files[0]) {
		t.Errorf("a replica started on a damaged log: %v", err)
	}
}

// harm changes one byte of a file.
func harm(t *testing.T, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}
