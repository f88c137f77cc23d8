package file

import "unsafe"

// Aligned makes a buffer for WriteSync: size zero bytes that begin at a multiple
// of Block in memory, with a capacity that is the next multiple of Block. It is
// on the heap, always: the device reads from it while its goroutine sleeps, and
// a stack may move meanwhile.
//
//go:noinline
func Aligned(size int) []byte {
	capacity := (size + Block - 1) / Block * Block
	if size == 0 {
		capacity = Block
	}
	b := make([]byte, capacity+Block)
	skip := 0
	if past := int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) % Block); past != 0 {
		skip = Block - past
	}
	return b[skip : skip+size : skip+capacity]
}

// isAligned tells whether b may be written by a device.
func isAligned(b []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))%Block == 0
}
