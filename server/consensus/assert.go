package consensus

import "fmt"

// assertf panics if the replica's own state is not what it must be. What a
// peer sent is never asserted: it is refused. The host turns the panic into a
// report and stops the replica; going on with a state that is known to be
// wrong could fork the cluster.
func assertf(ok bool, format string, args ...any) {
	if !ok {
		panic("consensus: " + fmt.Sprintf(format, args...) + " (a bug: please report it with the log)")
	}
}
