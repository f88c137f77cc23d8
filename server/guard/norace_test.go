//go:build !race

package guard

// race says that the race detector is part of the program.
const race = false
