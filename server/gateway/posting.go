package gateway

import (
	"bytes"
	"encoding/json"
	"math"
	"net/url"
	"strconv"
	"unicode/utf8"

	"github.com/pbft-go/pbft/crypto"
)

// Posting is one reply for a reply URL.
type Posting struct {
	View       uint64
	Client     string
	Number     uint64
	N          uint64 // sequence number of the execution
	URL        []byte
	ClientTime uint64 // IEEE 754 bits, crypto.NoClientTime if the request had none
	Op         []byte
	Result     crypto.Result
}

// PostReply sends a reply to the URL that the request named, in the
// background. It keeps nothing of p and never blocks; a host that this replica
// does not allow is not called.
func (s *Server) PostReply(p Posting) {
	u, err := url.Parse(string(p.URL))
	if err != nil || u.User != nil || u.Scheme != "http" && u.Scheme != "https" || !s.hosts.allows(u.Hostname()) {
		return // admitted by a replica with another list, or by a liar
	}
	s.poster.add(post{url: u, body: p.append(nil, s.index)})
}

// append appends the body: the proof of concept's fields in its order, the
// request echoed as it was sent, then what it did not have.
func (p *Posting) append(b []byte, index int) []byte {
	b = append(b, `{"index":`...)
	b = strconv.AppendInt(b, int64(index), 10)
	b = append(b, `,"view":`...)
	b = strconv.AppendUint(b, p.View, 10)
	b = append(b, `,"proposal":{"id":[`...)
	b = appendClient(b, p.Client)
	b = append(b, ',')
	b = strconv.AppendUint(b, p.Number, 10)
	b = append(b, `],"client_url":`...)
	b = appendText(b, string(p.URL))
	if t := math.Float64frombits(p.ClientTime); !math.IsNaN(t) && !math.IsInf(t, 0) {
		b = append(b, `,"timestamp":`...)
		b = appendNumber(b, t)
	}
	b = appendValue(b, "data", p.Op)
	b = append(b, `},"type":"reply","seq":`...)
	b = strconv.AppendUint(b, p.N, 10)
	b = append(b, `,"status":"`...)
	b = append(b, p.Result.Status.String()...)
	b = append(b, '"')
	if p.Result.Status == crypto.StatusOK && !p.Result.Tombstone {
		b = appendValue(b, "result", p.Result.Value)
	}
	return append(b, '}')
}

// appendClient appends a client id: one that came as a JSON number goes back
// as one.
func appendClient(b []byte, id string) []byte {
	if n, err := strconv.ParseUint(id, 10, 64); err == nil && n <= crypto.MaxNumber && strconv.FormatUint(n, 10) == id {
		return append(b, id...)
	}
	return appendText(b, id)
}

// appendValue appends a member with text, or with base64 under a name that
// says so where v is no UTF-8.
func appendValue(b []byte, name string, v []byte) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	if utf8.Valid(v) {
		b = append(b, `":`...)
		return appendText(b, string(v))
	}
	b = append(b, `_base64":`...)
	j, _ := json.Marshal(v) // of bytes it does not fail
	return append(b, j...)
}

// appendText appends a JSON string and, unlike json.Marshal, leaves <, > and &
// as they are.
func appendText(b []byte, s string) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // of a string it does not fail
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

// appendNumber writes t as JavaScript and Python would.
func appendNumber(b []byte, t float64) []byte {
	format := byte('f')
	if a := math.Abs(t); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, t, format, -1, 64)
}
