package crypto

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// Kind says what a request asks for.
type Kind uint8

// The kinds of requests. Only operations are served yet.
const (
	KindOperation Kind = 1
	KindRead      Kind = 2
	KindConfig    Kind = 3
	KindRejoin    Kind = 4
)

// Limits that every replica enforces, part of the protocol's version.
const (
	MaxClientName = 64             // bytes of a client id
	MaxNumber     = 1<<53 - 1      // largest request number: exact as a JSON number
	MaxReplyURL   = 2048           // bytes of a reply URL
	MaxGroup      = 256            // requests in a group
	MaxGroupBytes = 256 << 10      // bytes of a group of more than one request
	SignatureSize = 64             // bytes of an Ed25519 signature
	NoClientTime  = 0x7ff8<<48 | 1 // client_time of a request that has none: a NaN that JSON cannot say
)

// Request is one request of a client.
type Request struct {
	Number     uint64
	Kind       Kind
	Op         []byte
	ClientTime uint64 // IEEE 754 bits, opaque; NoClientTime if there is none
	ReplyURL   []byte
}

// Group is what one session submits at once: the unit of admission, signature
// and relay. The request is the unit of identity and execution.
type Group struct {
	Client    string
	Session   uint64
	Requests  []Request
	Signature []byte // empty, or SignatureSize bytes
	Origin    uint16 // replica that admitted it, plus one; 0: none; not signed
}

// AppendSigned appends the bytes that the client signs: all but the signature
// and the origin.
func (g *Group) AppendSigned(b []byte) []byte {
	b = AppendString(b, g.Client)
	b = AppendU64(b, g.Session)
	b = AppendU32(b, uint32(len(g.Requests)))
	for i := range g.Requests {
		r := &g.Requests[i]
		b = AppendU64(b, r.Number)
		b = append(b, byte(r.Kind))
		b = AppendBytes(b, r.Op)
		b = AppendU64(b, r.ClientTime)
		b = AppendBytes(b, r.ReplyURL)
	}
	return b
}

// Append appends the canonical bytes of g, which go unchanged into batches,
// digests, logs and to other replicas.
func (g *Group) Append(b []byte) []byte {
	b = g.AppendSigned(b)
	b = AppendBytes(b, g.Signature)
	return AppendU16(b, g.Origin)
}

// GroupView reads a group's canonical bytes in place.
type GroupView struct {
	Raw       []byte // all of it
	Client    []byte
	Session   uint64
	Count     int // requests
	Signature []byte
	Origin    uint16

	requests []byte
}

// ParseGroup checks the shape of a group and every rule that needs no
// configuration: sizes, kinds, strictly increasing numbers, valid UTF-8 in the
// client id. The view aliases b.
func ParseGroup(b []byte) (GroupView, error) {
	g := GroupView{Raw: b}
	r := NewReader(b)
	g.Client = r.Bytes()
	g.Session = r.U64()
	count := r.U32()
	if err := r.Err(); err != nil {
		return g, fmt.Errorf("group: %w", err)
	}
	if err := CheckClient(string(g.Client)); err != nil {
		return g, err
	}
	if count < 1 || count > MaxGroup {
		return g, fmt.Errorf("group of client %q: %d requests, allowed are 1 to %d", g.Client, count, MaxGroup)
	}
	g.Count = int(count)
	start := len(b) - r.Len()
	if err := checkRequests(&r, g.Client, g.Count); err != nil {
		return g, err
	}
	g.requests = b[start : len(b)-r.Len()]
	g.Signature = r.Bytes()
	g.Origin = r.U16()
	if err := r.Done(); err != nil {
		return g, fmt.Errorf("group of client %q: %w", g.Client, err)
	}
	if n := len(g.Signature); n != 0 && n != SignatureSize {
		return g, fmt.Errorf("group of client %q: signature of %d bytes, allowed are 0 or %d", g.Client, n, SignatureSize)
	}
	if g.Count > 1 && len(b) > MaxGroupBytes {
		return g, fmt.Errorf("group of client %q: %d bytes in %d requests, allowed are %d", g.Client, len(b), count, MaxGroupBytes)
	}
	return g, nil
}

func checkRequests(r *Reader, client []byte, count int) error {
	last := uint64(0)
	for i := range count {
		number, kind := r.U64(), Kind(r.U8())
		r.Bytes()
		r.U64()
		url := r.Bytes()
		switch {
		case r.Err() != nil:
			return fmt.Errorf("group of client %q: request %d: %w", client, i, r.Err())
		case number > MaxNumber:
			return fmt.Errorf("group of client %q: number %d, the largest allowed is %d", client, number, uint64(MaxNumber))
		case i > 0 && number <= last:
			return fmt.Errorf("group of client %q: number %d behind %d, numbers must increase", client, number, last)
		case kind < KindOperation || kind > KindRejoin:
			return fmt.Errorf("group of client %q: request %d has unknown kind %d", client, number, kind)
		case len(url) > MaxReplyURL:
			return fmt.Errorf("group of client %q: reply_url of %d bytes, the most allowed is %d", client, len(url), MaxReplyURL)
		case !utf8.Valid(url):
			return fmt.Errorf("group of client %q: reply_url of request %d is no valid UTF-8", client, number)
		}
		last = number
	}
	return nil
}

// CheckClient checks a client id.
func CheckClient(id string) error {
	if id == "" || len(id) > MaxClientName {
		return fmt.Errorf("client id of %d bytes, allowed are 1 to %d", len(id), MaxClientName)
	}
	if !utf8.ValidString(id) {
		return fmt.Errorf("client id %q is no valid UTF-8", id)
	}
	return nil
}

// Rebase is g over b, a copy of its raw bytes.
func (g *GroupView) Rebase(b []byte) GroupView {
	v := GroupView{Raw: b, Session: g.Session, Count: g.Count, Origin: g.Origin}
	end := len(b) - 2 - 4 - len(g.Signature)
	v.Client = b[4 : 4+len(g.Client)]
	v.requests = b[end-len(g.requests) : end]
	v.Signature = b[end+4 : len(b)-2]
	return v
}

// Signed is the part of the group that the client signs.
func (g *GroupView) Signed() []byte {
	return g.Raw[:len(g.Raw)-2-4-len(g.Signature)]
}

// FirstNumber is the smallest number of the group.
func (g *GroupView) FirstNumber() uint64 { return binary.BigEndian.Uint64(g.requests) }

// Cursor starts before the first request.
func (g *GroupView) Cursor() Cursor { return Cursor{b: g.requests} }

// Cursor walks the requests of a parsed group without allocating.
type Cursor struct{ b []byte }

// Next reads the next request into r, whose slices alias the group. It
// reports false behind the last one.
func (c *Cursor) Next(r *Request) bool {
	b := c.b
	if len(b) == 0 {
		return false
	}
	r.Number = binary.BigEndian.Uint64(b)
	r.Kind = Kind(b[8])
	n := binary.BigEndian.Uint32(b[9:])
	b = b[13:]
	r.Op, b = b[:n:n], b[n:]
	r.ClientTime = binary.BigEndian.Uint64(b)
	n = binary.BigEndian.Uint32(b[8:])
	b = b[12:]
	r.ReplyURL, c.b = b[:n:n], b[n:]
	return true
}

// WithOrigin returns the canonical bytes of g with another origin. It copies
// only if the origin differs.
func (g *GroupView) WithOrigin(origin uint16) []byte {
	if g.Origin == origin {
		return g.Raw
	}
	b := append([]byte(nil), g.Raw...)
	binary.BigEndian.PutUint16(b[len(b)-2:], origin)
	return b
}

// SessionOfData is the session of a request that came without one: the same
// data under the same number is the same request, other data is not.
func (c ClusterID) SessionOfData(data []byte) uint64 {
	d := c.Hash(TagValue, data)
	return binary.BigEndian.Uint64(d[:]) | 1<<63
}
