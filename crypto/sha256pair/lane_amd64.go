//go:build !purego

package sha256pair

import (
	"crypto/sha256"
	"encoding/binary"
)

// state is a SHA-256 state in the order of the SHA instructions: f, e, b, a,
// h, g, d, c.
type state [8]uint32

var initial = state{
	0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667,
	0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372,
}

// blocks2 takes n blocks of 64 bytes from pa into sa, and n from pb into sb.
//
//go:noescape
func blocks2(sa, sb *state, pa, pb *byte, n uint64)

// blocks1 takes n blocks of 64 bytes from p into s.
//
//go:noescape
func blocks1(s *state, p *byte, n uint64)

// lane is one message on its way through the blocks: one that begins with the
// prefix, those that are read where the message lies, and the last one or two
// with its end and the padding.
type lane struct {
	state state
	head  [blockSize]byte
	tail  [2 * blockSize]byte
	heads int // blocks of head: none where prefix and message are less than one
	skip  int // bytes of the message that are in head
	whole int // blocks read from the message
	total int // blocks of all three kinds
	done  int // of total
}

// init lays out prefix || m. The prefix is a block at most.
func (l *lane) init(prefix, m []byte) {
	l.state = initial
	size := len(prefix) + len(m)
	var used int // of tail
	if size < blockSize {
		used = copy(l.tail[:], prefix)
		used += copy(l.tail[used:], m)
	} else {
		l.heads = 1
		l.skip = copy(l.head[copy(l.head[:], prefix):], m)
		l.whole = (len(m) - l.skip) / blockSize
		used = copy(l.tail[:], m[l.skip+l.whole*blockSize:])
	}
	l.tail[used] = 0x80
	end := blockSize
	if used+1 > blockSize-8 {
		end += blockSize
	}
	binary.BigEndian.PutUint64(l.tail[end-8:], uint64(size)*8)
	l.total = l.heads + l.whole + end/blockSize
}

// next says where the next block is, and how many lie in one piece from there:
// none once all are done. The lane keeps no pointer to m, so m comes again.
func (l *lane) next(m []byte) (p *byte, n int) {
	toTail := l.heads + l.whole - l.done
	switch {
	case l.done < l.heads:
		return &l.head[0], l.heads - l.done
	case toTail > 0:
		return &m[l.skip+(l.done-l.heads)*blockSize], toTail
	case l.done < l.total:
		return &l.tail[-toTail*blockSize], l.total - l.done
	}
	return nil, 0
}

// finish does the blocks that have no partner in the other lane.
func (l *lane) finish(m []byte) {
	for p, n := l.next(m); n > 0; p, n = l.next(m) {
		blocks1(&l.state, p, uint64(n))
		l.done += n
	}
}

func (l *lane) digest() (d [sha256.Size]byte) {
	for i, at := range [...]int{3, 2, 7, 6, 1, 0, 5, 4} { // a to h
		binary.BigEndian.PutUint32(d[4*i:], l.state[at])
	}
	return d
}
