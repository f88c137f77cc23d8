package crypto

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// randomGroup makes a valid group, often with extreme values.
func randomGroup(seed uint64) Group {
	rnd := rand.New(rand.NewPCG(seed, 2))
	some := func(n int) []byte {
		b := make([]byte, rnd.IntN(n))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	g := Group{
		Client:  strings.Repeat("c", 1+rnd.IntN(MaxClientName)),
		Session: rnd.Uint64() >> rnd.IntN(65),
		Origin:  uint16(rnd.Uint32()),
	}
	if rnd.IntN(2) == 0 {
		g.Signature = bytes.Repeat([]byte{byte(seed)}, SignatureSize)
	}
	number := uint64(0)
	for range 1 + rnd.IntN(6) {
		number += 1 + rnd.Uint64N(1<<48)
		g.Requests = append(g.Requests, Request{
			Number: number, Kind: Kind(1 + rnd.IntN(4)), Op: some(100), ClientTime: rnd.Uint64(), ReplyURL: hex.AppendEncode(nil, some(20)),
		})
	}
	return g
}

// ungroup is the group that a view shows.
func ungroup(v GroupView) Group {
	g := Group{Client: string(v.Client), Session: v.Session, Signature: v.Signature, Origin: v.Origin}
	c := v.Cursor()
	for r := (Request{}); c.Next(&r); {
		g.Requests = append(g.Requests, r)
	}
	return g
}

func TestGroupsComeBackAsAppended(t *testing.T) {
	for seed := range uint64(300) {
		g := randomGroup(seed)
		raw := g.Append(nil)
		v, err := ParseGroup(raw)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		back := ungroup(v)
		if v.Count != len(g.Requests) || len(back.Requests) != v.Count {
			t.Fatalf("seed %d: count %d, cursor gave %d, want %d", seed, v.Count, len(back.Requests), len(g.Requests))
		}
		if !bytes.Equal(back.Append(nil), raw) || !bytes.Equal(v.Raw, raw) {
			t.Fatalf("seed %d: another group came back", seed)
		}
		if !bytes.Equal(v.Signed(), g.AppendSigned(nil)) {
			t.Fatalf("seed %d: signed part differs", seed)
		}
		if v.FirstNumber() != g.Requests[0].Number {
			t.Fatalf("seed %d: first number %d, want %d", seed, v.FirstNumber(), g.Requests[0].Number)
		}
	}
}

func TestEveryTruncationOfAGroupIsRefused(t *testing.T) {
	for seed := range uint64(20) {
		g := randomGroup(seed)
		raw := g.Append(nil)
		for n := range raw {
			if _, err := ParseGroup(raw[:n:n]); err == nil {
				t.Fatalf("seed %d: the first %d of %d bytes are taken for a group", seed, n, len(raw))
			}
		}
	}
}

func TestTrailingBytesOfAGroupAreRefused(t *testing.T) {
	for seed := range uint64(20) {
		g := randomGroup(seed)
		for b := range 256 {
			if _, err := ParseGroup(append(g.Append(nil), byte(b))); err == nil {
				t.Fatalf("seed %d: trailing byte %d accepted", seed, b)
			}
		}
	}
}

// valid is a group that each of the tests below spoils.
func valid() Group {
	return Group{
		Client: "alice", Session: 1,
		Requests: []Request{
			{Number: 1, Kind: KindOperation, Op: []byte("x"), ClientTime: NoClientTime},
			{Number: 2, Kind: KindOperation, ClientTime: NoClientTime},
		},
	}
}

func TestGroupLimits(t *testing.T) {
	many := func(n int) []Request {
		rs := make([]Request, n)
		for i := range rs {
			rs[i] = Request{Number: uint64(i), Kind: KindOperation, ClientTime: NoClientTime}
		}
		return rs
	}
	g := valid()
	overhead := len(g.Append(nil))
	for name, c := range map[string]struct {
		spoil func(*Group)
		want  string // empty: allowed
	}{
		"nothing wrong":         {func(*Group) {}, ""},
		"longest client":        {func(g *Group) { g.Client = strings.Repeat("c", 64) }, ""},
		"client too long":       {func(g *Group) { g.Client = strings.Repeat("c", 65) }, "client id of 65 bytes, allowed are 1 to 64"},
		"no client":             {func(g *Group) { g.Client = "" }, "client id of 0 bytes, allowed are 1 to 64"},
		"client not UTF-8":      {func(g *Group) { g.Client = "a\xff" }, `client id "a\xff" is no valid UTF-8`},
		"most requests":         {func(g *Group) { g.Requests = many(256) }, ""},
		"too many requests":     {func(g *Group) { g.Requests = many(257) }, `group of client "alice": 257 requests, allowed are 1 to 256`},
		"no request":            {func(g *Group) { g.Requests = nil }, `group of client "alice": 0 requests, allowed are 1 to 256`},
		"largest number":        {func(g *Group) { g.Requests[1].Number = 1<<53 - 1 }, ""},
		"number too large":      {func(g *Group) { g.Requests[1].Number = 1 << 53 }, `group of client "alice": number 9007199254740992, the largest allowed is 9007199254740991`},
		"number twice":          {func(g *Group) { g.Requests[1].Number = 1 }, `group of client "alice": number 1 behind 1, numbers must increase`},
		"numbers fall":          {func(g *Group) { g.Requests[1].Number = 0 }, `group of client "alice": number 0 behind 1, numbers must increase`},
		"kind 0":                {func(g *Group) { g.Requests[0].Kind = 0 }, `group of client "alice": request 1 has unknown kind 0`},
		"kind 5":                {func(g *Group) { g.Requests[0].Kind = 5 }, `group of client "alice": request 1 has unknown kind 5`},
		"longest reply_url":     {func(g *Group) { g.Requests[0].ReplyURL = make([]byte, 2048) }, ""},
		"reply_url too long":    {func(g *Group) { g.Requests[0].ReplyURL = make([]byte, 2049) }, `group of client "alice": reply_url of 2049 bytes, the most allowed is 2048`},
		"signature":             {func(g *Group) { g.Signature = make([]byte, 64) }, ""},
		"signature too short":   {func(g *Group) { g.Signature = make([]byte, 63) }, `group of client "alice": signature of 63 bytes, allowed are 0 or 64`},
		"signature too long":    {func(g *Group) { g.Signature = make([]byte, 65) }, `group of client "alice": signature of 65 bytes, allowed are 0 or 64`},
		"most bytes":            {func(g *Group) { g.Requests[1].Op = make([]byte, MaxGroupBytes-overhead) }, ""},
		"too many bytes":        {func(g *Group) { g.Requests[1].Op = make([]byte, MaxGroupBytes-overhead+1) }, `group of client "alice": 262145 bytes in 2 requests, allowed are 262144`},
		"many bytes in one":     {func(g *Group) { g.Requests = g.Requests[:1]; g.Requests[0].Op = make([]byte, 2*MaxGroupBytes) }, ""},
		"largest other numbers": {func(g *Group) { g.Session, g.Origin, g.Requests[0].ClientTime = 1<<64-1, 1<<16-1, 1<<64-1 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := valid()
			c.spoil(&g)
			_, err := ParseGroup(g.Append(nil))
			if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestGroupLengthsThatLieAreRefused(t *testing.T) {
	g := valid()
	raw := g.Append(nil)
	// The lengths of client, first operation and first reply_url, and the count.
	for _, at := range []int{0, 4 + 5 + 8, 4 + 5 + 8 + 4 + 9, 4 + 5 + 8 + 4 + 9 + 5 + 8} {
		for _, length := range []uint32{3, 1 << 20, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
			spoiled := bytes.Clone(raw)
			binary.BigEndian.PutUint32(spoiled[at:], length)
			if _, err := ParseGroup(spoiled); err == nil {
				t.Errorf("length %d at byte %d accepted", length, at)
			}
		}
	}
}

func TestOriginIsReplacedInACopy(t *testing.T) {
	for seed := range uint64(50) {
		g := randomGroup(seed)
		raw := g.Append(nil)
		before := bytes.Clone(raw)
		v, err := ParseGroup(raw)
		if err != nil {
			t.Fatal(err)
		}
		if same := v.WithOrigin(g.Origin); &same[0] != &raw[0] {
			t.Error("copied without need")
		}
		g.Origin ^= 1
		if got := v.WithOrigin(g.Origin); !bytes.Equal(got, g.Append(nil)) || !bytes.Equal(raw, before) {
			t.Errorf("seed %d: wrong bytes, or the original changed", seed)
		}
	}
}

func TestRebasedGroupLivesInTheCopy(t *testing.T) {
	for seed := range uint64(50) {
		g := randomGroup(seed)
		raw := g.Append(nil)
		v, err := ParseGroup(raw)
		if err != nil {
			t.Fatal(err)
		}
		clone := bytes.Clone(raw)
		moved := v.Rebase(clone)
		clear(raw)
		back := ungroup(moved)
		if !bytes.Equal(back.Append(nil), clone) || !bytes.Equal(moved.Signed(), g.AppendSigned(nil)) || moved.Count != v.Count {
			t.Errorf("seed %d: the view does not live in the copy", seed)
		}
	}
}

func TestWalkingAGroupAllocatesNothing(t *testing.T) {
	g := randomGroup(1)
	v, err := ParseGroup(g.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() {
		c := v.Cursor()
		for r := (Request{}); c.Next(&r); {
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseGroup(f *testing.F) {
	for _, g := range vectorGroups() {
		f.Add(g.Append(nil))
	}
	f.Add(slices.Concat([]byte{0, 0, 0, 1, 'a'}, make([]byte, 8), []byte{0xff, 0xff, 0xff, 0xff}))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ParseGroup(b)
		if err != nil {
			return
		}
		g := ungroup(v)
		if len(g.Requests) != v.Count || !bytes.Equal(g.Append(nil), b) {
			t.Fatalf("another group came back: %+v", g)
		}
		if moved := v.Rebase(bytes.Clone(b)); !bytes.Equal(moved.Signed(), g.AppendSigned(nil)) {
			t.Fatal("rebased group differs")
		}
	})
}
