package consensus

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// TestInteraction runs the scripts in testdata. Each command is followed by
// the effects that it had, one stable line per message. Run with -rewrite to
// accept new ones, and read the difference.
//
//	new n=4 [fresh]             a new cluster
//	request to=0 client=a numbers=(1,2) [alone] [retry] [json]
//	deliver [from=i] [to=j] [kind=word]   what is on its way, in order
//	drop    [from=i] [to=j] [kind=word]
//	tick n=10
//	stop i=3 | continue i=3
//	lie from=3 to=1 say=prepare n=1 digest=x
//	state                       where each replica stands
func TestInteraction(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var s session
		datadriven.RunTest(t, path, s.run)
	})
}

type session struct {
	c   *cluster
	out []string
}

func (s *session) run(t *testing.T, d *datadriven.TestData) string {
	s.out = nil
	if d.Cmd == "new" {
		var n int
		d.ScanArgs(t, "n", &n)
		s.c = newCluster(t, n, func(c *Config) { c.Fresh = d.HasArg("fresh") })
		s.c.queue = nil
		return ""
	}
	s.c.t = t
	s.c.trace = func(format string, args ...any) { s.out = append(s.out, fmt.Sprintf(format, args...)) }
	switch d.Cmd {
	case "request":
		s.request(t, d)
	case "deliver":
		for i := s.find(d); i >= 0; i = s.find(d) {
			s.c.deliver(i)
		}
	case "drop":
		for i := s.find(d); i >= 0; i = s.find(d) {
			e := s.c.queue[i]
			s.out = append(s.out, fmt.Sprintf("%d -> %d lost: %s", e.from, e.to, Describe(e.msg)))
			s.c.queue = append(s.c.queue[:i], s.c.queue[i+1:]...)
		}
	case "tick":
		var n int
		d.ScanArgs(t, "n", &n)
		s.c.ticks(n)
	case "stop", "continue":
		var i int
		d.ScanArgs(t, "i", &i)
		s.c.nodes[i].stopped = d.Cmd == "stop"
	case "lie":
		s.lie(t, d)
	case "state":
		for i, n := range s.c.nodes {
			s.out = append(s.out, fmt.Sprintf("%d: %s h=%d exec=%d committed=%d pending=%d", i, n.status, n.h, n.lastExec, n.lastCommitted, n.pend.requests))
		}
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
	if len(s.out) == 0 {
		return "ok\n"
	}
	return strings.Join(s.out, "\n") + "\n"
}

func (s *session) request(t *testing.T, d *datadriven.TestData) {
	var to int
	var client string
	var numbers []uint64
	d.ScanArgs(t, "to", &to)
	d.ScanArgs(t, "client", &client)
	for _, a := range d.CmdArgs {
		if a.Key == "numbers" {
			for _, v := range a.Vals {
				x, err := strconv.ParseUint(v, 10, 64)
				if err != nil {
					t.Fatalf("%s: %v", d.Pos, err)
				}
				numbers = append(numbers, x)
			}
		}
	}
	s.c.request(to, Source{Alone: d.HasArg("alone"), Retry: d.HasArg("retry"), JSON: d.HasArg("json")}, client, numbers...)
}

// find is the first message on its way that the command means, or -1.
func (s *session) find(d *datadriven.TestData) int {
	match := func(key string, v string) bool {
		for _, a := range d.CmdArgs {
			if a.Key == key {
				return len(a.Vals) == 1 && a.Vals[0] == v
			}
		}
		return true
	}
	for i, e := range s.c.queue {
		kind, _, _ := strings.Cut(Describe(e.msg), " ")
		if match("from", strconv.Itoa(e.from)) && match("to", strconv.Itoa(e.to)) && match("kind", kind) {
			return i
		}
	}
	return -1
}

func (s *session) lie(t *testing.T, d *datadriven.TestData) {
	var from, to int
	var say, digest string
	var n uint64
	d.ScanArgs(t, "from", &from)
	d.ScanArgs(t, "to", &to)
	d.ScanArgs(t, "say", &say)
	d.ScanArgs(t, "n", &n)
	d.ScanArgs(t, "digest", &digest)
	h := s.c.id.Hash(crypto.TagValue, []byte(digest))
	var m message.Message
	switch say {
	case "prepare":
		m = &message.Prepare{N: n, Digest: h}
	case "commit":
		m = &message.Commit{N: n, Digest: h}
	case "committed":
		m = &message.Committed{Entries: []message.NDigest{{N: n, Digest: h}}}
	case "pre-prepare":
		m = &message.PrePrepare{Batch: message.NewBatch(s.c.id, message.Header{N: n, WallUS: s.c.wallUS}, []crypto.GroupView{makeGroup(digest, n)})}
	default:
		t.Fatalf("%s: cannot say %q", d.Pos, say)
	}
	s.c.queue = append([]envelope{{from, to, m}}, s.c.queue...)
	s.c.deliver(0)
}
