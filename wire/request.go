package wire

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

// Append appends m as a pbft.v1.SessionRequest. Kind operation and client time
// NoClientTime are written as absent.
func (m *SessionRequest) Append(b []byte) []byte {
	for i := range m.Opens {
		b = m.Opens[i].append(b)
	}
	for i := range m.Groups {
		b = m.Groups[i].append(b)
	}
	for i := range m.Outcomes {
		b = m.Outcomes[i].append(b)
	}
	if len(m.Closes) == 0 {
		return b
	}
	size := 0
	for _, handle := range m.Closes {
		size += protowire.SizeVarint(uint64(handle))
	}
	b = appendLength(b, 4, size)
	for _, handle := range m.Closes {
		b = protowire.AppendVarint(b, uint64(handle))
	}
	return b
}

func (o *Open) append(b []byte) []byte {
	form := uint64(pbftv1.ReplyForm_REPLY_FORM_RESULTS)
	if o.Digests {
		form = uint64(pbftv1.ReplyForm_REPLY_FORM_DIGESTS)
	}
	size := sizeOptVarint(uint64(o.Handle)) + sizeOptBytes(len(o.Client)) + sizeOptFixed64(o.Session) +
		sizeOptVarint(form) + sizeOptBytes(len(o.Signature))
	b = appendLength(b, 1, size)
	b = appendOptVarint(b, 1, uint64(o.Handle))
	b = appendOptBytes(b, 2, o.Client)
	b = appendOptFixed64(b, 3, o.Session)
	b = appendOptVarint(b, 4, form)
	return appendOptBytes(b, 5, o.Signature)
}

func (g *Group) append(b []byte) []byte {
	size := sizeOptVarint(uint64(g.Handle)) + sizeOptBytes(len(g.Signature)) + sizeOptBool(g.Alone) + sizeOptBool(g.Retry)
	for i := range g.Requests {
		size += sizeLength(requestSize(&g.Requests[i]))
	}
	b = appendLength(b, 2, size)
	b = appendOptVarint(b, 1, uint64(g.Handle))
	for i := range g.Requests {
		b = appendRequest(b, &g.Requests[i])
	}
	b = appendOptBytes(b, 3, g.Signature)
	b = appendOptBool(b, 4, g.Alone)
	return appendOptBool(b, 5, g.Retry)
}

func requestSize(r *crypto.Request) int {
	size := sizeOptVarint(r.Number) + sizeOptVarint(kindOnWire(r.Kind)) + sizeOptBytes(len(r.Op)) + sizeOptBytes(len(r.ReplyURL))
	if r.ClientTime != crypto.NoClientTime {
		size += sizeFixed64
	}
	return size
}

func appendRequest(b []byte, r *crypto.Request) []byte {
	b = appendLength(b, 2, requestSize(r))
	b = appendOptVarint(b, 1, r.Number)
	b = appendOptVarint(b, 2, kindOnWire(r.Kind))
	b = appendOptBytes(b, 3, r.Op)
	if r.ClientTime != crypto.NoClientTime {
		b = appendFixed64(b, 4, r.ClientTime)
	}
	return appendOptBytes(b, 5, r.ReplyURL)
}

func kindOnWire(k crypto.Kind) uint64 {
	if k == crypto.KindOperation {
		return uint64(pbftv1.RequestKind_REQUEST_KIND_UNSPECIFIED)
	}
	return uint64(k)
}

func (q *OutcomeQuery) append(b []byte) []byte {
	b = appendLength(b, 3, sizeOptVarint(uint64(q.Handle))+sizeOptVarint(q.Number)+sizeOptFixed64(q.Session))
	b = appendOptVarint(b, 1, uint64(q.Handle))
	b = appendOptVarint(b, 2, q.Number)
	return appendOptFixed64(b, 3, q.Session)
}

// Parse sets m to the pbft.v1.SessionRequest in b. Byte slices of m alias b;
// all else is fresh. It checks the limits of this package, not the rules that
// crypto.ParseGroup checks: those refuse one group and leave the stream be.
func (m *SessionRequest) Parse(b []byte) error {
	*m = SessionRequest{}
	requests, err := m.allocate(b)
	if err != nil {
		return fmt.Errorf("session request: %w", err)
	}
	f := fields{b: b}
	for f.next() {
		switch f.key {
		case 1<<3 | packed:
			m.Opens = append(m.Opens, Open{})
			f.at("opens", len(m.Opens)-1, m.Opens[len(m.Opens)-1].parse(f.data()))
		case 2<<3 | packed:
			m.Groups = append(m.Groups, Group{})
			g := &m.Groups[len(m.Groups)-1]
			requests, err = g.parse(f.data(), requests)
			f.at("groups", len(m.Groups)-1, err)
		case 3<<3 | packed:
			m.Outcomes = append(m.Outcomes, OutcomeQuery{})
			f.at("outcomes", len(m.Outcomes)-1, m.Outcomes[len(m.Outcomes)-1].parse(f.data()))
		case 4<<3 | varint, 4<<3 | packed:
			m.Closes = f.uint32s(m.Closes)
		}
	}
	if f.err != nil {
		return fmt.Errorf("session request: %w", f.err)
	}
	return nil
}

// allocate counts what is in b, checks the limits, and makes room for exactly
// that: one array holds the requests of all groups.
func (m *SessionRequest) allocate(b []byte) (requests []crypto.Request, err error) {
	var opens, groups, outcomes, closes, total int
	f := fields{b: b}
	for f.next() {
		switch f.key {
		case 1<<3 | packed:
			opens++
		case 2<<3 | packed:
			n, err := count(f.data(), 2<<3|packed)
			f.at("groups", groups, err)
			f.at("groups", groups, atMost("requests", n, crypto.MaxGroup))
			groups++
			total += n
		case 3<<3 | packed:
			outcomes++
		case 4<<3 | varint:
			closes++
		case 4<<3 | packed:
			closes += f.countVarints()
		}
	}
	f.check(atMost("opens", opens, MaxItems))
	f.check(atMost("groups", groups, MaxItems))
	f.check(atMost("outcomes", outcomes, MaxItems))
	f.check(atMost("closes", closes, MaxItems))
	f.check(atMost("requests of all groups", total, MaxRequests))
	if f.err != nil {
		return nil, f.err
	}
	m.Opens = room[Open](opens)
	m.Groups = room[Group](groups)
	m.Outcomes = room[OutcomeQuery](outcomes)
	m.Closes = room[uint32](closes)
	return room[crypto.Request](total), nil
}

func (o *Open) parse(b []byte) error {
	f, form := fields{b: b}, uint64(0)
	for f.next() {
		switch f.key {
		case 1<<3 | varint:
			o.Handle = uint32(f.num)
		case 2<<3 | packed:
			o.Client = string(f.text("client"))
		case 3<<3 | fixed64:
			o.Session = f.num
		case 4<<3 | varint:
			form = f.num
		case 5<<3 | packed:
			o.Signature = f.data()
		}
	}
	switch pbftv1.ReplyForm(form) {
	case pbftv1.ReplyForm_REPLY_FORM_UNSPECIFIED, pbftv1.ReplyForm_REPLY_FORM_RESULTS:
	case pbftv1.ReplyForm_REPLY_FORM_DIGESTS:
		o.Digests = true
	default:
		f.fail("form %d, allowed are 0 to 2", int32(form))
	}
	return f.err
}

// parse takes the group's requests from the end of slab, which has room, and
// returns the longer slab.
func (g *Group) parse(b []byte, slab []crypto.Request) ([]crypto.Request, error) {
	f, start := fields{b: b}, len(slab)
	for f.next() {
		switch f.key {
		case 1<<3 | varint:
			g.Handle = uint32(f.num)
		case 2<<3 | packed:
			slab = slab[:len(slab)+1]
			f.at("requests", len(slab)-1-start, parseRequest(&slab[len(slab)-1], f.data()))
		case 3<<3 | packed:
			g.Signature = f.data()
		case 4<<3 | varint:
			g.Alone = f.bool()
		case 5<<3 | varint:
			g.Retry = f.bool()
		}
	}
	if len(slab) > start {
		g.Requests = slab[start:len(slab):len(slab)]
	}
	return slab, f.err
}

func parseRequest(r *crypto.Request, b []byte) error {
	f, kind := fields{b: b}, uint64(0)
	r.ClientTime = crypto.NoClientTime
	for f.next() {
		switch f.key {
		case 1<<3 | varint:
			r.Number = f.num
		case 2<<3 | varint:
			kind = f.num
		case 3<<3 | packed:
			r.Op = f.data()
		case 4<<3 | fixed64:
			r.ClientTime = f.num
		case 5<<3 | packed:
			r.ReplyURL = f.text("reply_url")
		}
	}
	switch k := int32(kind); {
	case k == 0:
		r.Kind = crypto.KindOperation
	case k < 0 || k > 255:
		f.fail("kind %d, allowed are 0 to 255", k)
	default:
		r.Kind = crypto.Kind(k)
	}
	return f.err
}

func (q *OutcomeQuery) parse(b []byte) error {
	f := fields{b: b}
	for f.next() {
		switch f.key {
		case 1<<3 | varint:
			q.Handle = uint32(f.num)
		case 2<<3 | varint:
			q.Number = f.num
		case 3<<3 | fixed64:
			q.Session = f.num
		}
	}
	return f.err
}
