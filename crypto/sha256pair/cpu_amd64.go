//go:build !purego

package sha256pair

// hasSHA says whether blocks_amd64.s can run here. It is a variable so that a
// test can say no.
var hasSHA = detectSHA()

// What blocks_amd64.s needs, as bits of CPUID: leaf 1 ECX, leaf 7 EBX.
const (
	ssse3   = 1 << 9
	sse41   = 1 << 19
	osxsave = 1 << 27
	avx     = 1 << 28
	leaf1   = ssse3 | sse41 | osxsave | avx

	sha = 1 << 29
)

// avxState are the bits of XCR0 that say that the system saves the registers
// of AVX.
const avxState = 1<<1 | 1<<2

func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

// xgetbv reads XCR0; only where osxsave is set.
func xgetbv() (eax, edx uint32)

func detectSHA() bool {
	if last, _, _, _ := cpuid(0, 0); last < 7 {
		return false
	}
	if _, _, ecx, _ := cpuid(1, 0); ecx&leaf1 != leaf1 {
		return false
	}
	if eax, _ := xgetbv(); eax&avxState != avxState {
		return false
	}
	_, ebx, _, _ := cpuid(7, 0)
	return ebx&sha != 0
}
