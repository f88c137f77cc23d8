package wire

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/pbft-go/pbft/crypto"
)

// AppendDumpEntry appends [[client, number], data] as Python's json would: a dump
// is a list of these. Client ids that are no numbers are strings; data that is no
// UTF-8 is {"base64": "…"}.
func AppendDumpEntry(b []byte, client string, number uint64, op []byte) []byte {
	b = append(b, "[["...)
	if isNumber(client) {
		b = append(b, client...)
	} else {
		b = appendASCII(b, client)
	}
	b = append(b, ", "...)
	b = strconv.AppendUint(b, number, 10)
	b = append(b, "], "...)
	if utf8.Valid(op) {
		b = appendASCII(b, string(op))
	} else {
		b = append(b, `{"base64": "`...)
		b = base64.StdEncoding.AppendEncode(b, op)
		b = append(b, `"}`...)
	}
	return append(b, ']')
}

// appendASCII appends a JSON string in which everything outside of printable
// ASCII is escaped, as json.dumps writes it.
func appendASCII(b []byte, s string) []byte {
	const short = "\"\"\\\\\bb\ff\nn\rr\tt" // character, then what stands behind the backslash
	b = append(b, '"')
next:
	for _, r := range s {
		for i := 0; i < len(short); i += 2 {
			if r == rune(short[i]) {
				b = append(b, '\\', short[i+1])
				continue next
			}
		}
		switch {
		case r >= ' ' && r <= '~':
			b = append(b, byte(r))
		case r <= 0xffff:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		}
	}
	return append(b, '"')
}

// isNumber reports whether a client id is a number that JSON can say, in its
// one spelling.
func isNumber(id string) bool {
	if id == "" || len(id) > 16 || id[0] == '0' && len(id) > 1 {
		return false
	}
	var x uint64
	for _, r := range id {
		if r < '0' || r > '9' {
			return false
		}
		x = 10*x + uint64(r-'0')
	}
	return x <= crypto.MaxNumber
}
